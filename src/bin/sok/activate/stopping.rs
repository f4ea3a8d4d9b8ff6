//! The runs that are to end.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::run::Run;

/// Runs that are to end, or whose process group is.
#[derive(Debug)]
pub(super) struct Stopping {
    runs: JoinSet<(u32, io::Result<ExitStatus>)>,
    cut_off: CancellationToken,
    grace: Duration,
}

impl Stopping {
    /// None yet; each may take `grace`.
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            runs: JoinSet::new(),
            cut_off: CancellationToken::new(),
            grace,
        }
    }

    /// Stops a run by `signal`, or ends what is left of one that has ended.
    pub(super) fn add(&mut self, run: Run, signal: Option<Signal>) {
        let pid = run.pid();
        let stopped = run.stop(signal, self.grace, self.cut_off.clone());
        self.runs.spawn(async move { (pid, stopped.await) });
    }

    /// Waits until the next of them has ended, and returns its process and its status.
    pub(super) async fn next(&mut self) -> Option<(u32, io::Result<ExitStatus>)> {
        let joined = self.runs.join_next().await?;
        Some(joined.unwrap_or_else(|error| (0, Err(error.into()))))
    }

    /// Whether all have ended.
    pub(super) fn is_empty(&mut self) -> bool {
        while self.runs.try_join_next().is_some() {}
        self.runs.is_empty()
    }

    /// Ends all of them by SIGKILL, also those that are added later.
    pub(super) fn cut_off(&self) {
        self.cut_off.cancel();
    }
}
