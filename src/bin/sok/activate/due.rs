//! When the program starts.

use std::future::{pending, poll_fn};
use std::task::Poll;

use sok::error::{Error, Result};
use sok::net::BoundSocket;
use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::stopping::Stopping;

/// When the program starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Never,
    At(Instant),
    /// When a client waits, and not before this time.
    AtClient(Instant),
    /// When all runs that are to end have ended.
    WhenStopped,
}

impl Due {
    /// Waits until the program is to start.
    ///
    /// # Errors
    /// If a client cannot be waited for.
    pub(super) async fn comes(
        self,
        sockets: &[BoundSocket],
        stopping: &mut Stopping,
    ) -> Result<()> {
        match self {
            Self::Never => pending().await,
            Self::At(time) => {
                sleep_until(time).await;
                Ok(())
            }
            Self::AtClient(time) => {
                sleep_until(time).await;
                client_waits(sockets).await
            }
            Self::WhenStopped => {
                while stopping.next().await.is_some() {}
                Ok(())
            }
        }
    }
}

/// Waits until a client waits at one of the sockets.
async fn client_waits(sockets: &[BoundSocket]) -> Result<()> {
    let mut waits: Vec<_> = sockets
        .iter()
        .map(|socket| Box::pin(waits_at(socket)))
        .collect();
    poll_fn(|cx| {
        let polled = waits.iter_mut().map(|wait| wait.as_mut().poll(cx));
        polled
            .into_iter()
            .find(Poll::is_ready)
            .unwrap_or(Poll::Pending)
    })
    .await
}

async fn waits_at(socket: &BoundSocket) -> Result<()> {
    let address = socket.local_addr();
    let waited = socket.client_waits().await;
    waited.map_err(|error| Error::new("watch", address, error))?;
    info!(%address, "a client waits");
    Ok(())
}
