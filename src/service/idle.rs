//! Gives up connections on which nothing passes.

use std::sync::Arc;
use std::time::Duration;

use humantime::format_duration;

use crate::error::{Error, Kind, Result};
use crate::loops::{Connection, Service};
use crate::net::Stream;
use crate::transfer::unless_idle;

/// Serves as another service does, and gives up each connection on which nothing passes, either way,
/// for a time. What passes is what the service counts: one that does not count has no limit.
#[derive(Debug, Clone)]
pub struct IdleLimit<S> {
    /// That time, if there is a limit.
    pub limit: Option<Duration>,
    /// What serves.
    pub service: S,
}

impl<S: Service> Service for IdleLimit<S> {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        let Some(limit) = self.limit else {
            return self.service.serve(stream, connection).await;
        };
        let passed = || {
            let traffic = connection.traffic().unwrap_or_default();
            traffic.received + traffic.sent
        };
        // What a service has not said is done is reset when it is dropped.
        stream.reset_unless_done();
        // On the heap: a connection without a limit would otherwise have the room of its clock.
        let serving = Box::pin(unless_idle(
            self.service.serve(stream, connection),
            || connection.traffic().map(|_| limit),
            passed,
        ));
        serving.await.unwrap_or_else(|limit| {
            let cause = format!("nothing passed, either way, for {}", format_duration(limit));
            Err(Error::because(
                "serve",
                connection.peer(),
                Kind::TimedOut,
                cause,
            ))
        })
    }
}
