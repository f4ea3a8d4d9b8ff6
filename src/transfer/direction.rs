//! One direction of a transfer: of bytes, or of messages.

use std::task::{Context, Poll};

use super::bytes::Bytes;
use super::descriptors::Rights;
use super::messages::Messages;
use super::outlet::Outlet;
use super::turn::EndFault;
use super::{Side, Tap, TransferOptions};
use crate::memory::MemoryLimit;
use crate::net::Stream;

/// What moves from one end to the other.
pub(super) enum Direction<'a> {
    /// Bytes between two streams.
    Bytes(Bytes<'a>),
    /// Messages from or to an end that keeps them apart. Boxed: a stream takes no memory for it.
    Messages(Box<Messages<'a>>),
}

impl<'a> Direction<'a> {
    /// What `from` sends to `to`; `side` is that of `from`. What `to` does not take at once counts
    /// in `memory`.
    pub(super) fn new(
        (side, from): (Side, &Stream),
        to: &Stream,
        options: &TransferOptions<'a>,
        memory: MemoryLimit,
    ) -> Self {
        let tap: Option<(Side, Tap<'a>)> = options.tap.map(|tap| (side, tap));
        let rights = Rights::of(from, to, options.descriptors, options.dropped);
        match from.keeps_messages() || to.keeps_messages() {
            false => Self::Bytes(Bytes::new(options.engine, rights, memory, tap)),
            true => {
                let outlet = Outlet::new(from, to, options.format, memory.clone(), options.lost);
                let format = options.format;
                let messages = Messages::new(from, outlet, format, rights, memory, tap);
                Self::Messages(Box::new(messages))
            }
        }
    }

    /// The bytes that the other end has taken, without the frames of messages.
    pub(super) const fn passed(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.passed(),
            Self::Messages(messages) => messages.passed(),
        }
    }

    /// A number that changes whenever something passes, also an empty message.
    pub(super) const fn progress(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.passed(),
            Self::Messages(messages) => messages.progress(),
        }
    }

    /// Whether the other end has yet to take something.
    pub(super) fn holds_bytes(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.holds_bytes(),
            Self::Messages(messages) => messages.holds_messages(),
        }
    }

    /// Moves until an end blocks; ready once `to` is half-closed after end of file on `from`.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<(), EndFault>> {
        match self {
            Self::Bytes(bytes) => bytes.poll(cx, from, to),
            Self::Messages(messages) => messages.poll(cx, from, to),
        }
    }
}
