//! Closes idle connections.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use humantime::format_duration;
use tokio_util::either::Either;

use crate::error::{Error, ErrorKind, Result};
use crate::loops::{Connection, Service};
use crate::net::Stream;
use crate::transfer::unless_idle;

/// Wraps a service, and closes each connection on which no data passes in either direction for a
/// time, by the counts of the service. A session ends by itself, see
/// [`ListenOptions::session_idle`](crate::net::ListenOptions::session_idle), and that is no failure.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IdleLimit<S> {
    /// That time, if any.
    pub limit: Option<Duration>,
    /// The wrapped service.
    pub service: S,
}

impl<S: Service> Service for IdleLimit<S> {
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

impl<S: Service> IdleLimit<S> {
    /// Gives up a connection of `service` after `limit` without a byte.
    pub const fn new(limit: Option<Duration>, service: S) -> Self {
        Self { limit, service }
    }

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
        // A connection is reset on drop, unless its service finished it.
        stream.reset_on_drop();
        let serving = pin!(self.service.serve(stream, connection));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Peer;

    const SIZE: usize = 10_000;

    /// Takes [`SIZE`] bytes of memory while it waits for the peer.
    struct Large;

    impl Service for Large {
        async fn serve(&self, stream: Stream, _: &Arc<Connection>) -> Result<()> {
            let mut buffer = [0; SIZE];
            let received = stream.receive(&mut buffer).await;
            received
                .map(drop)
                .map_err(|error| Error::new("receive", "the peer", error))
        }
    }

    #[tokio::test]
    async fn a_limit_takes_the_memory_of_a_service_once() -> Result<()> {
        let limited = IdleLimit::new(None, Large);
        let connection = Arc::new(Connection::new(1, Peer::new("unix:@peer".parse()?)));
        let (_client, stream) = Stream::pair().expect("there are descriptors");
        let serving = limited.serve_within(Duration::MAX, stream, &connection);
        let size = size_of_val(&serving);
        assert!((SIZE..2 * SIZE).contains(&size), "{size} bytes");
        Ok(())
    }
}
