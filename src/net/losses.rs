//! Datagrams that did not arrive.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The datagrams of a session that were not delivered, either way, and why the first was not.
#[derive(Debug, Default)]
pub struct Losses {
    count: AtomicU64,
    first: OnceLock<(io::ErrorKind, String)>,
}

impl Losses {
    /// The number of datagrams.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Why the first was not delivered, if any.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.first.get().map(|(_, cause)| cause.as_str())
    }

    /// Whether the first was too large for a receive.
    #[must_use]
    pub fn first_was_too_large(&self) -> bool {
        matches!(self.first.get(), Some((io::ErrorKind::InvalidData, _)))
    }

    /// Counts one more.
    pub(crate) fn add(&self, cause: &io::Error) {
        self.add_several(1, cause);
    }

    /// Counts `count` more.
    pub(crate) fn add_several(&self, count: u64, cause: &io::Error) {
        if count > 0 {
            self.count.fetch_add(count, Ordering::Relaxed);
            self.first.get_or_init(|| (cause.kind(), cause.to_string()));
        }
    }
}
