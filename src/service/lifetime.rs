//! Ends connections that have been open for long.

use std::sync::Arc;
use std::time::Duration;

use humantime::format_duration;
use tokio::time::timeout;
use tokio_util::either::Either;

use crate::error::{Error, ErrorKind, Result};
use crate::loops::{Connection, Service};
use crate::net::Stream;

/// Wraps a service, and resets each connection that it has not ended after a time. A session ends by itself
/// then, see [`ListenOptions::session_lifetime`](crate::net::ListenOptions::session_lifetime), and that is
/// no failure.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Lifetime<S> {
    /// That time, if any, from the beginning of the connection.
    pub limit: Option<Duration>,
    /// The wrapped service.
    pub service: S,
}

impl<S: Service> Service for Lifetime<S> {
    // Not an `async fn`, which would keep its arguments in memory for each connection.
    fn serve(
        &self,
        stream: Stream,
        connection: &Arc<Connection>,
    ) -> impl Future<Output = Result<()>> + Send {
        match self.limit.filter(|_| !stream.ends_when_idle()) {
            None => Either::Left(self.service.serve(stream, connection)),
            Some(limit) => Either::Right(Box::pin(self.serve_within(limit, stream, connection))),
        }
    }
}

impl<S: Service> Lifetime<S> {
    /// Gives up a connection of `service` after `limit`.
    pub const fn new(limit: Option<Duration>, service: S) -> Self {
        Self { limit, service }
    }

    async fn serve_within(
        &self,
        limit: Duration,
        stream: Stream,
        connection: &Arc<Connection>,
    ) -> Result<()> {
        // A connection is reset on drop, unless its service finished it.
        stream.reset_on_drop();
        let left = limit.saturating_sub(connection.age());
        let served = timeout(left, self.service.serve(stream, connection)).await;
        served.unwrap_or_else(|_| {
            let limit = format_duration(limit);
            let cause = format!("the connection was open for its lifetime of {limit}");
            let (peer, kind) = (connection.peer(), ErrorKind::TimedOut);
            Err(Error::because("serve", peer, kind, cause))
        })
    }
}
