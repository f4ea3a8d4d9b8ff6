//! The traffic of a client's connection.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::loops::Traffic;

/// Counts the bytes on a client's connection. It keeps the count after an error or a timeout.
#[derive(Debug, Default)]
pub struct Counter {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Counter {
    /// The traffic so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            undelivered: 0,
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
        }
    }

    pub(super) fn count_received(&self, count: usize) {
        self.received.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn count_sent(&self, count: usize) {
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
    }
}
