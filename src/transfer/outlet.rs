//! The end of a direction that messages are sent to, and those that it has not taken yet.

use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use super::turn::EndFault;
use super::{Lost, Side};
use crate::loops::MessageFormat;
use crate::memory::{KeptBytes, MemoryLimit};
use crate::net::{Stream, WaitingDescriptors, with_length};

/// Frames are collected up to this size, and sent at once.
const FRAMES: usize = 64 * 1024;
/// A larger message may need larger buffers than the usual ones, see `wmem_default` in `socket(7)`.
const LARGE: usize = 128 * 1024;

/// Where messages are sent to: one send for each, or in frames.
pub(super) struct Outlet<'a> {
    /// Whether each send is one message.
    keeps_messages: bool,
    format: MessageFormat,
    /// A message, which may be empty, or bytes of frames, that the end did not take at once.
    unsent: KeptBytes,
    /// Descriptors, and the number of bytes to send before the one that they go with.
    files: Option<(Box<WaitingDescriptors>, usize)>,
    is_blocked: bool,
    /// The messages that the end has not taken yet, and their bytes.
    waiting: (u64, u64),
    /// Whether the buffers are large already.
    is_enlarged: bool,
    passed: u64,
    progress: u64,
    /// Whether a message that cannot be passed on is only a loss: its sender has no connection that
    /// could break.
    is_loss: bool,
    lost: Option<Lost<'a>>,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(
        from: &Stream,
        to: &Stream,
        format: MessageFormat,
        memory: MemoryLimit,
        lost: Option<Lost<'a>>,
    ) -> Self {
        Self {
            keeps_messages: to.keeps_messages(),
            format,
            unsent: KeptBytes::new(memory),
            files: None,
            is_blocked: false,
            is_enlarged: false,
            waiting: (0, 0),
            passed: 0,
            progress: 0,
            is_loss: !from.has_connection(),
            lost,
        }
    }

    pub(super) const fn passed(&self) -> u64 {
        self.passed
    }

    pub(super) const fn progress(&self) -> u64 {
        self.progress
    }

    /// Whether the end has not taken all messages.
    pub(super) const fn holds_messages(&self) -> bool {
        self.waiting.0 > 0
    }

    /// Whether the end did not take what was sent last.
    pub(super) const fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Counts a message that is not delivered.
    pub(super) fn lose(&self, cause: &io::Error) {
        if let Some(lost) = self.lost {
            lost(cause);
        }
    }

    /// Polls to send what the end did not take before.
    pub(super) fn poll_clear(&mut self, cx: &mut Context<'_>, to: &Stream) -> Poll<io::Result<()>> {
        while self.is_blocked {
            let sent = ready!(match &self.files {
                Some((files, 0)) => to.poll_send_passing(cx, &self.unsent, files),
                Some((_, before)) => to.poll_send(cx, &self.unsent[..*before]),
                None => to.poll_send(cx, &self.unsent),
            });
            self.progress += 1;
            if self.keeps_messages {
                let length = self.unsent.len();
                self.unsent.clear();
                self.files = None;
                self.is_blocked = false;
                self.delivered(sent, length, to)?;
            } else {
                let sent = sent?;
                self.files = self.files.take().and_then(|(files, before)| {
                    (before > 0).then(|| (files, before.saturating_sub(sent)))
                });
                self.unsent.consume(sent);
                if self.unsent.is_empty() {
                    self.is_blocked = false;
                    self.taken();
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends a message, or appends its frame to `frames`; they are sent once they are many.
    pub(super) fn pass(
        &mut self,
        message: &[u8],
        frames: &mut Vec<u8>,
        to: &Stream,
    ) -> Result<(), EndFault> {
        let sending = |error| (Side::Far, "send", error);
        if !self.keeps_messages {
            match self.format.frame(message, frames) {
                Ok(()) => self.waits(message.len()),
                Err(error) if self.is_loss => self.lose(&error),
                Err(error) => return Err((Side::Near, "receive", error)),
            }
            return match frames.len() < FRAMES {
                true => Ok(()),
                false => self.flush(frames, to).map_err(sending),
            };
        }
        self.waits(message.len());
        self.prepare_for(message.len(), to);
        match to.try_send(message) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_blocked = true;
                self.unsent.push(message, 0).map_err(sending)
            }
            sent => self.delivered(sent, message.len(), to).map_err(sending),
        }
    }

    /// Sends a message with descriptors that came with it, after all `frames` before it.
    pub(super) fn pass_with(
        &mut self,
        message: &[u8],
        files: Vec<OwnedFd>,
        frames: &mut Vec<u8>,
        to: &Stream,
    ) -> Result<(), EndFault> {
        let sending = |error| (Side::Far, "send", error);
        let mut bytes = message;
        if !self.keeps_messages {
            self.flush(frames, to).map_err(sending)?;
            match self.format.frame(message, frames) {
                Ok(()) => bytes = frames,
                Err(error) if self.is_loss => {
                    self.lose(&error);
                    return Ok(());
                }
                Err(error) => return Err((Side::Near, "receive", error)),
            }
        }
        self.waits(message.len());
        self.prepare_for(message.len(), to);
        let before = self.unsent.len();
        let sent = match before {
            0 => to.try_send_passing(bytes, &files),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        };
        let kept = match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match WaitingDescriptors::new(files) {
                    Ok(files) => {
                        self.is_blocked = true;
                        self.files = Some((Box::new(files), before));
                        self.unsent.push(bytes, 0).map_err(sending)
                    }
                    Err(error) if self.is_loss => {
                        self.waiting.0 -= 1;
                        self.waiting.1 -= message.len() as u64;
                        self.lose(&error);
                        Ok(())
                    }
                    Err(error) => Err((Side::Near, "receive", error)),
                }
            }
            sent if self.keeps_messages => self.delivered(sent, message.len(), to).map_err(sending),
            sent => sent.map_err(sending).and_then(|sent| {
                self.progress += 1;
                match &bytes[sent..] {
                    [] => self.taken(),
                    rest => {
                        self.is_blocked = true;
                        self.unsent.push(rest, 0).map_err(sending)?;
                    }
                }
                Ok(())
            }),
        };
        frames.clear();
        kept
    }

    /// Sends all `frames`, and keeps what the end does not take.
    pub(super) fn flush(&mut self, frames: &mut Vec<u8>, to: &Stream) -> io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        let sent = match to.try_send(frames) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            sent => sent,
        }?;
        self.progress += 1;
        match sent == frames.len() {
            true => self.taken(),
            false => {
                self.is_blocked = true;
                self.unsent.push(&frames[sent..], 0)?;
            }
        }
        frames.clear();
        Ok(())
    }

    /// Enlarges the buffers before the first large message.
    fn prepare_for(&mut self, length: usize, to: &Stream) {
        if length > LARGE && !mem::replace(&mut self.is_enlarged, true) {
            to.expect_bulk();
        }
    }

    const fn waits(&mut self, bytes: usize) {
        self.waiting.0 += 1;
        self.waiting.1 += bytes as u64;
    }

    /// The end has taken all that waited.
    fn taken(&mut self) {
        self.passed += mem::take(&mut self.waiting).1;
        self.progress += 1;
    }

    /// A message of `length` bytes was sent, or was lost, or the end is broken.
    fn delivered(&mut self, sent: io::Result<usize>, length: usize, to: &Stream) -> io::Result<()> {
        let Err(error) = sent else {
            self.taken();
            return Ok(());
        };
        let is_loss = to.is_loss(&error);
        let error = with_length(error, length);
        if !is_loss {
            return Err(error);
        }
        self.lose(&error);
        self.waiting = (0, 0);
        self.progress += 1;
        Ok(())
    }
}

impl Drop for Outlet<'_> {
    /// Counts what was not taken before the transfer failed, if nothing else tells the sender.
    fn drop(&mut self) {
        if self.is_loss {
            let cause = io::Error::other("the connection ended before it was sent");
            (0..self.waiting.0).for_each(|_| self.lose(&cause));
        }
    }
}
