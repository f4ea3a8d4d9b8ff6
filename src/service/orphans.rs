//! The orphans of a container: PID 1 is the parent of each process whose own parent has ended, and
//! takes its status, or it stays as a zombie.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// The children whose status is awaited here, which is nobody else's to take.
static AWAITED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// When to look again, if a child that is awaited has ended and its status is not taken yet: those
/// behind it are not seen before.
const PAUSE: Duration = Duration::from_millis(10);

fn awaited<T>(with: impl FnOnce(&mut BTreeSet<i32>) -> T) -> T {
    // The set is right after each call of it.
    with(&mut AWAITED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Keeps the status of a child from [`reap_orphans`] while this value lives.
#[derive(Debug)]
pub(super) struct Awaited(i32);

impl Drop for Awaited {
    fn drop(&mut self) {
        awaited(|pids| pids.remove(&self.0));
    }
}

/// Starts a program whose status is to be awaited.
pub(super) fn spawn(command: &mut Command) -> io::Result<(Child, Option<Awaited>)> {
    // It may end before its number is known here.
    awaited(|pids| {
        let child = command.spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        pids.extend(pid);
        Ok((child, pid.map(Awaited)))
    })
}

/// Takes the status of each child that ends and that nothing of this crate awaits: for a program
/// that is PID 1, and awaits no children of its own.
///
/// # Errors
/// What `sigaction(2)` reports.
///
/// # Panics
/// Outside a tokio runtime with its I/O and time drivers enabled.
pub fn reap_orphans() -> io::Result<impl Future<Output = ()>> {
    let mut ended = signal(SignalKind::child())?;
    Ok(async move {
        loop {
            while !reap() {
                sleep(PAUSE).await;
            }
            if ended.recv().await.is_none() {
                return;
            }
        }
    })
}

/// Takes the status of the children that have ended; false if one that is awaited is before others.
fn reap() -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    loop {
        let is_reaped = awaited(|pids| {
            // Without taking the status: it may be awaited.
            let seen = waitid(Id::All, flags | WaitPidFlag::WNOWAIT);
            let pid = seen.ok().and_then(|status| status.pid())?;
            if pids.contains(&pid.as_raw()) {
                return Some(false);
            }
            // Whatever it was, nobody asks for it.
            let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            Some(true)
        });
        match is_reaped {
            Some(true) => {}
            Some(false) => return false,
            None => return true,
        }
    }
}
