//! Bytes both ways between two ends, whatever their families: half-close per direction, copy for
//! messages and splice for streams, back-pressure, and no buffer while nothing passes.

mod direction;
mod pipe;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use self::direction::Direction;
pub use self::direction::Engine;
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
pub enum End {
    /// The first, mostly a client.
    Near,
    /// The second, mostly a server.
    Far,
}

/// Why a transfer did not end well.
#[derive(Debug)]
pub enum Fault {
    /// An end failed while it was received from or sent to.
    Broken(End, &'static str, io::Error),
    /// Nothing passed, either way, for the idle time.
    Idle(Duration),
}

/// Sees what was received from an end, before the other end has it.
pub type Tap<'a> = &'a (dyn Fn(End, &[u8]) + Send + Sync);

/// How a transfer is made.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// How bytes are moved.
    pub engine: Engine,
    /// After how long without a byte, either way, it is given up.
    pub idle: Option<Duration>,
    /// Who sees the bytes; then they are all copied.
    pub tap: Option<Tap<'a>>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { engine, idle, tap } = self;
        let tapped = tap.is_some();
        write!(
            f,
            "Options {{ engine: {engine:?}, idle: {idle:?}, tapped: {tapped} }}"
        )
    }
}

/// Moves bytes both ways between `near` and `far` until both have ended.
///
/// The end of one side ends the sending half of the other, and the other direction goes on. A
/// side that does not read is not read for: what is held is one buffer or pipe a direction.
/// `passed` is told what the other ends have taken so far, at each turn.
///
/// # Errors
/// The end that broke; the caller resets both, so that neither sees a clean end.
pub async fn transfer(
    near: &Stream,
    far: &Stream,
    options: Options<'_>,
    mut passed: impl FnMut(Passed),
) -> Result<(), Fault> {
    let Options { engine, idle, tap } = options;
    let engine = if tap.is_some() { Engine::Copy } else { engine };
    let mut there = Direction::new(engine, tap.map(|tap| (End::Near, tap)));
    let mut back = Direction::new(engine, tap.map(|tap| (End::Far, tap)));
    let moved = AtomicU64::new(0);
    // An end that has ended tells nothing more when it is received from, but it may yet be reset.
    let mut reset: Option<Pin<Box<dyn Future<Output = io::Error> + Send + '_>>> = None;
    let mut poll_reset = |cx: &mut Context<'_>, end, stream| {
        let reset = reset.get_or_insert_with(|| Box::pin(Stream::reset_by_peer(stream)));
        let broken = |error| Err(Fault::Broken(end, "receive", error));
        reset.as_mut().poll(cx).map(broken)
    };
    let both = poll_fn(|cx| {
        let broken_there = |(end, operation, error)| Fault::Broken(end, operation, error);
        let broken_back = |(end, operation, error): direction::Fault| {
            Fault::Broken(end.other(), operation, error)
        };
        let there_done = there.poll(cx, near, far).map_err(broken_there);
        let back_done = back.poll(cx, far, near).map_err(broken_back);
        let now = Passed {
            there: there.passed(),
            back: back.passed(),
        };
        moved.store(now.there + now.back, Ordering::Relaxed);
        passed(now);
        match (there_done?, back_done?) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            (Poll::Ready(()), Poll::Pending) => poll_reset(cx, End::Near, near),
            (Poll::Pending, Poll::Ready(())) => poll_reset(cx, End::Far, far),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
        }
    });
    match idle {
        None => both.await,
        // On the heap: a transfer without a limit would else have the room of its clock.
        Some(limit) => Box::pin(unless_idle(both, limit, &moved)).await,
    }
}

/// Runs `both` to its end, or until `moved`, which counts what passed, stays the same for `limit`.
async fn unless_idle(
    both: impl Future<Output = Result<(), Fault>>,
    limit: Duration,
    moved: &AtomicU64,
) -> Result<(), Fault> {
    let mut seen = 0;
    let mut both = std::pin::pin!(both);
    let mut clock = std::pin::pin!(sleep_until(Instant::now() + limit));
    poll_fn(|cx| {
        if clock.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Fault::Idle(limit)));
        }
        let done = both.as_mut().poll(cx);
        let now = moved.load(Ordering::Relaxed);
        if std::mem::replace(&mut seen, now) != now {
            clock.as_mut().reset(Instant::now() + limit);
        }
        done
    })
    .await
}

impl End {
    const fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}
