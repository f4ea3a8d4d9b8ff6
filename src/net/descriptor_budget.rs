//! The descriptors that busy streams use in addition to their sockets.

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
        static MOST: OnceLock<u64> = OnceLock::new();
        // Read once, after the process has set its limit.
        let most = *MOST.get_or_init(|| {
            let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
            limit / DESCRIPTOR_SHARE
        });
        let budget = Self(count);
        if TAKEN.fetch_add(count, Ordering::Relaxed) + count <= most {
            return Ok(budget);
        }
        Err(nix::Error::EMFILE.into())
    }

    /// Reserves `count` more, even beyond the share.
    fn take_anyway(count: u64) -> Self {
        TAKEN.fetch_add(count, Ordering::Relaxed);
        Self(count)
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

/// The number of descriptors of peers that wait, on all threads.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// Descriptors of a peer that wait to be passed on. Those of all peers together are within the share,
/// or no more than one message may have.
#[derive(Debug)]
pub(crate) struct WaitingDescriptors {
    files: Vec<OwnedFd>,
    _budget: DescriptorBudget,
}

impl WaitingDescriptors {
    /// Keeps `files`.
    ///
    /// # Errors
    /// If too many wait; they are closed.
    pub(crate) fn new(files: Vec<OwnedFd>) -> io::Result<Self> {
        let count = files.len() as u64;
        let waiting = WAITING.fetch_add(count, Ordering::Relaxed) + count;
        let budget = match waiting <= MOST_DESCRIPTORS as u64 {
            true => Ok(DescriptorBudget::take_anyway(count)),
            false => DescriptorBudget::take(count),
        };
        match budget {
            Ok(budget) => Ok(Self {
                files,
                _budget: budget,
            }),
            Err(_) => {
                WAITING.fetch_sub(count, Ordering::Relaxed);
                let cause = format!("{waiting} would wait for their receivers, on all connections");
                Err(not_passed(cause))
            }
        }
    }

    /// The descriptors, which wait no more.
    pub(crate) fn take(&mut self) -> Vec<OwnedFd> {
        let files = std::mem::take(&mut self.files);
        WAITING.fetch_sub(files.len() as u64, Ordering::Relaxed);
        files
    }
}

impl Deref for WaitingDescriptors {
    type Target = [OwnedFd];

    fn deref(&self) -> &[OwnedFd] {
        &self.files
    }
}

impl Drop for WaitingDescriptors {
    fn drop(&mut self) {
        drop(self.take());
    }
}
