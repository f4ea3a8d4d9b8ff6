//! The datagrams of one session that its service has not received yet.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use crate::net::received::Received;

/// The bytes after which a queue is full, if it has any datagram.
const FULL_BYTES: usize = 256 * 1024;
/// The datagrams after which a queue is full.
const FULL_COUNT: usize = 256;

/// A queue of datagrams, and the tasks that wait for one.
#[derive(Debug, Default)]
pub(super) struct Queue {
    datagrams: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// Whether no more arrive.
    has_ended: bool,
    /// Whether the peer takes no replies now, so that its service waits for it.
    is_blocked: bool,
    wakers: Vec<Waker>,
}

impl Queue {
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= FULL_BYTES || self.datagrams.len() >= FULL_COUNT
    }

    /// Whether a full queue is the fault of its own peer, which does not take its replies.
    pub(super) const fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    pub(super) const fn set_blocked(&mut self, is_blocked: bool) {
        self.is_blocked = is_blocked;
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Appends a datagram, and wakes who waits for it.
    pub(super) fn push(&mut self, datagram: &[u8]) {
        self.bytes += datagram.len();
        self.datagrams.push_back(datagram.into());
        self.wake();
    }

    /// Takes the oldest datagram, or reports the end.
    ///
    /// # Errors
    /// `InvalidData` if it does not fit into `buffer`.
    pub(super) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        let Some(datagram) = self.datagrams.pop_front() else {
            if self.has_ended {
                return Poll::Ready(Ok(Received::End));
            }
            self.wait(cx);
            return Poll::Pending;
        };
        self.bytes -= datagram.len();
        let received = Received::message(datagram.len(), buffer.len());
        if received.is_ok() {
            buffer[..datagram.len()].copy_from_slice(&datagram);
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

    /// Ends, and drops what has arrived; returns how many datagrams that were.
    pub(super) fn end_now(&mut self) -> usize {
        self.has_ended = true;
        self.bytes = 0;
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
