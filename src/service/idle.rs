//! Gives up connections on which nothing passes.

use std::sync::Arc;
use std::time::Duration;

use humantime::format_duration;
use tokio_util::either::Either;

use crate::error::{Error, ErrorKind, Result};
use crate::loops::{Connection, Service};
use crate::net::Stream;
use crate::transfer::unless_idle;

/// Serves as another service does, and gives up each connection on which nothing passes, either way,
/// for a time. What passes is what the service counts.
#[derive(Debug, Clone)]
pub struct IdleLimit<S> {
    /// That time, if there is a limit.
    pub limit: Option<Duration>,
    /// What serves.
    pub service: S,
}

impl<S: Service> Service for IdleLimit<S> {
    // Not an `async fn`, which would keep the room of its arguments for each connection.
    fn serve(
        &self,
        stream: Stream,
        connection: &Arc<Connection>,
    ) -> impl Future<Output = Result<()>> + Send {
        match self.limit {
            None => Either::Left(self.service.serve(stream, connection)),
            Some(limit) => Either::Right(Box::pin(self.serve_within(limit, stream, connection))),
        }
    }
}

impl<S: Service> IdleLimit<S> {
    async fn serve_within(
        &self,
        limit: Duration,
        stream: Stream,
        connection: &Arc<Connection>,
    ) -> Result<()> {
        let passed = || {
            let traffic = connection.traffic();
            traffic.received + traffic.sent
        };
        // What a service has not said is done is reset when it is dropped.
        stream.reset_unless_done();
        let serving = self.service.serve(stream, connection);
        let served = unless_idle(serving, || Some(limit), passed).await;
        served.unwrap_or_else(|limit| {
            let cause = format!(
                "no data passed in either direction for {}",
                format_duration(limit)
            );
            Err(Error::because(
                "serve",
                connection.peer(),
                ErrorKind::TimedOut,
                cause,
            ))
        })
    }
}
