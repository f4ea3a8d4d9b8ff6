//! The memory for data of clients: limited for each, and in total.

use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::MmapMut;

/// A limit for the data of all connections: incomplete messages, and replies that their peers have
/// not taken yet. Clones share the limit.
#[derive(Debug, Clone)]
pub struct MemoryLimit(Arc<Sum>);

#[derive(Debug)]
struct Sum {
    limit: usize,
    taken: AtomicUsize,
}

impl MemoryLimit {
    /// Enough for 4096 peers that never read the replies to one receive.
    pub const DEFAULT: usize = 256 << 20;

    /// A limit of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let taken = AtomicUsize::new(0);
        Self(Arc::new(Sum { limit, taken }))
    }

    /// The bytes in use.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    fn take(&self, count: usize) -> io::Result<()> {
        let within = |taken: usize| taken.checked_add(count).filter(|sum| *sum <= self.0.limit);
        let taken = &self.0.taken;
        match taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                format!(
                    "the memory limit of {} bytes for all clients is reached",
                    self.0.limit
                ),
            )),
        }
    }

    fn give_back(&self, count: usize) {
        self.0.taken.fetch_sub(count, Ordering::Relaxed);
    }
}

impl Default for MemoryLimit {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

/// Bytes kept for one connection, which count in the limit. It uses no memory while it is empty,
/// and reports a failed allocation.
#[derive(Debug)]
pub(crate) struct KeptBytes {
    space: Space,
    /// The range of bytes that are kept.
    range: Range<usize>,
    /// The bytes counted in the limit.
    counted: usize,
    limit: MemoryLimit,
}

impl KeptBytes {
    pub(crate) const fn new(limit: MemoryLimit) -> Self {
        Self {
            space: Space::Heap(Vec::new()),
            range: 0..0,
            counted: 0,
            limit,
        }
    }

    /// Appends `more`. Capacity for later bytes is reserved up to `most` in total.
    pub(crate) fn push(&mut self, more: &[u8], most: usize) -> io::Result<()> {
        let (length, needed) = (self.len(), self.len() + more.len());
        if needed > self.space.len() {
            let ahead = length / 2 * 3;
            let size = needed.max(ahead.min(most));
            self.limit.take(size - self.counted)?;
            // If the rest fails, this is returned with it.
            self.counted = size;
            let mut space = Space::of(size)?;
            space[..length].copy_from_slice(self);
            self.space = space;
            self.range = 0..length;
        } else if self.range.end + more.len() > self.space.len() {
            self.space.copy_within(self.range.clone(), 0);
            self.range = 0..length;
        }
        let end = self.range.end + more.len();
        self.space[self.range.end..end].copy_from_slice(more);
        self.range.end = end;
        Ok(())
    }

    /// Drops the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.range.start += count;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops all bytes, and frees the memory.
    pub(crate) fn clear(&mut self) {
        self.space = Space::Heap(Vec::new());
        self.range = 0..0;
        self.limit.give_back(std::mem::take(&mut self.counted));
    }
}

impl Deref for KeptBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.space[self.range.clone()]
    }
}

impl Drop for KeptBytes {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Memory of a fixed size. A large one has separate pages, which the system gets back at once: the
/// allocator keeps everything below memory that is still in use.
#[derive(Debug)]
enum Space {
    Heap(Vec<u8>),
    Pages(MmapMut),
}

impl Space {
    /// From this size on it has separate pages.
    const LARGE: usize = 8 * 1024;

    fn of(size: usize) -> io::Result<Self> {
        if size >= Self::LARGE {
            return MmapMut::map_anon(size).map(Self::Pages);
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size)?;
        bytes.resize(size, 0);
        Ok(Self::Heap(bytes))
    }
}

impl Deref for Space {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Pages(pages) => pages,
        }
    }
}

impl DerefMut for Space {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Pages(pages) => pages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_kept_bytes_is_limited_and_freed() -> io::Result<()> {
        let limit = MemoryLimit::new(100);
        let (mut one, mut other) = (KeptBytes::new(limit.clone()), KeptBytes::new(limit.clone()));
        one.push(&[1; 60], 0)?;
        let refused = other.push(&[2; 60], 0).map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::QuotaExceeded));
        other.push(&[2; 40], 0)?;
        assert_eq!(limit.taken(), 100);
        one.consume(60);
        assert_eq!(limit.taken(), 40);
        drop(other);
        assert_eq!(limit.taken(), 0);
        Ok(())
    }

    #[test]
    fn memory_grows_with_the_data() -> io::Result<()> {
        let limit = MemoryLimit::default();
        let mut kept = KeptBytes::new(limit.clone());
        for count in 1..=10_000 {
            kept.push(&[0; 7], 1 << 20)?;
            assert!(limit.taken() <= count * 7 / 2 * 3 + 7, "{}", limit.taken());
        }
        assert_eq!(kept.len(), 70_000);
        // Removed bytes make room for later ones.
        let taken = limit.taken();
        for _ in 0..10_000 {
            kept.consume(7);
            kept.push(&[0; 7], 1 << 20)?;
        }
        assert_eq!((kept.len(), limit.taken()), (70_000, taken));
        Ok(())
    }
}
