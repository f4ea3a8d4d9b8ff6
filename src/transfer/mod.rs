//! Transfers bytes both ways between two ends of any family: half-close for each direction, copy
//! for messages, splice for streams, back-pressure, and no buffer while idle.
//!
//! An end that keeps messages apart gets and gives whole messages. Between such an end and a stream,
//! a framing says where a message ends in the stream.
//!
//! ```
//! use std::net::Shutdown;
//!
//! use sok::net::Stream;
//! use sok::transfer::{TransferOptions, transfer};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let (client, near) = Stream::pair()?;
//! let (far, server) = Stream::pair()?;
//! client.send_all(b"question").await?;
//! client.shutdown(Shutdown::Write)?;
//! server.send_all(b"answer").await?;
//! server.shutdown(Shutdown::Write)?;
//!
//! let mut moved = (0, 0);
//! let counted = |passed: sok::transfer::Passed| moved = (passed.near_to_far, passed.far_to_near);
//! transfer(&near, &far, TransferOptions::default(), counted).await.map_err(|fault| format!("{fault:?}"))?;
//! assert_eq!(moved, (8, 6));
//! let mut buffer = [0; 64];
//! assert_eq!(server.receive(&mut buffer).await?.count(), 8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bytes;
mod clock;
mod descriptors;
mod direction;
mod flow;
mod idle;
mod message_pipes;
mod messages;
mod outlet;
mod peer_closed;
mod pipe;
mod pipes;
mod turn;
mod yielding;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use self::clock::Clock;
pub use self::descriptors::{Descriptors, Dropped};
use self::direction::Direction;
pub(crate) use self::idle::unless_idle;
pub(crate) use self::message_pipes::{MessageReader, discard_rest};
pub(crate) use self::pipes::{PipeEvent, PipeTransfer};
use self::turn::EndFault;
use crate::loops::{Framing, MessageFormat};
use crate::memory::MemoryLimit;
use crate::net::Stream;

/// How bytes are moved between two streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// Copy messages, and splice streams if that is faster.
    #[default]
    Adaptive,
    /// Always copied.
    Copy,
}

/// The bytes moved in each direction, without the frames of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// From the near end to the far end.
    pub near_to_far: u64,
    /// From the far end to the near end.
    pub far_to_near: u64,
}

/// One of the two ends of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first, usually a client.
    Near,
    /// The second, usually a server.
    Far,
}

/// The reason why a transfer failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransferFault {
    /// An end failed in a receive or a send.
    Broken(Side, &'static str, io::Error),
    /// No data passed in either direction for the idle time.
    Idle(Duration),
    /// The transfer was half-closed, and no data passed in the open direction for its time limit.
    HalfClosed(Duration),
    /// One end is a stream, the other keeps messages apart, and no framing says where a message ends
    /// in the stream.
    NoFraming,
}

/// Observes the bytes received from an end, or each of its messages, before the other end gets them.
pub type Tap<'a> = &'a (dyn Fn(Side, &[u8]) + Send + Sync);

/// Is called for each datagram that could not be delivered; the transfer goes on.
pub type Lost<'a> = &'a (dyn Fn(&io::Error) + Send + Sync);

/// A future that few connections need; boxed, so that it takes no memory of the others.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The options of a transfer.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct TransferOptions<'a> {
    /// How bytes are moved.
    pub engine: Engine,
    /// The time without a byte in either direction after which it ends.
    pub idle: Option<Duration>,
    /// The time without a byte in a half-closed transfer after which it ends.
    pub half_close: Option<Duration>,
    /// The memory limit for bytes that the ends do not take at once; by default separate for each
    /// transfer.
    pub memory: Option<&'a MemoryLimit>,
    /// The observer of the bytes, if any; it disables splicing.
    pub tap: Option<Tap<'a>>,
    /// Where messages end in a stream whose other end keeps them apart, and the largest message.
    pub format: MessageFormat,
    /// Counts the datagrams that could not be delivered.
    pub lost: Option<Lost<'a>>,
    /// What is done with descriptors that come with bytes or messages.
    pub descriptors: Descriptors,
    /// Counts the descriptors that were closed.
    pub dropped: Option<Dropped<'a>>,
}

impl std::fmt::Debug for TransferOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransferOptions")
            .field("engine", &self.engine)
            .field("idle", &self.idle)
            .field("half_close", &self.half_close)
            .field("memory", &self.memory)
            .field("tapped", &self.tap.is_some())
            .field("format", &self.format)
            .field("descriptors", &self.descriptors)
            .finish_non_exhaustive()
    }
}

/// Moves bytes or messages both ways between `near` and `far` until both have ended.
///
/// End of file on one side half-closes the other, and the other direction stays open. While a side
/// does not read, at most one buffer, pipe or message for each direction is held. If a side has closed
/// completely, and its family reports that, it takes nothing more: the transfer ends once the other
/// side has all its bytes.
///
/// A datagram socket has no end. A session ends with its idle time, or when the far side ends. After
/// the end of a near side, a far datagram socket may answer until nothing has passed for `half_close`,
/// by default `idle`, by default
/// [`SESSION_IDLE`](crate::net::ListenOptions::SESSION_IDLE).
///
/// `passed` is called at each turn with the bytes that the other ends have taken so far.
///
/// # Errors
/// The end that failed; the caller resets both, so that neither gets end of file.
// Not an `async fn`, which would keep its arguments in memory for each connection.
pub fn transfer<'a>(
    near: &'a Stream,
    far: &'a Stream,
    mut options: TransferOptions<'a>,
    mut passed: impl FnMut(Passed),
) -> impl Future<Output = Result<(), TransferFault>> {
    let is_bridge = near.keeps_messages() != far.keeps_messages();
    let has_no_framing = is_bridge && options.format.framing == Framing::Chunk;
    if options.tap.is_some() {
        options.engine = Engine::Copy;
    }
    let clock = Clock::new(near, far, &options);
    let memory = options.memory.cloned().unwrap_or_default();
    let mut there = Direction::new((Side::Near, near), far, &options, memory.clone());
    let mut back = Direction::new((Side::Far, far), near, &options, memory);
    // After end of file, a receive reports nothing more, but the connection can still be reset, or
    // be closed for sending too.
    let mut gone: Option<Boxed<'a, io::Result<()>>> = None;
    // What says that nobody takes the datagrams: a receive may not report it.
    let mut refused: Option<Boxed<'a, io::Error>> = None;
    // From then on no direction is polled.
    let mut left: Option<Boxed<'a, Result<(), TransferFault>>> = None;
    async move {
        if has_no_framing {
            return Err(TransferFault::NoFraming);
        }
        let both = poll_fn(|cx| {
            if let Some(left) = &mut left {
                return left.as_mut().poll(cx);
            }
            let broken_there =
                |(end, operation, error)| TransferFault::Broken(end, operation, error);
            let broken_back = |(end, operation, error): EndFault| {
                TransferFault::Broken(end.other(), operation, error)
            };
            let there_done = there.poll(cx, near, far).map_err(broken_there);
            let back_done = back.poll(cx, far, near).map_err(broken_back);
            passed(Passed {
                near_to_far: there.passed(),
                far_to_near: back.passed(),
            });
            if clock.is_needed() {
                let holds_bytes = there.holds_bytes() || back.holds_bytes();
                clock.note(there.progress() + back.progress(), holds_bytes);
            }
            if !far.has_connection() && (refused.is_none() || far.has_failed()) {
                let waiting = refused.get_or_insert_with(|| Box::pin(far.reset_by_peer()));
                if let Poll::Ready(error) = waiting.as_mut().poll(cx) {
                    if !far.is_loss(&error) {
                        return Poll::Ready(Err(TransferFault::Broken(
                            Side::Far,
                            "receive",
                            error,
                        )));
                    }
                    options.lost.inspect(|lost| lost(&error));
                    refused = None;
                    cx.waker().wake_by_ref();
                }
            }
            let (end, ended, other, holds_bytes) = match (there_done?, back_done?) {
                (Poll::Ready(()), Poll::Ready(())) => return Poll::Ready(Ok(())),
                (Poll::Pending, Poll::Pending) => return Poll::Pending,
                (Poll::Ready(()), Poll::Pending) => (Side::Near, near, far, back.holds_bytes()),
                (Poll::Pending, Poll::Ready(())) => (Side::Far, far, near, there.holds_bytes()),
            };
            let gone = gone.get_or_insert_with(|| {
                clock.note_end(end, near, far);
                // A session ends with the other end, after what has arrived.
                other.end_session();
                Box::pin(ended.peer_closed())
            });
            if !ended.has_connection() {
                // Its peer may still get answers.
                return Poll::Pending;
            }
            match ready!(gone.as_mut().poll(cx)) {
                Err(error) => Poll::Ready(Err(TransferFault::Broken(end, "receive", error))),
                Ok(()) if holds_bytes => Poll::Ready(Err(peer_closed::undelivered(end))),
                Ok(()) => {
                    let left = left.insert(Box::pin(peer_closed::until_taken(end, other)));
                    left.as_mut().poll(cx)
                }
            }
        });
        if !clock.is_needed() {
            return both.await;
        }
        // On the heap: otherwise a transfer without a limit would have the size of its timer.
        let ended = Box::pin(unless_idle(both, || clock.limit(), || clock.progress())).await;
        match ended.map_err(|limit| clock.fault(limit)) {
            Ok(ended) => ended,
            Err(Some(fault)) => Err(fault),
            Err(None) if far.has_connection() => Box::pin(peer_closed::until_last_taken(far)).await,
            Err(None) => Ok(()),
        }
    }
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}
