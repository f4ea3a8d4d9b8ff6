//! The input of exchanges, with what was read of it and not sent.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;

use super::shared::Shared;
use crate::loops::{MemoryLimit, MessageDecoder, MessageFormat};
use crate::net::uninterrupted;

/// An input that keeps what an exchange has read of it and not sent, for the next one.
#[derive(Debug)]
pub(super) struct Input<R> {
    pub(super) reader: BufReader<R>,
    messages: Option<MessageDecoder>,
    /// A message that was taken out of its frame and is not sent.
    pub(super) unsent: Option<Vec<u8>>,
    /// Whether another exchange may follow, which sends what this one has not.
    pub(super) is_kept: bool,
}

impl<R: Read + AsFd> Input<R> {
    pub(super) fn new(source: R, piece: usize, is_kept: bool) -> Self {
        Self {
            reader: BufReader::with_capacity(piece, source),
            messages: None,
            unsent: None,
            is_kept,
        }
    }

    /// Whether there are bytes to send, which were read or can be, or the end of the input: see
    /// [`Shared::input_comes`].
    pub(super) fn comes(&self, shared: &Shared, peer_ended: &mut bool) -> io::Result<bool> {
        if !self.reader.buffer().is_empty() {
            return Ok(!shared.has_ended());
        }
        shared.input_comes(self.reader.get_ref().as_fd(), peer_ended)
    }

    /// Reads, unless bytes are left; returns how many there are, none at the end of the input.
    pub(super) fn fill(&mut self) -> io::Result<usize> {
        uninterrupted(|| self.reader.fill_buf().map(<[u8]>::len))
    }

    /// The decoder of its messages, which keeps the beginning of one between two exchanges, the bytes
    /// to decode, and the place of a message that is not sent.
    pub(super) fn parts(
        &mut self,
        format: MessageFormat,
    ) -> (&mut MessageDecoder, &mut BufReader<R>, &mut Option<Vec<u8>>) {
        let new = || MessageDecoder::new(format, MemoryLimit::new(usize::MAX));
        let messages = self.messages.get_or_insert_with(new);
        (messages, &mut self.reader, &mut self.unsent)
    }

    /// Forgets the beginning of a message, whose rest does not come.
    pub(super) fn forget_unfinished(&mut self) {
        self.messages = None;
    }

    /// How many bytes were read and not sent.
    pub(super) fn left(&self) -> usize {
        let message = self.unsent.as_ref().map_or(0, Vec::len);
        let unfinished = self
            .messages
            .as_ref()
            .map_or(0, |all| all.unfinished().len());
        message + unfinished + self.reader.buffer().len()
    }
}
