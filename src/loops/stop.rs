//! Graceful stop: stop accepting, drain, give up.

use std::io;

use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

use super::signals::EndSignals;

/// A request to stop, which every clone of it sees.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    stopping: CancellationToken,
    giving_up: CancellationToken,
}

/// What SIGHUP does in place of a stop.
pub type OnHangup = Box<dyn Fn() + Send>;

impl Stop {
    /// One that nobody has requested yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that SIGTERM or SIGINT requests; a second signal ends the draining. SIGHUP requests it
    /// too, or does `on_hangup` in its place. One that was ignored when the process started, as
    /// under `nohup(1)`, stays so.
    ///
    /// # Errors
    /// What `sigaction(2)` reports.
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

    /// Asks to stop; asked again, it asks to give up what is still under way.
    pub fn request(&self) {
        if self.stopping.is_cancelled() {
            self.giving_up.cancel();
        }
        self.stopping.cancel();
    }

    /// Ends when somebody asked to stop.
    pub async fn requested(&self) {
        self.stopping.cancelled().await;
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Ends when somebody asked a second time.
    pub async fn given_up(&self) {
        self.giving_up.cancelled().await;
    }
}
