//! Messages between a socket that keeps them apart and two pipes, which do not: a framing says
//! where each ends.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use crate::loops::{Framing, MessageDecoder, MessageFormat};
use crate::memory::{KeptBytes, MemoryLimit};
use crate::net::{Fed, LONGEST_MESSAGE, PipeReader, PipeWriter, Stream, with_length};

/// The maximum size of one read.
const PIECE: usize = 64 * 1024;

thread_local! {
    /// Memory that all transfers of a thread share; nothing is left in it between two polls.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Debug, Default)]
struct Scratch {
    /// What was received or read.
    bytes: Vec<u8>,
    /// A message in its frame.
    frame: Vec<u8>,
}

impl Scratch {
    /// A buffer of `size` bytes. It takes memory only for what is put into it.
    fn room(&mut self, size: usize) -> &mut [u8] {
        if self.bytes.len() < size {
            self.bytes = vec![0; size];
        }
        &mut self.bytes[..size]
    }
}

/// What happened on the way from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FromPeer {
    /// This many bytes arrived: at least one on a stream, or a message.
    Bytes(usize),
    /// The end of file.
    End,
    /// The input is closed.
    InputClosed,
}

/// The messages that are under way between a socket and two pipes.
#[derive(Debug)]
pub(super) struct MessagePipes {
    format: MessageFormat,
    /// The part of a frame that the input did not take at once.
    unwritten: KeptBytes,
    reader: MessageReader,
    unsent: Unsent,
    has_read_all: bool,
}

impl MessagePipes {
    pub(super) fn new(format: MessageFormat, memory: &MemoryLimit) -> Self {
        Self {
            format,
            unwritten: KeptBytes::new(memory.clone()),
            reader: MessageReader::new(format, memory),
            unsent: Unsent {
                message: KeptBytes::new(memory.clone()),
                is_one: false,
            },
            has_read_all: false,
        }
    }

    /// Receives a message and writes it in its frame to `input`; without an input it is discarded.
    /// While the input takes nothing, nothing is received.
    ///
    /// A message that does not fit the framing is an error, but only a loss of a session.
    pub(super) fn poll_there(
        &mut self,
        cx: &mut Context<'_>,
        input: Option<&PipeWriter>,
        stream: &Stream,
    ) -> Poll<io::Result<FromPeer>> {
        if let Some(input) = input {
            if input.poll_closed(cx)?.is_ready() {
                return Poll::Ready(Ok(self.input_closed()));
            }
            while !self.unwritten.is_empty() {
                match ready!(input.poll_write(cx, &self.unwritten))? {
                    Fed::Bytes(count) => self.unwritten.consume(count),
                    Fed::Closed | Fed::Stopped => {
                        return Poll::Ready(Ok(self.input_closed()));
                    }
                }
            }
        }
        let limit = self.format.max_message.min(LONGEST_MESSAGE);
        SCRATCH.with_borrow_mut(|scratch| {
            let received = ready!(stream.poll_receive(cx, scratch.room(limit)))?;
            if received.is_end() {
                return Poll::Ready(Ok(FromPeer::End));
            }
            let count = received.count();
            let Scratch { bytes, frame } = scratch;
            if let Some(input) = input {
                frame.clear();
                match (self.format.frame(&bytes[..count], frame), stream.losses()) {
                    (Ok(()), _) => self.write(cx, frame, input)?,
                    (Err(error), Some(losses)) => losses.add(&error),
                    (Err(error), None) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Ready(Ok(FromPeer::Bytes(count)))
        })
    }

    /// Writes as much of `frame` as the input takes, and keeps the rest.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        mut frame: &[u8],
        input: &PipeWriter,
    ) -> io::Result<()> {
        while !frame.is_empty() {
            match input.poll_write(cx, frame)? {
                Poll::Ready(Fed::Bytes(count)) => frame = &frame[count..],
                // If it is closed, the next poll reports it.
                Poll::Ready(Fed::Closed | Fed::Stopped) | Poll::Pending => {
                    return self.unwritten.push(frame, 0);
                }
            }
        }
        Ok(())
    }

    /// What a program does not read is its choice, as on a stream.
    fn input_closed(&mut self) -> FromPeer {
        self.unwritten.clear();
        FromPeer::InputClosed
    }

    /// Whether the socket has not taken a message yet.
    pub(super) const fn has_unsent(&self) -> bool {
        self.unsent.is_one
    }

    /// Sends the next message in the bytes of `output`; returns the number of bytes sent, `None` once
    /// all were.
    pub(super) fn poll_back(
        &mut self,
        cx: &mut Context<'_>,
        output: &PipeReader,
        stream: &Stream,
    ) -> Poll<io::Result<Option<usize>>> {
        let Self { reader, unsent, .. } = self;
        if unsent.is_one {
            return unsent.poll_again(cx, stream).map_ok(Some);
        }
        if let Some(message) = reader.next(&mut &[][..])? {
            return unsent.poll(cx, stream, message).map_ok(Some);
        }
        if self.has_read_all {
            return Poll::Ready(Ok(None));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let buffer = scratch.room(PIECE);
            let count = ready!(output.poll_read(cx, buffer))?;
            if count == 0 {
                self.has_read_all = true;
                return match reader.last()? {
                    Some(message) => unsent.poll(cx, stream, message).map_ok(Some),
                    None => Poll::Ready(Ok(None)),
                };
            }
            let mut bytes = &buffer[..count];
            let sent = match reader.next(&mut bytes)? {
                Some(message) => unsent.poll(cx, stream, message),
                None => Poll::Ready(Ok(0)),
            };
            reader.keep(&mut bytes)?;
            sent.map_ok(Some)
        })
    }
}

/// Receives and discards, each message up to `max_message` bytes, until the peer ends; `received`
/// counts the bytes.
pub(crate) async fn discard_rest(
    stream: &Stream,
    max_message: usize,
    received: impl Fn(usize),
) -> io::Result<()> {
    let size = match stream.keeps_messages() {
        true => max_message.min(LONGEST_MESSAGE),
        false => PIECE,
    };
    let receive = |cx: &mut Context<'_>| {
        SCRATCH.with_borrow_mut(|scratch| stream.poll_receive(cx, scratch.room(size)))
    };
    loop {
        match poll_fn(receive).await? {
            end if end.is_end() => return Ok(()),
            some => received(some.count()),
        }
    }
}

/// A message that the socket had no room for.
#[derive(Debug)]
struct Unsent {
    message: KeptBytes,
    /// Whether there is one; it may be empty.
    is_one: bool,
}

impl Unsent {
    /// Polls to send `message`; keeps it while there is no room.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        message: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = stream.poll_send(cx, message);
        let sent = sent.map_err(|error| with_length(error, message.len()));
        if sent.is_pending() {
            self.message.push(message, 0)?;
            self.is_one = true;
        }
        sent
    }

    fn poll_again(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<io::Result<usize>> {
        let length = self.message.len();
        let sent = ready!(stream.poll_send(cx, &self.message));
        let sent = sent.map_err(|error| with_length(error, length));
        self.message.clear();
        self.is_one = false;
        Poll::Ready(sent)
    }
}

/// Finds the messages in the bytes of a pipe or a file. Without a framing, all bytes are one
/// message.
#[derive(Debug)]
pub(crate) struct MessageReader {
    format: MessageFormat,
    decoder: MessageDecoder,
}

impl MessageReader {
    pub(crate) fn new(format: MessageFormat, memory: &MemoryLimit) -> Self {
        let decoder = MessageDecoder::new(format, memory.clone());
        Self { format, decoder }
    }

    fn is_whole(&self) -> bool {
        self.format.framing == Framing::Chunk
    }

    /// The next complete message; as [`MessageDecoder::next_message`].
    pub(crate) fn next<'a, 'r: 'a>(
        &'a mut self,
        bytes: &mut &'r [u8],
    ) -> io::Result<Option<&'a [u8]>> {
        if !self.is_whole() {
            return self.decoder.next_message(bytes);
        }
        if self.decoder.unfinished().len() + bytes.len() > self.format.max_message {
            return Err(self.format.oversized());
        }
        self.decoder.keep(bytes).map(|()| None)
    }

    /// Keeps bytes for later.
    fn keep(&mut self, bytes: &mut &[u8]) -> io::Result<()> {
        self.decoder.keep(bytes)
    }

    /// The message that end of file ends: a last line may have no newline.
    ///
    /// # Errors
    /// `UnexpectedEof` in the middle of a message whose length is known.
    pub(crate) fn last(&mut self) -> io::Result<Option<&[u8]>> {
        if !self.is_whole() && self.format.framing.delimiter().is_empty() {
            return self.decoder.finish().map(|()| None);
        }
        let rest = self.decoder.unfinished();
        Ok((self.is_whole() || !rest.is_empty()).then_some(rest))
    }
}
