//! The descriptors that busy streams have beside their sockets.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::resource::{Resource, getrlimit};

/// The part of the process's descriptors that they may take, one in so many: the others are for the
/// connections themselves, which can do without.
pub const DESCRIPTOR_SHARE: u64 = 8;

/// How many are taken, on all threads.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// The right to have some of them, which is given back when this value is dropped.
#[derive(Debug)]
pub(crate) struct DescriptorBudget(u64);

impl DescriptorBudget {
    /// The right to have `count` more.
    ///
    /// # Errors
    /// `EMFILE` if they would be more than their share.
    pub(crate) fn take(count: u64) -> io::Result<Self> {
        static MOST: OnceLock<u64> = OnceLock::new();
        // Read once, when the process has set its limit.
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

    /// How many are taken now.
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
