//! One direction of a transfer: Running, then ShuttingDown, then Done.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use super::pipe::Pipe;
use super::{End, Tap};
use crate::net::{Stream, Yielding};

/// What one receive of messages takes at most.
const PIECE: usize = 64 * 1024;
/// What one receive of a copied stream takes at most. TCP cuts 64 KiB into one full segment and one
/// of a few bytes, so that to send such pieces costs about twice what one large piece does.
const STREAM_PIECE: usize = 4 * PIECE;
/// After so many receives that took all they could, a direction is a stream.
const FULL_PIECES: u8 = 3;
/// A piece of a stream below this is small; after [`SMALL_PIECES`] of them it is one no more.
const SMALL_PIECE: usize = 16 * 1024;
const SMALL_PIECES: u8 = 4;
/// What may pass in one turn before other connections have theirs.
const TURN: usize = 1 << 20;

thread_local! {
    /// The buffer of every direction that copies on this thread: it is empty between two turns, and
    /// takes no memory beyond what was received at once.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; STREAM_PIECE]);
}

/// How bytes are moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Engine {
    /// Copied while they come as messages, spliced while they come as a stream, where that is faster.
    #[default]
    Adaptive,
    /// Always copied.
    Copy,
}

/// Which end failed, as seen from this direction, in what, and why.
pub(super) type Fault = (End, &'static str, io::Error);

#[derive(Debug)]
enum State {
    Running,
    ShuttingDown,
    Done,
}

/// What the bytes come as, and so how they are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Messages,
    CopiedStream,
    SplicedStream,
}

/// The bytes from one end to the other.
pub(super) struct Direction<'a> {
    state: State,
    engine: Engine,
    passed: u64,
    flow: Flow,
    /// The last pieces in a row that speak for the other flow: full messages, small ones of a stream.
    streak: u8,
    /// What the other end did not take at once.
    unsent: Vec<u8>,
    /// The pipe that holds bytes of it; an empty one is in the pool.
    pipe: Option<Pipe>,
    /// Whether to yield to who sends, and to who receives.
    yielding: (Yielding, Yielding),
    /// Who sees the bytes, and which end they come from.
    tap: Option<(End, Tap<'a>)>,
}

impl<'a> Direction<'a> {
    pub(super) fn new(engine: Engine, tap: Option<(End, Tap<'a>)>) -> Self {
        let state = State::Running;
        Self {
            state,
            engine,
            passed: 0,
            flow: Flow::Messages,
            streak: 0,
            unsent: Vec::new(),
            pipe: None,
            yielding: <(Yielding, Yielding)>::default(),
            tap,
        }
    }

    /// The bytes that the other end has taken.
    pub(super) const fn passed(&self) -> u64 {
        self.passed
    }

    /// Moves bytes until an end blocks; ready when `to` has been shut down after the end of `from`.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<(), Fault>> {
        let turn_ends = self.passed + TURN as u64;
        loop {
            match self.state {
                State::Done => return Poll::Ready(Ok(())),
                State::ShuttingDown => {
                    to.finish().map_err(|error| (End::Far, "shutdown", error))?;
                    self.state = State::Done;
                }
                State::Running => {
                    if self.passed >= turn_ends {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    let moved = match self.flow {
                        Flow::SplicedStream if self.unsent.is_empty() => {
                            self.poll_splice(cx, from, to)
                        }
                        _ => self.poll_copy(cx, from, to),
                    };
                    if !ready!(moved)? {
                        self.state = State::ShuttingDown;
                    }
                }
            }
        }
    }

    /// Learns from a piece of `count` bytes what they come as.
    fn see(&mut self, count: usize, from: &Stream, to: &Stream) {
        let (is_other, enough) = match self.flow {
            Flow::Messages => (count == PIECE, FULL_PIECES),
            Flow::CopiedStream | Flow::SplicedStream => (count < SMALL_PIECE, SMALL_PIECES),
        };
        self.streak = if is_other { self.streak + 1 } else { 0 };
        if self.streak < enough {
            return;
        }
        self.streak = 0;
        self.flow = match self.flow {
            Flow::CopiedStream | Flow::SplicedStream => Flow::Messages,
            Flow::Messages if self.engine == Engine::Adaptive && from.splices_well(to) => {
                to.expect_bulk();
                Flow::SplicedStream
            }
            Flow::Messages => Flow::CopiedStream,
        };
    }

    /// Copies one piece; false at the end.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<bool, Fault>> {
        while !self.unsent.is_empty() {
            let sent = ready!(to.poll_send(cx, &self.unsent));
            let sent = sent.map_err(|error| (End::Far, "send", error))?;
            self.passed += sent as u64;
            self.unsent.drain(..sent);
        }
        // Idle from here on: the buffer is the thread's again.
        self.unsent = Vec::new();
        let room = match self.flow {
            Flow::Messages => PIECE,
            Flow::CopiedStream | Flow::SplicedStream => STREAM_PIECE,
        };
        let count = BUFFER.with_borrow_mut(|buffer| {
            let received = ready!(from.poll_receive(cx, &mut buffer[..room]));
            let count = received.map_err(|error| (End::Near, "receive", error))?;
            if count > 0 {
                if let Some((from, tap)) = self.tap {
                    tap(from, &buffer[..count]);
                }
                let sent = to.try_send(&buffer[..count]);
                let sent = sent.map_err(|error| (End::Far, "send", error))?;
                self.passed += sent as u64;
                self.unsent.extend_from_slice(&buffer[sent..count]);
            }
            Poll::Ready(Ok(count))
        });
        let count = ready!(count)?;
        self.see(count, from, to);
        Poll::Ready(Ok(count > 0))
    }

    /// Moves one piece through a pipe; false at the end.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<bool, Fault>> {
        let Ok(mut pipe) = self.pipe.take().map_or_else(Pipe::take, Ok) else {
            // No pipe to be had is no fault: this stream is copied.
            (self.flow, self.engine) = (Flow::CopiedStream, Engine::Copy);
            return self.poll_copy(cx, from, to);
        };
        if pipe.held() == 0 && from.is_urgent() {
            // A splice would stop for good where the urgent data was.
            pipe.give_back();
            (self.flow, self.engine) = (Flow::CopiedStream, Engine::Copy);
            return self.poll_copy(cx, from, to);
        }
        // What blocked before is the rest of a piece, and tells nothing of the flow.
        let mut whole = None;
        if pipe.held() == 0 {
            let yielding = &mut self.yielding.0;
            let filled = from.poll_splice_into(cx, pipe.entry(), pipe.room(), yielding);
            let Poll::Ready(filled) = filled else {
                // While nothing comes, the pipe is for others.
                pipe.give_back();
                return Poll::Pending;
            };
            let count = filled.map_err(|error| (End::Near, "receive", error))?;
            pipe.filled(count);
            whole = Some(count);
        }
        while pipe.held() > 0 {
            let yielding = &mut self.yielding.1;
            match to.poll_splice_from(cx, pipe.exit(), pipe.held(), yielding) {
                Poll::Pending => {
                    self.pipe = Some(pipe);
                    return Poll::Pending;
                }
                Poll::Ready(moved) => {
                    let count = moved.map_err(|error| (End::Far, "send", error))?;
                    pipe.drained(count);
                    self.passed += count as u64;
                }
            }
        }
        pipe.give_back();
        match whole {
            // The end, or urgent data that we are not told of yet: a receive knows.
            Some(0) => return self.poll_copy(cx, from, to),
            Some(count) => self.see(count, from, to),
            None => {}
        }
        Poll::Ready(Ok(true))
    }
}
