//! The descriptors beside the sockets: those of busy streams, and those of peers that wait to be passed
//! on.

use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::resource::{Resource, getrlimit};

use super::rights::{MOST_DESCRIPTORS, not_passed};

/// Their share of the process's descriptor limit, one in this many; the rest is for connections,
/// which work without them.
pub const DESCRIPTOR_SHARE: u64 = 8;

/// The number in use, on all threads.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// A reservation of some of them, released on drop.
#[derive(Debug)]
pub(crate) struct DescriptorBudget(u64);

impl DescriptorBudget {
    /// Reserves `count` more.
    ///
    /// # Errors
    /// `EMFILE` if that exceeds the share.
    pub(crate) fn take(count: u64) -> io::Result<Self> {
        let budget = Self(count);
        if TAKEN.fetch_add(count, Ordering::Relaxed) + count <= limit() / DESCRIPTOR_SHARE {
            return Ok(budget);
        }
        Err(nix::Error::EMFILE.into())
    }

    /// The number in use now.
    #[must_use]
    pub(crate) fn taken() -> u64 {
        TAKEN.load(Ordering::Relaxed)
    }
}

impl Drop for DescriptorBudget {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// The process's descriptor limit, read once, after the process has set it.
fn limit() -> u64 {
    static LIMIT: OnceLock<u64> = OnceLock::new();
    *LIMIT.get_or_init(|| getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft))
}

/// The number of descriptors of peers that wait, on all threads.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// The messages full of descriptors that may always wait, if half of the limit allows it.
const MESSAGES: u64 = 4;

/// A place for descriptors of a peer that wait to be passed on, given back on drop. Those of all
/// peers together are within the share, or few.
#[derive(Debug)]
pub(crate) struct WaitingPlace(u64);

impl WaitingPlace {
    /// A place for `count` descriptors.
    ///
    /// # Errors
    /// If too many wait.
    pub(crate) fn take(count: usize) -> io::Result<Self> {
        let place = Self(count as u64);
        let waiting = WAITING.fetch_add(place.0, Ordering::Relaxed) + place.0;
        let few = (MESSAGES * MOST_DESCRIPTORS as u64).min(limit() / 2);
        match waiting <= few.max(limit() / DESCRIPTOR_SHARE) {
            true => Ok(place),
            false => Err(not_passed(format_args!(
                "{waiting} would wait for their receivers, on all connections"
            ))),
        }
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        WAITING.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Descriptors of a peer that wait to be passed on, and their place.
#[derive(Debug)]
pub(crate) struct WaitingDescriptors {
    files: Vec<OwnedFd>,
    _place: WaitingPlace,
}

impl WaitingDescriptors {
    /// Keeps `files`.
    ///
    /// # Errors
    /// If too many wait; these are closed.
    pub(crate) fn new(files: Vec<OwnedFd>) -> io::Result<Self> {
        let place = WaitingPlace::take(files.len())?;
        Ok(Self {
            files,
            _place: place,
        })
    }

    /// The descriptors, which wait no more.
    pub(crate) fn into_files(self) -> Vec<OwnedFd> {
        self.files
    }
}

impl Deref for WaitingDescriptors {
    type Target = [OwnedFd];

    fn deref(&self) -> &[OwnedFd] {
        &self.files
    }
}
