//! The buffers for messages: shared by the connections of a thread, or owned by one connection.

use std::cell::Cell;
use std::io;
use std::mem;
use std::ops::Range;

use super::framing::MessageDecoder;
use crate::net::{self, LONGEST_MESSAGE};

/// The maximum size of one receive, and of replies before they are sent.
const SCRATCH: usize = 64 * 1024;
/// The maximum length of an answer beyond that of its message, without frame, that never fails for
/// memory.
pub(super) const ANSWER_ROOM: usize = 128 * 1024;
/// The capacity that the reply buffer keeps: enough for all but large messages.
const REPLIES: usize = 2 * SCRATCH + ANSWER_ROOM;

thread_local! {
    /// The buffers of this thread, while no connection uses them.
    static SHARED: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

/// The bytes of one receive, and the replies to them.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) received: Received,
    pub(crate) replies: Vec<u8>,
}

impl Buffers {
    /// The buffers of this thread; [`give_back`](Self::give_back) returns them.
    pub(crate) fn shared() -> Box<Self> {
        SHARED.take().unwrap_or_else(|| {
            let mut buffers = Box::<Self>::default();
            buffers.received.bytes = vec![0; SCRATCH];
            buffers
        })
    }

    /// Returns the buffers to the thread; those of a connection are dropped.
    pub(crate) fn give_back(mut self: Box<Self>) {
        if !self.received.bytes.is_empty() {
            self.received.is_message = false;
            self.clear_replies();
            SHARED.set(Some(self));
        }
    }

    /// Returns the buffers to the thread and continues in buffers of the connection, which grow as
    /// needed. The remaining bytes are kept in `decoder`.
    ///
    /// # Errors
    /// If the memory cannot be allocated.
    pub(super) fn detach(self: &mut Box<Self>, decoder: &mut MessageDecoder) -> io::Result<()> {
        self.received.keep_in(decoder)?;
        mem::take(self).give_back();
        Ok(())
    }

    /// Whether the replies are enough for one send.
    pub(crate) const fn is_full(&self) -> bool {
        self.replies.len() >= SCRATCH
    }

    /// Drops the replies.
    pub(crate) fn clear_replies(&mut self) {
        self.replies.clear();
        if self.replies.capacity() > REPLIES {
            self.replies.shrink_to(REPLIES);
        }
    }
}

/// The bytes of one receive that are not decoded yet.
#[derive(Debug, Default)]
pub(crate) struct Received {
    bytes: Vec<u8>,
    rest: Range<usize>,
    /// Whether the rest is a message, perhaps an empty one, that is not returned yet.
    is_message: bool,
}

impl Received {
    /// The buffer for one receive of a stream, or of a message of at most `max_message` bytes;
    /// [`filled`](Self::filled) sets how much of it was used.
    pub(crate) fn room(&mut self, keeps_messages: bool, max_message: usize) -> &mut [u8] {
        let size = match keeps_messages {
            true => max_message.min(LONGEST_MESSAGE),
            false => SCRATCH,
        };
        if self.bytes.len() < size {
            // Takes memory only for what is received.
            self.bytes = vec![0; size];
        }
        &mut self.bytes[..size]
    }

    /// Whether all of it was decoded.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty() && !self.is_message
    }

    pub(crate) fn filled(&mut self, received: net::Received) {
        self.rest = 0..received.count();
        self.is_message = matches!(received, net::Received::Message(_));
    }

    /// The next complete message of the bytes in `decoder` and the received ones. If there is none,
    /// `decoder` keeps the rest, or the next message is `invalid` and the rest is dropped.
    #[inline]
    pub(crate) fn decode<'a>(
        &'a mut self,
        decoder: &'a mut MessageDecoder,
        invalid: &mut Option<io::Error>,
    ) -> Option<&'a [u8]> {
        if mem::take(&mut self.is_message) {
            return Some(&self.bytes[mem::take(&mut self.rest)]);
        }
        let mut rest = &self.bytes[self.rest.clone()];
        match decoder.next_message(&mut rest) {
            Ok(message) => {
                self.rest.start = self.rest.end - rest.len();
                message
            }
            Err(error) => {
                *invalid = Some(error);
                self.rest = 0..0;
                None
            }
        }
    }

    /// Keeps the rest in `decoder`.
    pub(crate) fn keep_in(&mut self, decoder: &mut MessageDecoder) -> io::Result<()> {
        if self.is_empty() {
            decoder.drop_taken();
            return Ok(());
        }
        let rest = &mut &self.bytes[mem::take(&mut self.rest)];
        match mem::take(&mut self.is_message) {
            true => decoder.keep_message(rest),
            false => decoder.keep(rest),
        }
    }
}
