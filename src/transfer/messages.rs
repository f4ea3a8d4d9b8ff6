//! One direction with an end that keeps messages apart: each message is passed on whole. If the
//! other end is a stream, a framing says where each ends in it.

use std::net::Shutdown;
use std::task::{Context, Poll, ready};

use super::outlet::Outlet;
use super::turn::{EndFault, State, TURN};
use super::{Lost, Side, Tap};
use crate::loops::{Buffers, MessageDecoder, MessageFormat};
use crate::memory::MemoryLimit;
use crate::net::Stream;

/// What a message counts in a turn at least.
const LEAST: usize = 256;

/// The messages from one end to the other.
pub(super) struct Messages<'a> {
    state: State,
    /// Whether each receive is one message.
    keeps_messages: bool,
    max_message: usize,
    /// Finds the messages of a stream, and keeps what was received but not passed on.
    decoder: MessageDecoder,
    outlet: Outlet<'a>,
    /// The observer of the messages, and the end that they come from.
    tap: Option<(Side, Tap<'a>)>,
}

impl<'a> Messages<'a> {
    /// The messages that `from` sends to `to`, one of which may be a stream of `format`.
    pub(super) fn new(
        from: &Stream,
        to: &Stream,
        format: MessageFormat,
        memory: MemoryLimit,
        tap: Option<(Side, Tap<'a>)>,
        lost: Option<Lost<'a>>,
    ) -> Self {
        let keeps_messages = from.keeps_messages();
        let decoded = match keeps_messages {
            true => format.without_framing(),
            false => format,
        };
        Self {
            state: State::Running,
            keeps_messages,
            max_message: format.max_message,
            decoder: MessageDecoder::new(decoded, memory.clone()),
            outlet: Outlet::new(from, to, format, memory, lost),
            tap,
        }
    }

    /// The bytes of the messages that the other end has taken.
    pub(super) const fn passed(&self) -> u64 {
        self.outlet.passed()
    }

    pub(super) const fn progress(&self) -> u64 {
        self.outlet.progress()
    }

    /// Whether the other end has yet to take a message.
    pub(super) fn holds_messages(&self) -> bool {
        self.outlet.holds_messages() || self.decoder.finish().is_err()
    }

    /// Moves messages until an end blocks; ready once `to` is half-closed after the end of `from`.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<(), EndFault>> {
        let mut buffers = Buffers::shared();
        let moved = self.poll_turn(&mut buffers, cx, from, to);
        // The next turn finds the rest in the decoder: other connections need the buffers.
        let kept = buffers.received.keep_in(&mut self.decoder);
        buffers.give_back();
        kept.map_err(|error| (Side::Far, "send", error))?;
        moved
    }

    fn poll_turn(
        &mut self,
        buffers: &mut Buffers,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<(), EndFault>> {
        let Buffers { received, replies } = buffers;
        let mut left = TURN;
        loop {
            ready!(self.outlet.poll_clear(cx, to)).map_err(sending)?;
            match self.state {
                State::Done => return Poll::Ready(Ok(())),
                State::ShuttingDown => {
                    to.shutdown(Shutdown::Write)
                        .map_err(|error| (Side::Far, "shutdown", error))?;
                    self.state = State::Done;
                    continue;
                }
                State::Running => {}
            }
            let mut invalid = None;
            if let Some(message) = received.decode(&mut self.decoder, &mut invalid) {
                if let Some((from, tap)) = self.tap {
                    tap(from, message);
                }
                left = left.saturating_sub(message.len().max(LEAST));
                let Err(fault) = self.outlet.pass(message, replies, to) else {
                    continue;
                };
                // The messages before it are passed on.
                self.outlet.flush(replies, to).map_err(sending)?;
                return Poll::Ready(Err(fault));
            }
            if let Some(error) = invalid {
                self.outlet.flush(replies, to).map_err(sending)?;
                return Poll::Ready(Err((Side::Near, "receive", error)));
            }
            if left == 0 {
                self.outlet.flush(replies, to).map_err(sending)?;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let room = received.room(self.keeps_messages, self.max_message);
            let end = match from.poll_receive(cx, room) {
                Poll::Ready(Ok(piece)) if !piece.is_end() => {
                    received.filled(piece);
                    continue;
                }
                // One message is lost, the next one may arrive.
                Poll::Ready(Err(error)) if from.is_loss(&error) => {
                    self.outlet.lose(&error);
                    left = left.saturating_sub(LEAST);
                    continue;
                }
                end => end,
            };
            self.outlet.flush(replies, to).map_err(sending)?;
            match end {
                Poll::Pending if !self.outlet.is_blocked() => return Poll::Pending,
                // Waits for room first.
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err((Side::Near, "receive", error))),
                Poll::Ready(Ok(_)) => {
                    let unfinished = self.decoder.finish();
                    unfinished.map_err(|error| (Side::Near, "receive", error))?;
                    self.state = State::ShuttingDown;
                }
            }
        }
    }
}

fn sending(error: std::io::Error) -> EndFault {
    (Side::Far, "send", error)
}
