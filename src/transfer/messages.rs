//! One direction with an end that keeps messages apart: each message is passed on whole. If the
//! other end is a stream, a framing says where each ends in it.

use std::io;
use std::mem;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use super::descriptors::Rights;
use super::outlet::Outlet;
use super::turn::{EndFault, State, TURN};
use super::{Side, Tap};
use crate::loops::{Buffers, MessageDecoder, MessageFormat};
use crate::memory::MemoryLimit;
use crate::net::{MOST_DESCRIPTORS, Stream, WaitingPlace, not_passed};

/// What a message counts in a turn at least.
const LEAST: usize = 256;

/// The messages from one end to the other.
pub(super) struct Messages<'a> {
    state: State,
    /// Whether each receive is one message.
    keeps_messages: bool,
    max_message: usize,
    rights: Rights<'a>,
    files: Files,
    /// Finds the messages of a stream, and keeps what was received but not passed on.
    decoder: MessageDecoder,
    outlet: Outlet<'a>,
    /// The observer of the messages, and the end that they come from.
    tap: Option<(Side, Tap<'a>)>,
}

impl<'a> Messages<'a> {
    /// The messages that `from` sends to `outlet`; one of both may be a stream of `format`.
    pub(super) fn new(
        from: &Stream,
        outlet: Outlet<'a>,
        format: MessageFormat,
        rights: Rights<'a>,
        memory: MemoryLimit,
        tap: Option<(Side, Tap<'a>)>,
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
            rights,
            files: Files::default(),
            decoder: MessageDecoder::new(decoded, memory),
            outlet,
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
        let waiting = self.files.wait();
        waiting.map_err(|error| (Side::Near, "receive", error))?;
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
                let passed = if self.files.is_empty() {
                    self.outlet.pass(message, replies, to)
                } else {
                    let message = message.to_vec();
                    let is_last = received.is_empty() && self.decoder.finish().is_ok();
                    match self.files.of_message(is_last) {
                        Ok(files) if files.is_empty() => self.outlet.pass(&message, replies, to),
                        Ok(files) => self.outlet.pass_with(&message, files, replies, to),
                        Err(error) => Err((Side::Near, "receive", error)),
                    }
                };
                let Err(fault) = passed else {
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
            let mut files = Vec::new();
            let end = match self.rights.poll_receive(cx, from, room, &mut files) {
                Poll::Ready(Ok(piece)) if !piece.is_end() => {
                    received.filled(piece);
                    if !files.is_empty() || !self.files.is_empty() {
                        let kept = self.files.came(files);
                        kept.map_err(|error| (Side::Near, "receive", error))?;
                    }
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

/// Descriptors that came with bytes of which the message is not passed on yet.
#[derive(Default)]
struct Files {
    /// Those of the message of which only a part has arrived.
    open: Vec<OwnedFd>,
    /// Those of the latest bytes: of the message that the last of them belongs to, as a receive ends
    /// with bytes that came with descriptors.
    latest: Vec<OwnedFd>,
    /// Their place, between two turns.
    place: Option<WaitingPlace>,
}

impl Files {
    const fn is_empty(&self) -> bool {
        self.open.is_empty() && self.latest.is_empty()
    }

    /// Keeps those of the latest bytes; all before them are decoded.
    ///
    /// # Errors
    /// If more have come than one message may have.
    fn came(&mut self, files: Vec<OwnedFd>) -> io::Result<()> {
        self.open.append(&mut self.latest);
        self.latest = files;
        fits_one_message(&self.open)
    }

    /// Takes those of a message that is complete; `is_last` if no bytes after it have arrived.
    ///
    /// # Errors
    /// If they are more than one message may have.
    fn of_message(&mut self, is_last: bool) -> io::Result<Vec<OwnedFd>> {
        let mut all = mem::take(&mut self.open);
        if is_last {
            all.append(&mut self.latest);
        }
        fits_one_message(&all).map(|()| all)
    }

    /// Ends a turn: those that are left wait.
    ///
    /// # Errors
    /// If too many wait.
    fn wait(&mut self) -> io::Result<()> {
        self.place = None;
        if !self.is_empty() {
            let count = self.open.len() + self.latest.len();
            self.place = Some(WaitingPlace::take(count)?);
        }
        Ok(())
    }
}

fn fits_one_message(files: &[OwnedFd]) -> io::Result<()> {
    match files.len() {
        0..=MOST_DESCRIPTORS => Ok(()),
        count => Err(not_passed(format_args!(
            "{count} came with one message, the limit is {MOST_DESCRIPTORS}"
        ))),
    }
}

fn sending(error: io::Error) -> EndFault {
    (Side::Far, "send", error)
}
