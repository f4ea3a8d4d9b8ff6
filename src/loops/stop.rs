//! Graceful stop: stop accepting, drain, give up.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

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
    /// too, or does `on_hangup` in its place, unless it is ignored as under `nohup(1)`.
    ///
    /// # Errors
    /// What `sigaction(2)` reports.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub fn on_signals(on_hangup: Option<OnHangup>) -> io::Result<Self> {
        let stop = Self::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = match ignores_hangup() {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        let signalled = stop.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => signalled.request(),
                    _ = interrupt.recv() => signalled.request(),
                    Some(_) = async { hangup.as_mut()?.recv().await } => match &on_hangup {
                        Some(act) => act(),
                        None => signalled.request(),
                    },
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

/// Whether this process was started with SIGHUP ignored; see `SigIgn` in `proc_pid_status(5)`.
pub(crate) fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is signal 1, the lowest bit.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}
