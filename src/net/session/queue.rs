//! The datagrams of one session that its service has not received yet.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::net::descriptor_budget::WaitingDescriptors;
use crate::net::received::Received;
use crate::net::rights::MOST_DESCRIPTORS;

/// The bytes after which a queue is full, if it has any datagram.
const FULL_BYTES: usize = 256 * 1024;
/// The datagrams after which a queue is full.
const FULL_COUNT: usize = 256;
/// How many times as much the queue has room for while its service does not get its turn.
const MOST_TIMES: usize = 2;
/// The bytes in all queues of a socket after which no session keeps more than one datagram.
const FULL_SUM: usize = 64 << 20;
/// What a datagram takes beside its bytes.
const OVERHEAD: usize = 64;
/// A peer that takes no reply for this time does not read: its datagrams no longer delay those of
/// others.
const STALLED: Duration = Duration::from_millis(250);

/// A queue of datagrams, and the tasks that wait for one.
#[derive(Debug, Default)]
pub(super) struct Queue {
    datagrams: VecDeque<Datagram>,
    size: Size,
    /// The descriptors that came with them.
    files: usize,
    /// Whether no more arrive.
    has_ended: bool,
    /// Whether nobody takes what arrives.
    is_gone: bool,
    /// Whether the receiver has waited for its service since the queue was empty.
    was_awaited: bool,
    /// Whether its service no longer waits for the peer to take replies.
    is_given_up: bool,
    /// Since when the peer takes no replies, if its service waits for it.
    blocked_since: Option<Instant>,
    wakers: Vec<Waker>,
}

/// The size of a queue, which counts in the sum of all queues of a socket.
#[derive(Debug, Default)]
struct Size {
    own: usize,
    sum: Arc<AtomicUsize>,
}

impl Size {
    fn add(&mut self, datagram: usize) {
        self.own += datagram + OVERHEAD;
        self.sum.fetch_add(datagram + OVERHEAD, Relaxed);
    }

    fn remove(&mut self, datagram: usize) {
        self.own -= datagram + OVERHEAD;
        self.sum.fetch_sub(datagram + OVERHEAD, Relaxed);
    }

    fn clear(&mut self) {
        self.sum.fetch_sub(std::mem::take(&mut self.own), Relaxed);
    }
}

impl Drop for Size {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A datagram, with the descriptors that came with it.
#[derive(Debug)]
struct Datagram {
    bytes: Box<[u8]>,
    files: Option<Box<WaitingDescriptors>>,
}

impl Queue {
    /// An empty queue, whose datagrams count in `sum`.
    pub(super) fn new(sum: Arc<AtomicUsize>) -> Self {
        Self {
            size: Size { own: 0, sum },
            ..Self::default()
        }
    }

    /// Whether it has no room, or is not empty while all queues together are full.
    pub(super) fn is_full(&self) -> bool {
        self.size.own >= FULL_BYTES
            || self.datagrams.len() >= FULL_COUNT
            || self.files >= MOST_DESCRIPTORS
            || self.is_sum_full() && !self.datagrams.is_empty()
    }

    /// Whether it takes no more: it has room for a batch more than when it is full.
    pub(super) fn has_no_room(&self) -> bool {
        self.size.own >= MOST_TIMES * FULL_BYTES
            || self.datagrams.len() >= MOST_TIMES * FULL_COUNT
            || self.files >= MOST_DESCRIPTORS
    }

    /// Whether all queues together are full.
    pub(super) fn is_sum_full(&self) -> bool {
        self.size.sum.load(Relaxed) >= FULL_SUM
    }

    /// Whether the other datagrams of the socket wait until this queue has room: it is full, and not
    /// by the fault of its own peer, which does not read its replies.
    pub(super) fn delays_others(&self) -> bool {
        let is_stalled = self.stalled_at().is_some_and(|at| at <= Instant::now());
        self.is_full() && !is_stalled && !self.has_ended
    }

    /// Whether its service has not had its turn since the queue was empty, as that of a session that has
    /// just begun. It gets one: a slow service must not set the pace of the others.
    pub(super) const fn is_to_be_awaited(&self) -> bool {
        !self.was_awaited
    }

    pub(super) const fn note_awaited(&mut self) {
        self.was_awaited = true;
    }

    /// When the peer counts as stalled, if it takes no replies.
    pub(super) fn stalled_at(&self) -> Option<Instant> {
        self.blocked_since.map(|since| since + STALLED)
    }

    /// Whether the peer takes no replies now.
    pub(super) fn set_blocked(&mut self, is_blocked: bool) {
        self.blocked_since = match is_blocked {
            true => self.blocked_since.or_else(|| Some(Instant::now())),
            false => None,
        };
    }

    pub(super) const fn is_given_up(&self) -> bool {
        self.is_given_up
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether its service has ended, so that nobody takes what arrives.
    pub(super) const fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Appends a datagram, and wakes who waits for it.
    ///
    /// # Errors
    /// If too many descriptors wait.
    pub(super) fn push(&mut self, datagram: &[u8], files: Vec<OwnedFd>) -> io::Result<()> {
        let count = files.len();
        let files = match count {
            0 => None,
            _ => Some(Box::new(WaitingDescriptors::new(files)?)),
        };
        self.files += count;
        self.size.add(datagram.len());
        let bytes = datagram.into();
        self.datagrams.push_back(Datagram { bytes, files });
        self.wake();
        Ok(())
    }

    /// Takes the oldest datagram, or reports the end. Its descriptors are appended to `files`, or
    /// closed.
    ///
    /// # Errors
    /// `InvalidData` if it does not fit into `buffer`.
    pub(super) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        files: Option<&mut Vec<OwnedFd>>,
    ) -> Poll<io::Result<Received>> {
        let Some(datagram) = self.datagrams.pop_front() else {
            if self.has_ended {
                return Poll::Ready(Ok(Received::End));
            }
            self.wait(cx);
            return Poll::Pending;
        };
        self.was_awaited &= !self.datagrams.is_empty();
        self.blocked_since = None;
        let bytes = datagram.bytes;
        self.size.remove(bytes.len());
        let received = Received::message(bytes.len(), buffer.len());
        if received.is_ok() {
            buffer[..bytes.len()].copy_from_slice(&bytes);
        }
        if let Some(waiting) = datagram.files {
            self.files -= waiting.len();
            if let Some(files) = files
                && received.is_ok()
            {
                files.append(&mut waiting.into_files());
            }
        }
        Poll::Ready(received)
    }

    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_ended {
            return Poll::Ready(());
        }
        self.wait(cx);
        Poll::Pending
    }

    /// Takes no more datagrams: the end follows those that have arrived.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
        self.wake();
    }

    /// The same, and a peer that does not take its replies gets no more of them, so that it does not
    /// keep its place.
    pub(super) fn give_up(&mut self) {
        self.is_given_up = true;
        self.end();
    }

    /// Ends, and drops what has arrived; returns how many datagrams that were.
    pub(super) fn end_now(&mut self) -> usize {
        (self.has_ended, self.is_gone) = (true, true);
        self.size.clear();
        self.files = 0;
        std::mem::take(&mut self.datagrams).len()
    }

    fn wait(&mut self, cx: &Context<'_>) {
        if !self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
    }

    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_awaited_once_until_it_has_taken_all() {
        let mut queue = Queue::default();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            queue.push(b"one", Vec::new()).unwrap();
            queue.push(b"two", Vec::new()).unwrap();
            assert!(queue.is_to_be_awaited());
            queue.note_awaited();
            assert!(queue.poll_take(&mut cx, &mut [0; 3], None).is_ready());
            assert!(!queue.is_to_be_awaited());
            assert!(queue.poll_take(&mut cx, &mut [0; 3], None).is_ready());
        }
        assert!(queue.is_to_be_awaited());
    }

    #[test]
    fn the_queues_of_a_socket_have_a_sum() {
        let sum = Arc::<AtomicUsize>::default();
        let new = || Queue::new(Arc::clone(&sum));
        let mut all: Vec<Queue> = Vec::new();
        while !all.last().is_some_and(Queue::is_sum_full) {
            let mut queue = new();
            while !queue.is_full() {
                queue.push(&[0; 1000], Vec::new()).unwrap();
            }
            all.push(queue);
        }
        assert!(sum.load(Relaxed) < FULL_SUM + 2 * FULL_BYTES);
        // One that has nothing may take a datagram, and no second one.
        let mut other = new();
        assert!(!other.is_full());
        other.push(b"", Vec::new()).unwrap();
        assert!(other.is_full() && !other.has_no_room());

        let mut cx = Context::from_waker(Waker::noop());
        while all[0].poll_take(&mut cx, &mut [0; 1000], None).is_ready() {}
        assert!(!other.is_full());
        let _ = other.end_now();
        drop(all);
        assert_eq!(sum.load(Relaxed), 0);
    }
}
