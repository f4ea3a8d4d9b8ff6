//! What passes on a client's connection.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::loops::Traffic;

/// Counts the bytes that pass on a client's connection. Whoever holds it knows them also after a
/// failure, and when a time limit ends the work in the middle.
#[derive(Debug, Default)]
pub struct Counter {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Counter {
    /// What has passed so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
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
