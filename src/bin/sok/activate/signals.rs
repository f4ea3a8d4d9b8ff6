//! The signals of a supervisor.

use std::io;

use nix::sys::signal::Signal;
use sok::loops::EndSignals;
use tokio::signal::unix::{self, SignalKind, signal};

/// The signals that end or replace the program, and those that are passed to it.
#[derive(Debug)]
pub(crate) struct Signals {
    ending: EndSignals,
    first: unix::Signal,
    second: unix::Signal,
}

impl Signals {
    /// Watches for the signals from now on.
    ///
    /// # Errors
    /// Errors of `sigaction(2)`.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub(crate) fn watch() -> io::Result<Self> {
        // If SIGCHLD was ignored when this process started, the kernel would keep no exit status.
        let _ = signal(SignalKind::child())?;
        Ok(Self {
            ending: EndSignals::watch()?,
            first: signal(SignalKind::user_defined1())?,
            second: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Signal {
        let kind = tokio::select! {
            kind = self.ending.next() => kind,
            Some(()) = self.first.recv() => SignalKind::user_defined1(),
            Some(()) = self.second.recv() => SignalKind::user_defined2(),
        };
        // Each has a name.
        Signal::try_from(kind.as_raw_value()).unwrap_or(Signal::SIGTERM)
    }

    /// Waits for a signal that asks for the end.
    pub(crate) async fn stop(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if is_stop(signal) {
                return signal;
            }
        }
    }
}

/// Whether a signal asks for the end.
pub(super) fn is_stop(signal: Signal) -> bool {
    matches!(signal, Signal::SIGTERM | Signal::SIGINT)
}
