//! Transfers bytes both ways between two ends of any family: half-close for each direction, copy
//! for messages, splice for streams, back-pressure, and no buffer while idle.
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

mod direction;
mod idle;
mod message_pipes;
mod peer_closed;
mod pipe;
mod pipes;
mod yielding;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use self::direction::Direction;
pub use self::direction::Engine;
pub(crate) use self::idle::unless_idle;
pub(crate) use self::message_pipes::{MessageReader, discard_rest};
pub(crate) use self::pipes::{PipeEvent, PipeTransfer};
use crate::memory::MemoryLimit;
use crate::net::Stream;

/// The bytes moved in each direction.
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
}

/// Observes the bytes received from an end, before the other end gets them.
pub type Tap<'a> = &'a (dyn Fn(Side, &[u8]) + Send + Sync);

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
}

impl std::fmt::Debug for TransferOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransferOptions")
            .field("engine", &self.engine)
            .field("idle", &self.idle)
            .field("half_close", &self.half_close)
            .field("memory", &self.memory)
            .field("tapped", &self.tap.is_some())
            .finish()
    }
}

/// Moves bytes both ways between `near` and `far` until both have ended.
///
/// End of file on one side half-closes the other, and the other direction stays open. While a side
/// does not read, at most one buffer or pipe for each direction is held. If a side has closed
/// completely, and its family reports that, it takes nothing more: the transfer ends once the other
/// side has all its bytes.
/// `passed` is called at each turn with the bytes that the other ends have taken so far.
///
/// # Errors
/// The end that failed; the caller resets both, so that neither gets end of file.
pub async fn transfer(
    near: &Stream,
    far: &Stream,
    options: TransferOptions<'_>,
    mut passed: impl FnMut(Passed),
) -> Result<(), TransferFault> {
    let TransferOptions {
        engine,
        idle,
        half_close,
        memory,
        tap,
    } = options;
    let memory = memory.cloned().unwrap_or_default();
    let engine = if tap.is_some() { Engine::Copy } else { engine };
    let mut there = Direction::new(engine, memory.clone(), tap.map(|tap| (Side::Near, tap)));
    let mut back = Direction::new(engine, memory, tap.map(|tap| (Side::Far, tap)));
    let (moved, is_half_closed) = (AtomicU64::new(0), AtomicBool::new(false));
    // After end of file, a receive reports nothing more, but the connection can still be reset, or
    // be closed for sending too.
    let mut gone: Option<Boxed<'_, io::Result<()>>> = None;
    // From then on no direction is polled.
    let mut left: Option<Boxed<'_, Result<(), TransferFault>>> = None;
    let both = poll_fn(|cx| {
        if let Some(left) = &mut left {
            return left.as_mut().poll(cx);
        }
        let broken_there = |(end, operation, error)| TransferFault::Broken(end, operation, error);
        let broken_back = |(end, operation, error): direction::EndFault| {
            TransferFault::Broken(end.other(), operation, error)
        };
        let there_done = there.poll(cx, near, far).map_err(broken_there);
        let back_done = back.poll(cx, far, near).map_err(broken_back);
        let now = Passed {
            near_to_far: there.passed(),
            far_to_near: back.passed(),
        };
        moved.store(now.near_to_far + now.far_to_near, Ordering::Relaxed);
        passed(now);
        let (end, ended, other, holds_bytes) = match (there_done?, back_done?) {
            (Poll::Ready(()), Poll::Ready(())) => return Poll::Ready(Ok(())),
            (Poll::Pending, Poll::Pending) => return Poll::Pending,
            (Poll::Ready(()), Poll::Pending) => (Side::Near, near, far, back.holds_bytes()),
            (Poll::Pending, Poll::Ready(())) => (Side::Far, far, near, there.holds_bytes()),
        };
        is_half_closed.store(true, Ordering::Relaxed);
        let gone = gone.get_or_insert_with(|| Box::pin(ended.peer_closed()));
        match ready!(gone.as_mut().poll(cx)) {
            Err(error) => Poll::Ready(Err(TransferFault::Broken(end, "receive", error))),
            Ok(()) if holds_bytes => Poll::Ready(Err(peer_closed::undelivered(end))),
            Ok(()) => {
                let left = left.insert(Box::pin(peer_closed::until_taken(end, other)));
                left.as_mut().poll(cx)
            }
        }
    });
    if idle.is_none() && half_close.is_none() {
        return both.await;
    }
    let is_half_closed = || is_half_closed.load(Ordering::Relaxed);
    let limit = || match half_close.filter(|_| is_half_closed()) {
        Some(half) => Some(idle.map_or(half, |idle| idle.min(half))),
        None => idle,
    };
    // On the heap: otherwise a transfer without a limit would have the size of its timer.
    let ended = Box::pin(unless_idle(both, limit, || moved.load(Ordering::Relaxed))).await;
    ended.unwrap_or_else(|limit| {
        Err(match idle {
            Some(idle) if idle == limit => TransferFault::Idle(limit),
            _ => TransferFault::HalfClosed(limit),
        })
    })
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}
