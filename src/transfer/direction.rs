//! One direction of a transfer: Running, then ShuttingDown, then Done.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use super::pipe::Pipe;
use super::{End, Tap};
use crate::net::Stream;

/// What one receive takes at most.
const SCRATCH: usize = 64 * 1024;
/// After so many receives that filled the buffer, a direction is a stream and is spliced.
const FULL_RECEIVES: u8 = 3;
/// A spliced piece below this is small; after [`SMALL_PIECES`] of them it is copied again.
const SMALL_PIECE: usize = 16 * 1024;
const SMALL_PIECES: u8 = 4;
/// What may pass in one turn before other connections have theirs.
const TURN: usize = 1 << 20;

thread_local! {
    /// The buffer of every direction that copies on this thread: it is empty between two turns.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// How bytes are moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Engine {
    /// Copied while they come as messages, spliced while they come as a stream.
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

/// The bytes from one end to the other.
pub(super) struct Direction<'a> {
    state: State,
    engine: Engine,
    passed: u64,
    /// Full receives while copying, small pieces while splicing.
    streak: u8,
    /// What the other end did not take at once.
    unsent: Vec<u8>,
    /// Whether this is a stream, which is spliced.
    splicing: bool,
    /// The pipe that holds bytes of it; an empty one is in the pool.
    pipe: Option<Pipe>,
    /// Who sees the bytes, and which end they come from.
    tap: Option<(End, Tap<'a>)>,
}

impl<'a> Direction<'a> {
    pub(super) const fn new(engine: Engine, tap: Option<(End, Tap<'a>)>) -> Self {
        let state = State::Running;
        Self {
            state,
            engine,
            passed: 0,
            streak: 0,
            unsent: Vec::new(),
            splicing: false,
            pipe: None,
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
                    let more = match self.splicing && self.unsent.is_empty() {
                        true => self.poll_splice(cx, from, to),
                        false => self.poll_copy(cx, from, to),
                    };
                    if !ready!(more)? {
                        self.state = State::ShuttingDown;
                    }
                }
            }
        }
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
        let count = BUFFER.with_borrow_mut(|buffer| {
            let received = ready!(from.poll_receive(cx, buffer));
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
        self.streak = if count == SCRATCH {
            self.streak.saturating_add(1)
        } else {
            0
        };
        let is_stream = self.streak >= FULL_RECEIVES;
        if is_stream && self.engine == Engine::Adaptive && from.splices_well(to) {
            self.streak = 0;
            self.splicing = true;
            to.expect_bulk();
        }
        Poll::Ready(Ok(count > 0))
    }

    /// Moves one piece through a pipe; false at the end.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<bool, Fault>> {
        let mut more = true;
        let Ok(mut pipe) = self.pipe.take().map_or_else(Pipe::take, Ok) else {
            // No pipe to be had is no fault: this stream is copied.
            (self.splicing, self.engine) = (false, Engine::Copy);
            return Poll::Ready(Ok(true));
        };
        if pipe.held() == 0 {
            let Poll::Ready(filled) = from.poll_splice_into(cx, pipe.entry(), pipe.room()) else {
                // While nothing comes, the pipe is for others.
                pipe.give_back();
                return Poll::Pending;
            };
            let count = filled.map_err(|error| (End::Near, "receive", error))?;
            pipe.filled(count);
            more = count > 0;
            self.streak = if count < SMALL_PIECE {
                self.streak.saturating_add(1)
            } else {
                0
            };
        }
        while pipe.held() > 0 {
            match to.poll_splice_from(cx, pipe.exit(), pipe.held()) {
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
        if self.streak >= SMALL_PIECES {
            (self.splicing, self.streak) = (false, 0);
        }
        Poll::Ready(Ok(more))
    }
}
