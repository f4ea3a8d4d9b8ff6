//! The buffers of the communication loop: those that the connections of a thread share, and a
//! connection's own.

use std::cell::Cell;
use std::io;
use std::mem;
use std::ops::Range;

use super::framing::MessageDecoder;

/// What one receive takes at most, and what is answered before it is sent.
const SCRATCH: usize = 64 * 1024;
/// What an answer may be longer than its message, besides its frame, and never be short of memory.
pub(super) const ANSWER_ROOM: usize = 128 * 1024;
/// The room that the replies keep: enough for all but large messages.
const REPLIES: usize = 2 * SCRATCH + ANSWER_ROOM;

thread_local! {
    /// Those of this thread, while no connection works with them.
    static SHARED: Cell<Option<Box<Work>>> = const { Cell::new(None) };
}

/// What one receive brought, and the replies to it.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) received: Received,
    pub(super) replies: Vec<u8>,
}

impl Work {
    /// In the buffers of this thread, which are to be given back by [`leave`](Self::leave).
    pub(super) fn shared() -> Box<Self> {
        SHARED.take().unwrap_or_else(|| {
            let mut work = Box::<Self>::default();
            work.received.bytes = vec![0; SCRATCH];
            work
        })
    }

    /// Gives the buffers of the thread back; those of a connection are dropped.
    pub(super) fn leave(mut self: Box<Self>) {
        if !self.received.bytes.is_empty() {
            self.clear_replies();
            SHARED.set(Some(self));
        }
    }

    /// Leaves the buffers of the thread to others and goes on in buffers of the connection, which grow
    /// with what is put into them. What is left is kept in `decoder`.
    ///
    /// # Errors
    /// Where the memory cannot be had.
    pub(super) fn part(self: &mut Box<Self>, decoder: &mut MessageDecoder) -> io::Result<()> {
        self.received.keep_in(decoder)?;
        mem::take(self).leave();
        Ok(())
    }

    /// Whether the replies are enough for one send.
    pub(super) const fn is_much(&self) -> bool {
        self.replies.len() >= SCRATCH
    }

    /// Drops the replies.
    pub(super) fn clear_replies(&mut self) {
        self.replies.clear();
        if self.replies.capacity() > REPLIES {
            self.replies.shrink_to(REPLIES);
        }
    }

    /// Says why there are no more messages, if one was broken; the work is over.
    pub(super) fn done(mut self: Box<Self>) -> io::Result<()> {
        let broken = self.received.broken.take();
        self.leave();
        broken.map_or(Ok(()), Err)
    }
}

/// What one receive brought and is not decoded yet.
#[derive(Debug, Default)]
pub(super) struct Received {
    bytes: Vec<u8>,
    rest: Range<usize>,
    /// Why there are no more messages.
    broken: Option<io::Error>,
}

impl Received {
    /// The room for one receive, of which [`came`](Self::came) says how much was used.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(super) fn came(&mut self, count: usize) {
        self.rest = 0..count;
    }

    /// The next whole message of what `decoder` kept and what was received. If there is none,
    /// `decoder` keeps all that is left, or [`done`](Work::done) says why it cannot.
    #[inline]
    pub(super) fn decode<'a>(&'a mut self, decoder: &'a mut MessageDecoder) -> Option<&'a [u8]> {
        let mut rest = &self.bytes[self.rest.clone()];
        match decoder.next_message(&mut rest) {
            Ok(message) => {
                self.rest.start = self.rest.end - rest.len();
                message
            }
            Err(error) => {
                self.broken = Some(error);
                None
            }
        }
    }

    /// Has `decoder` keep all that is left.
    fn keep_in(&mut self, decoder: &mut MessageDecoder) -> io::Result<()> {
        decoder.keep(&mut &self.bytes[mem::take(&mut self.rest)])
    }
}
