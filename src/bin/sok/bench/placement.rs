//! Binds an end to a processor.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use sok::error::{Error, ErrorKind, Result};

const THIS_THREAD: Pid = Pid::from_raw(0);

/// The processors that this thread may use, by number.
#[must_use]
pub(crate) fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(THIS_THREAD) else {
        return Vec::new();
    };
    (0..CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
        .collect()
}

/// Binds this thread, and threads that it starts later, to one processor; see
/// `sched_setaffinity(2)`.
///
/// # Errors
/// [`ErrorKind::Usage`] for a processor that this thread may not use.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    let allowed = allowed_cpus();
    let mut set = CpuSet::new();
    if !allowed.contains(&cpu) || set.set(cpu).is_err() {
        let known: Vec<String> = allowed.iter().map(usize::to_string).collect();
        let cause = format!("no such processor; known are {}", known.join(", "));
        let shown = format!("processor {cpu}");
        return Err(Error::because("place", shown, ErrorKind::Usage, cause));
    }
    sched_setaffinity(THIS_THREAD, &set)
        .map_err(|error| Error::new("place", format!("processor {cpu}"), error))
}
