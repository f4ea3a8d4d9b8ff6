//! What the threads of an exchange and the one that waits for them share.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::wire::Wire;
use crate::client::QUIET;
use crate::loops::Connection;
use crate::net::{Socket, uninterrupted};

/// What the two threads and the one that waits for them share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Until the exchange ends. A thread has it only for one call, so that none holds it that waits
    /// for something else.
    wire: Mutex<Option<Arc<Wire>>>,
    /// Wakes the thread that waits for input: the peer has ended, or the exchange.
    wake: EventFd,
    began: Instant,
    /// When something last passed, in microseconds since the beginning.
    last: AtomicU64,
    /// The messages that could not be passed on.
    lost: AtomicU64,
    connection: Arc<Connection>,
}

impl Shared {
    /// What `call` does with the connection; `None` when the exchange has ended.
    pub(super) fn with_wire<T>(
        &self,
        call: impl FnOnce(&Wire) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        self.wire().map(|wire| call(&wire)).transpose()
    }

    /// The same with its socket; `None` also for a session.
    pub(super) fn with_socket<T>(
        &self,
        call: impl FnOnce(&Socket) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        self.with_wire(|wire| wire.socket().map(call).transpose())
            .map(Option::flatten)
    }

    /// The connection, until the exchange has ended.
    pub(super) fn wire(&self) -> Option<Arc<Wire>> {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Option<Arc<Wire>>> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sent(&self, count: usize) {
        self.connection.count_sent(count);
        self.passed();
    }

    pub(super) fn received(&self, count: usize) {
        self.connection.count_received(count);
        self.passed();
    }

    /// Counts a message that could not be passed on.
    pub(super) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether the exchange has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.locked().is_none()
    }

    /// Sets the idle clock back.
    pub(super) fn passed(&self) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last.store(micros, Ordering::Relaxed);
    }

    /// Ends when nothing has passed for `limit`; never without a limit.
    pub(super) async fn idle(&self, limit: Option<Duration>) {
        let Some(limit) = limit else {
            return std::future::pending().await;
        };
        loop {
            let last = Duration::from_micros(self.last.load(Ordering::Relaxed));
            let end = self.began + last + limit;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end.into()).await;
        }
    }

    /// Says that the peer has ended: input is sent only as long as it comes without a pause.
    pub(super) fn peer_ended(&self) {
        // It can only fail where it has been written to 2^64 times.
        let _ = self.wake.write(1);
    }

    /// Waits until there is input, or its end; `false` if there is none for a moment and the peer has
    /// ended, which `peer_ended` keeps, or if the exchange has ended.
    pub(super) fn input_comes(
        &self,
        input: BorrowedFd<'_>,
        peer_ended: &mut bool,
    ) -> io::Result<bool> {
        let moment = PollTimeout::try_from(QUIET).unwrap_or(PollTimeout::MAX);
        loop {
            let polled = [input, self.wake.as_fd()];
            let mut polled = polled.map(|file| PollFd::new(file, PollFlags::POLLIN));
            let limit = if *peer_ended {
                moment
            } else {
                PollTimeout::NONE
            };
            uninterrupted(|| Ok(poll(&mut polled, limit)?))?;
            let [comes, woken] = polled.map(|file| file.any() != Some(false));
            if self.locked().is_none() {
                return Ok(false);
            }
            if comes || !woken {
                return Ok(comes);
            }
            // It is set back, to be woken once more.
            self.wake.read()?;
            *peer_ended = true;
        }
    }
}

/// Has the threads end when it is dropped.
#[derive(Debug)]
pub(super) struct Guard(Arc<Shared>);

impl Guard {
    pub(super) fn new(wire: Wire, connection: Arc<Connection>) -> io::Result<Self> {
        Ok(Self(Arc::new(Shared {
            wire: Mutex::new(Some(Arc::new(wire))),
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?,
            began: Instant::now(),
            last: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            connection,
        })))
    }

    /// Ends the exchange; returns its connection, which is not cut off.
    pub(super) fn finished(&self) -> Option<Arc<Wire>> {
        let wire = self.locked().take();
        self.peer_ended();
        wire
    }
}

impl Deref for Guard {
    type Target = Arc<Shared>;

    fn deref(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(wire) = self.finished() {
            // Whoever is in a call on it returns, and is the last to hold it.
            wire.cut();
        }
    }
}
