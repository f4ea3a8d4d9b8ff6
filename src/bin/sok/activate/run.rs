//! One run of the program.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sok::service::{Awaited, ProcessGroup, spawn};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A started program; it and its process group are killed on drop.
#[derive(Debug)]
pub(super) struct Run {
    child: Child,
    awaited: Option<Awaited>,
    group: ProcessGroup,
    pid: u32,
    began: Instant,
}

impl Run {
    /// Starts `command`, in a separate process group: Ctrl-C on a terminal is for its supervisor.
    ///
    /// # Errors
    /// Errors of `fork(2)`.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let (child, awaited) = spawn(command.process_group(0))?;
        let pid = child.id().unwrap_or_default();
        info!(pid, "program started");
        Ok(Self {
            group: ProcessGroup::of(child.id()),
            child,
            awaited,
            pid,
            began: Instant::now(),
        })
    }

    /// When it began.
    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// Its process.
    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end, and returns its exit status; also when it has ended before.
    ///
    /// # Errors
    /// Errors of `waitpid(2)`.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.awaited = None;
        Ok(status)
    }

    /// Sends it a signal, unless it has ended; its children do not get it.
    pub(super) fn signal(&self, signal: Signal) {
        // Only an ended child has no number.
        if let Some(Ok(pid)) = self.child.id().map(i32::try_from) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Stops it by `signal`, unless it has ended, then what is left of its process group by SIGTERM.
    /// After `grace`, or once `cut_off`, SIGKILL ends them.
    ///
    /// # Errors
    /// Errors of `waitpid(2)`.
    pub(super) async fn stop(
        mut self,
        signal: Option<Signal>,
        grace: Duration,
        cut_off: CancellationToken,
    ) -> io::Result<ExitStatus> {
        if let Some(signal) = signal {
            self.signal(signal);
        }
        tokio::select! {
            status = self.all_ended(signal.is_some()) => return status,
            () = sleep(grace) => warn!(pid = self.pid, "killed: it did not end within the grace period"),
            () = cut_off.cancelled() => info!(pid = self.pid, "killed"),
        }
        self.group.signal(Signal::SIGKILL);
        let status = self.ended().await?;
        self.group.leave();
        Ok(status)
    }

    async fn all_ended(&mut self, is_stopped: bool) -> io::Result<ExitStatus> {
        let status = self.ended().await?;
        if is_stopped {
            info!(pid = self.pid, %status, "program ended");
        }
        if self.group.is_there() {
            self.group.ask_to_end();
            self.group.ended().await;
        }
        self.group.leave();
        Ok(status)
    }
}
