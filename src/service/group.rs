//! The processes of a program: its group, or only itself.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::time::sleep;

/// The interval of checks on a process group that was asked to end.
const PAUSE: Duration = Duration::from_millis(20);

/// A running program, killed on drop: its process group, with its children, or only the program itself
/// if it is in the group of this process.
#[derive(Debug)]
pub struct ProcessGroup {
    id: Option<Pid>,
    is_own: bool,
    is_asked: bool,
}

impl ProcessGroup {
    /// The group of the process `pid`, which began it (see `setpgid(2)`) and is not waited for yet.
    #[must_use]
    pub fn of(pid: Option<u32>) -> Self {
        Self::of_program(pid, true)
    }

    /// The same for a process `pid` that may be in the group of this process.
    pub(super) fn of_program(pid: Option<u32>, is_own: bool) -> Self {
        let id = pid.and_then(|pid| i32::try_from(pid).ok());
        Self {
            id: id.map(Pid::from_raw),
            is_own,
            is_asked: false,
        }
    }

    /// Sends a signal, or `None` to only look; returns whether a process is left.
    fn sends(&self, signal: Option<Signal>) -> bool {
        let sent = |id| match self.is_own {
            true => killpg(id, signal),
            false => kill(id, signal),
        };
        self.id.is_some_and(|id| sent(id).is_ok())
    }

    /// Sends `signal` to each process of the group.
    pub fn signal(&self, signal: Signal) {
        // What has ended needs no signal.
        self.sends(Some(signal));
    }

    /// Sends SIGTERM to each process of the group.
    pub fn ask_to_end(&mut self) {
        self.is_asked = true;
        self.signal(Signal::SIGTERM);
    }

    /// The status of the program is taken: another process may get its number, though not while a
    /// process of its own group is left.
    pub(super) fn program_ended(&mut self) {
        if !self.is_own || !self.is_there() {
            self.leave();
        }
    }

    /// Whether it was asked to end.
    pub(super) const fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// Whether a process of it may be left.
    pub(super) const fn may_be_there(&self) -> bool {
        self.id.is_some()
    }

    /// Whether a process of the group is left.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.sends(None)
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
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Whether a process is exiting: it has closed its files, but has no status yet; see `flags` in
/// `proc_pid_stat(5)`. False if `/proc` is not mounted.
pub(super) fn is_exiting(pid: Option<u32>) -> bool {
    const PF_EXITING: u32 = 4;
    let stat = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    // The name, which may have spaces, is in parentheses; the flags are the seventh after it.
    let flags = stat
        .as_deref()
        .and_then(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(6)?.parse().ok());
    flags.is_some_and(|flags: u32| flags & PF_EXITING != 0)
}
