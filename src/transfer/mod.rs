//! Bytes both ways between two ends, whatever their families: half-close per direction, copy for
//! messages and splice for streams, back-pressure, and no buffer while nothing passes.
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
//! let counted = |passed: sok::transfer::Passed| moved = (passed.there, passed.back);
//! transfer(&near, &far, TransferOptions::default(), counted).await.map_err(|fault| format!("{fault:?}"))?;
//! assert_eq!(moved, (8, 6));
//! let mut buffer = [0; 64];
//! assert_eq!(server.receive(&mut buffer).await?, 8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod direction;
mod idle;
mod left;
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
pub(crate) use self::pipes::{PipeEvent, PipeTransfer};
use crate::memory::MemoryLimit;
use crate::net::Stream;

/// The bytes that passed, each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// From the near end to the far end.
    pub there: u64,
    /// From the far end to the near end.
    pub back: u64,
}

/// One of the two ends of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first, mostly a client.
    Near,
    /// The second, mostly a server.
    Far,
}

/// Why a transfer did not end well.
#[derive(Debug)]
pub enum TransferFault {
    /// An end failed while it was received from or sent to.
    Broken(Side, &'static str, io::Error),
    /// Nothing passed, either way, for the idle time.
    Idle(Duration),
    /// One end had ended, and nothing passed the other way for the time that this may last.
    HalfClosed(Duration),
}

/// Sees what was received from an end, before the other end has it.
pub type Tap<'a> = &'a (dyn Fn(Side, &[u8]) + Send + Sync);

/// A future of which few connections have need, and which takes no room of the others.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a transfer is made.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct TransferOptions<'a> {
    /// How bytes are moved.
    pub engine: Engine,
    /// After how long without a byte, either way, it is given up.
    pub idle: Option<Duration>,
    /// After how long without a byte it is given up when one end has ended, and the other has not.
    pub half_close: Option<Duration>,
    /// Where counts what the ends do not take at once; by default each transfer has a limit of its own.
    pub memory: Option<&'a MemoryLimit>,
    /// Who sees the bytes; then they are all copied.
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
/// The end of one side ends the sending half of the other, and the other direction goes on. A
/// side that does not read is not read for: what is held is one buffer or pipe a direction. A side
/// that has closed completely, where its family shows that, takes nothing more: then all ends once
/// the other side has what it sent.
/// `passed` is told what the other ends have taken so far, at each turn.
///
/// # Errors
/// The end that broke; the caller resets both, so that neither sees a clean end.
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
    // An end that has ended says nothing more when it is received from, but it may yet be reset, or
    // be closed for what is sent to it too.
    let mut gone: Option<Boxed<'_, io::Result<()>>> = None;
    // Then no direction is polled any more.
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
            there: there.passed(),
            back: back.passed(),
        };
        moved.store(now.there + now.back, Ordering::Relaxed);
        passed(now);
        let (end, ended, other, holds_bytes) = match (there_done?, back_done?) {
            (Poll::Ready(()), Poll::Ready(())) => return Poll::Ready(Ok(())),
            (Poll::Pending, Poll::Pending) => return Poll::Pending,
            (Poll::Ready(()), Poll::Pending) => (Side::Near, near, far, back.holds_bytes()),
            (Poll::Pending, Poll::Ready(())) => (Side::Far, far, near, there.holds_bytes()),
        };
        is_half_closed.store(true, Ordering::Relaxed);
        let gone = gone.get_or_insert_with(|| Box::pin(ended.gone()));
        match ready!(gone.as_mut().poll(cx)) {
            Err(error) => Poll::Ready(Err(TransferFault::Broken(end, "receive", error))),
            Ok(()) if holds_bytes => Poll::Ready(Err(left::without_bytes(end))),
            Ok(()) => {
                let left = left.insert(Box::pin(left::until_taken(end, other)));
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
    // On the heap: a transfer without a limit would otherwise have the room of its clock.
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
