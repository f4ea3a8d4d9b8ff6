//! Reaps orphans in a container: PID 1 becomes the parent of each process whose parent has ended,
//! and must take its status, or it stays a zombie.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::process;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// The children whose status is awaited here; nothing else may take it.
static AWAITED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// No status is awaited.
static NONE_AWAITED: Notify = Notify::const_new();

fn awaited<T>(with: impl FnOnce(&mut BTreeSet<i32>) -> T) -> T {
    // The set is consistent after each call.
    with(&mut AWAITED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Protects the status of a child from [`reap_orphans`]. Drop it once the status is taken: another
/// child may then get the same number.
#[derive(Debug)]
pub struct Awaited(i32);

impl Drop for Awaited {
    fn drop(&mut self) {
        let is_last = awaited(|pids| pids.remove(&self.0) && pids.is_empty());
        if is_last {
            NONE_AWAITED.notify_one();
        }
    }
}

/// Starts a program whose status is awaited: [`reap_orphans`] leaves it to the caller.
///
/// # Errors
/// As `Command::spawn`.
///
/// # Panics
/// Outside a tokio runtime with its I/O driver enabled.
pub fn spawn(command: &mut Command) -> io::Result<(Child, Option<Awaited>)> {
    // It may end before its number is known here.
    awaited(|pids| {
        let child = command.spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        pids.extend(pid);
        Ok((child, pid.map(Awaited)))
    })
}

/// Takes the status of each ended child that this crate does not await: for a program that is PID 1
/// and awaits no other children.
///
/// # Errors
/// Errors of `sigaction(2)`.
///
/// # Panics
/// Outside a tokio runtime with its I/O driver enabled.
pub fn reap_orphans() -> io::Result<impl Future<Output = ()>> {
    let mut ended = signal(SignalKind::child())?;
    Ok(async move {
        loop {
            awaited(|pids| reap(pids));
            tokio::select! {
                ended = ended.recv() => if ended.is_none() {
                    return;
                },
                () = NONE_AWAITED.notified() => {}
            }
        }
    })
}

/// Takes the status of the ended children that are not awaited.
fn reap(awaited: &BTreeSet<i32>) {
    match children() {
        Some(children) => {
            for pid in children.into_iter().filter(|pid| !awaited.contains(pid)) {
                take_status(Pid::from_raw(pid));
            }
        }
        // The kernel does not report whose status it is before it is taken.
        None if awaited.is_empty() => while take_status(Pid::from_raw(-1)) {},
        None => {}
    }
}

/// Takes the status of a child, or of any for -1; returns whether there was one.
fn take_status(pid: Pid) -> bool {
    match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(status) => status != WaitStatus::StillAlive,
        // The status was taken; its signal has no name, such as a real-time signal.
        Err(errno) => errno == Errno::EINVAL,
    }
}

/// The numbers of the child processes; none if `/proc` lacks them, or belongs to another namespace.
fn children() -> Option<Vec<i32>> {
    let own = fs::read_link("/proc/self").ok()?;
    if own.to_str() != Some(&process::id().to_string()) {
        return None;
    }
    let mut pids = None;
    for thread in fs::read_dir("/proc/self/task").ok()? {
        // A thread that has just ended has passed its children to another.
        if let Ok(children) = fs::read_to_string(thread.ok()?.path().join("children")) {
            let children = children.split(' ').flat_map(str::parse::<i32>);
            pids.get_or_insert_with(Vec::new).extend(children);
        }
    }
    pids
}
