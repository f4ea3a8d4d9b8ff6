//! The process group of a program.

use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::time::sleep;

/// The interval of checks on a process group that was asked to end.
const PAUSE: Duration = Duration::from_millis(20);

/// The process group of a running program, which is its first process. It is killed on drop.
#[derive(Debug)]
pub struct ProcessGroup {
    id: Option<Pid>,
    is_asked: bool,
}

impl ProcessGroup {
    /// The group of the process `pid`, which began it (see `setpgid(2)`) and is not waited for yet.
    #[must_use]
    pub fn of(pid: Option<u32>) -> Self {
        let id = pid.and_then(|pid| i32::try_from(pid).ok());
        Self {
            id: id.map(Pid::from_raw),
            is_asked: false,
        }
    }

    /// Sends `signal` to each process of the group.
    pub fn signal(&self, signal: Signal) {
        if let Some(group) = self.id {
            // A group that has ended needs no signal.
            let _ = killpg(group, signal);
        }
    }

    /// Sends SIGTERM to each process of the group.
    pub fn ask_to_end(&mut self) {
        self.is_asked = true;
        self.signal(Signal::SIGTERM);
    }

    /// Whether it was asked to end.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// Whether a process of the group is left.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.id.is_some_and(|group| killpg(group, None).is_ok())
    }

    /// Waits until its last process has ended; the kernel does not report that.
    pub async fn ended(&self) {
        while self.is_there() {
            sleep(PAUSE).await;
        }
    }

    /// Disables further signals: once the program's status is taken and its last process has ended,
    /// the kernel may reuse the number of the group.
    pub fn leave(&mut self) {
        self.id = None;
    }

    /// Whether further signals are disabled.
    #[must_use]
    pub const fn is_left(&self) -> bool {
        self.id.is_none()
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}
