//! Bytes between a connection and two pipes, such as those of a program that serves it. Those of a
//! socket that keeps messages apart are in `message_pipes.rs`.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::Passed;
use super::message_pipes::{FromPeer, MessagePipes};
use crate::loops::MessageFormat;
use crate::memory::{KeptBytes, MemoryLimit};
use crate::net::{Fed, PipeReader, PipeWriter, Received, Stream, is_refused};

/// The maximum size of one copy.
const PIECE: usize = 64 * 1024;
/// The maximum size of one splice, and of one turn, before other connections get theirs.
const TURN: usize = 1 << 20;
/// What each move counts at least in a turn: messages may be empty.
const MOVE: usize = 8 * 1024;
/// The bytes in one direction after which its pipe is enlarged.
const BULK: u64 = 256 * 1024;

thread_local! {
    /// The buffer for copied or discarded bytes; empty between two polls.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE]);
}

/// An event that happens once in a [`PipeTransfer`].
#[derive(Debug)]
pub(crate) enum PipeEvent {
    /// The peer has half-closed, and so the pipe's input is closed.
    PeerEnded,
    /// The pipe's output has reached end of file, and the socket has taken all of it.
    OutputEnded,
    /// The connection failed, with the operation and the error. Both pipes are closed.
    Broken(&'static str, io::Error),
}

/// Moves bytes between a connection and two pipes, and reports when each side ends. If there is no
/// input, or the program has closed it, bytes of the peer are received and discarded: unread bytes
/// would turn the end of the connection into a reset.
#[derive(Debug)]
pub(crate) struct PipeTransfer<'a> {
    stream: &'a Stream,
    /// Until the program closes it, or the peer ends.
    input: Option<PipeWriter>,
    /// Until end of file.
    output: Option<PipeReader>,
    peer_ended: bool,
    there: Way,
    back: Way,
    /// If the socket keeps messages apart.
    messages: Option<Box<MessagePipes>>,
}

/// One direction.
#[derive(Debug)]
struct Way {
    passed: u64,
    copies: bool,
    /// Whether the event loop may not know of available bytes: a splice that moved nothing does not
    /// report which side blocks.
    is_unsure: bool,
    is_wide: bool,
    /// The bytes that were read and could not be written at once.
    unsent: KeptBytes,
}

impl Way {
    const fn new(memory: MemoryLimit) -> Self {
        Self {
            passed: 0,
            copies: false,
            is_unsure: false,
            is_wide: false,
            unsent: KeptBytes::new(memory),
        }
    }

    /// Whether it has just become a stream.
    const fn is_bulk_now(&mut self) -> bool {
        let now = !self.is_wide && self.passed >= BULK;
        self.is_wide |= now;
        now
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_unsure {
            match stream.try_receive(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return Poll::Ready(received.map(Received::count)),
            }
            self.is_unsure = false;
        }
        stream.poll_receive(cx, buffer).map_ok(Received::count)
    }
}

impl<'a> PipeTransfer<'a> {
    /// From `stream` to `input`, if there is one, and from `output` to `stream`. Copied bytes that
    /// are not taken at once count in `memory`. If the socket keeps messages apart, each is in a frame
    /// of `format` in the pipes.
    #[must_use]
    pub(crate) fn new(
        stream: &'a Stream,
        input: Option<PipeWriter>,
        output: PipeReader,
        format: MessageFormat,
        memory: &MemoryLimit,
    ) -> Self {
        let messages = || Box::new(MessagePipes::new(format, memory));
        Self {
            messages: stream.keeps_messages().then(messages),
            stream,
            input,
            output: Some(output),
            peer_ended: false,
            there: Way::new(memory.clone()),
            back: Way::new(memory.clone()),
        }
    }

    /// Whether the peer has ended.
    #[must_use]
    pub(crate) const fn peer_ended(&self) -> bool {
        self.peer_ended
    }

    /// Whether the output has ended.
    #[must_use]
    pub(crate) const fn output_ended(&self) -> bool {
        self.output.is_none()
    }

    /// Moves bytes until an event happens; never ready when both sides have ended. `passed` is
    /// called at each turn with the bytes from the peer and those that the socket has taken.
    pub(crate) async fn next(&mut self, mut passed: impl FnMut(Passed)) -> PipeEvent {
        poll_fn(|cx| {
            let event = match self.poll_back(cx) {
                Poll::Pending => self.poll_there(cx),
                event @ Poll::Ready(_) => event,
            };
            passed(Passed {
                near_to_far: self.there.passed,
                far_to_near: self.back.passed,
            });
            event
        })
        .await
    }

    /// Counts the peer as ended: the program's input is at end of file.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
        self.peer_ended = true;
    }

    /// Closes both pipes: a program's next write fails, and its input is at end of file. Returns
    /// whether it had written more than the socket has taken.
    pub(crate) fn abandon(&mut self) -> bool {
        let is_kept = match &self.messages {
            Some(messages) => messages.has_unsent(),
            None => !self.back.unsent.is_empty(),
        };
        let is_waiting = self.output.take().is_some_and(|output| !output.is_empty());
        self.input = None;
        self.peer_ended = true;
        is_kept || is_waiting
    }

    fn broken(&mut self, operation: &'static str, error: io::Error) -> Poll<PipeEvent> {
        self.abandon();
        Poll::Ready(PipeEvent::Broken(operation, error))
    }

    /// From the output to the peer.
    fn poll_back(&mut self, cx: &mut Context<'_>) -> Poll<PipeEvent> {
        let mut turn = TURN;
        while let Some(output) = &self.output {
            if turn == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // None at end of file.
            let moved = match &mut self.messages {
                Some(messages) => ready!(messages.poll_back(cx, output, self.stream)),
                None => {
                    let moved = match self.back.copies {
                        true => ready!(poll_copy_back(cx, &mut self.back, output, self.stream)),
                        false => ready!(output.poll_splice_to(cx, self.stream, TURN)),
                    };
                    moved.map(|count| (count > 0).then_some(count))
                }
            };
            match moved {
                Ok(None) => {
                    self.output = None;
                    return Poll::Ready(PipeEvent::OutputEnded);
                }
                Ok(Some(count)) => {
                    turn = turn.saturating_sub(count.max(MOVE));
                    self.back.passed += count as u64;
                    if self.back.is_bulk_now() {
                        output.expect_bulk();
                    }
                }
                Err(error)
                    if self.messages.is_none() && !self.back.copies && is_refused(&error) =>
                {
                    self.back.copies = true;
                }
                Err(error) => return self.broken("send", error),
            }
        }
        Poll::Pending
    }

    /// From the peer to the input.
    fn poll_there(&mut self, cx: &mut Context<'_>) -> Poll<PipeEvent> {
        let mut turn = TURN;
        while !self.peer_ended {
            if turn == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let received = match &mut self.messages {
                Some(messages) => messages.poll_there(cx, self.input.as_ref(), self.stream),
                None => self.poll_bytes_there(cx),
            };
            match ready!(received) {
                Ok(FromPeer::End) => {
                    self.input = None;
                    self.peer_ended = true;
                    return Poll::Ready(PipeEvent::PeerEnded);
                }
                Ok(FromPeer::Bytes(count)) => {
                    turn = turn.saturating_sub(count.max(MOVE));
                    self.there.passed += count as u64;
                    if self.there.is_bulk_now()
                        && let Some(input) = &self.input
                    {
                        input.expect_bulk();
                    }
                }
                Ok(FromPeer::InputClosed) => {
                    self.input = None;
                    self.there.is_unsure = true;
                    self.there.unsent.clear();
                }
                Err(error) => return self.broken("receive", error),
            }
        }
        Poll::Pending
    }

    /// Moves bytes of a stream to the input, or discards them.
    fn poll_bytes_there(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<FromPeer>> {
        let there = &mut self.there;
        let fed = match &self.input {
            Some(input) if !there.copies && there.unsent.is_empty() => {
                match ready!(input.poll_splice_from(cx, self.stream, TURN)) {
                    Ok(Fed::Stopped) => {
                        there.is_unsure = true;
                        ready!(poll_copy_there(cx, there, input, self.stream))
                    }
                    Err(error) if is_refused(&error) => {
                        (there.copies, there.is_unsure) = (true, true);
                        ready!(poll_copy_there(cx, there, input, self.stream))
                    }
                    fed => fed,
                }
            }
            Some(input) => ready!(poll_copy_there(cx, there, input, self.stream)),
            None => {
                let received =
                    BUFFER.with_borrow_mut(|buffer| there.poll_receive(cx, self.stream, buffer));
                ready!(received).map(Fed::Bytes)
            }
        };
        Poll::Ready(fed.map(|fed| match fed {
            Fed::Bytes(0) => FromPeer::End,
            Fed::Bytes(count) => FromPeer::Bytes(count),
            Fed::Closed | Fed::Stopped => FromPeer::InputClosed,
        }))
    }
}

/// Sends the program's output through a buffer; returns the number of bytes, 0 at end of file.
fn poll_copy_back(
    cx: &mut Context<'_>,
    way: &mut Way,
    output: &PipeReader,
    stream: &Stream,
) -> Poll<io::Result<usize>> {
    if way.unsent.is_empty() {
        let read = BUFFER.with_borrow_mut(|buffer| {
            let count = ready!(output.poll_read(cx, buffer))?;
            way.unsent.push(&buffer[..count], 0)?;
            Poll::Ready(io::Result::Ok(count))
        });
        if ready!(read)? == 0 {
            return Poll::Ready(Ok(0));
        }
    }
    let sent = ready!(stream.poll_send(cx, &way.unsent))?;
    way.unsent.consume(sent);
    Poll::Ready(Ok(sent))
}

/// Writes bytes of the peer to the program through a buffer; returns the number received, 0 at the
/// peer's end of file.
fn poll_copy_there(
    cx: &mut Context<'_>,
    way: &mut Way,
    input: &PipeWriter,
    stream: &Stream,
) -> Poll<io::Result<Fed>> {
    if input.poll_closed(cx)?.is_ready() {
        return Poll::Ready(Ok(Fed::Closed));
    }
    while !way.unsent.is_empty() {
        match ready!(input.poll_write(cx, &way.unsent))? {
            Fed::Bytes(count) => way.unsent.consume(count),
            closed => return Poll::Ready(Ok(closed)),
        }
    }
    let received = BUFFER.with_borrow_mut(|buffer| {
        let count = ready!(way.poll_receive(cx, stream, buffer))?;
        way.unsent.push(&buffer[..count], 0)?;
        Poll::Ready(io::Result::Ok(count))
    });
    received.map_ok(Fed::Bytes)
}
