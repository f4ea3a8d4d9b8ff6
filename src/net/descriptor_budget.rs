//! The descriptors that busy streams use in addition to their sockets.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::resource::{Resource, getrlimit};

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
