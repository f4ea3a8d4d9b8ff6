//! Graceful stop: stop accepting, drain, give up.

use std::io;

use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

use super::signals::EndSignals;

/// A request to stop, shared by all clones.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    stopping: CancellationToken,
    giving_up: CancellationToken,
}

/// What SIGHUP does instead of a stop.
pub type OnHangup = Box<dyn Fn() + Send>;

impl Stop {
    /// A stop that is not requested yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A stop requested by SIGTERM or SIGINT; a second signal ends the draining. SIGHUP requests it
    /// too, or calls `on_hangup` instead. A signal that was ignored when the process started, as
    /// under `nohup(1)`, stays ignored.
    ///
    /// # Errors
    /// Errors of `sigaction(2)`.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub fn on_signals(on_hangup: Option<OnHangup>) -> io::Result<Self> {
        let stop = Self::new();
        let mut signals = EndSignals::watch()?;
        let signalled = stop.clone();
        tokio::spawn(async move {
            loop {
                let signal = signals.next().await;
                match &on_hangup {
                    Some(act) if signal == SignalKind::hangup() => act(),
                    _ => signalled.request(),
                }
            }
        });
        Ok(stop)
    }

    /// Requests a stop; a second call ends the draining.
    pub fn request(&self) {
        if self.stopping.is_cancelled() {
            self.giving_up.cancel();
        }
        self.stopping.cancel();
    }

    /// Waits until a stop is requested.
    pub async fn requested(&self) {
        self.stopping.cancelled().await;
    }

    /// Whether a stop is requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Waits for the second request.
    pub async fn given_up(&self) {
        self.giving_up.cancelled().await;
    }
}
