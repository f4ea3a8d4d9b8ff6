//! What the threads of an exchange and the one that waits for them share.

use std::io;
use std::net::Shutdown;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::client::{Counter, QUIET};
use crate::net::Socket;

/// What the two threads and the one that waits for them share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Until the exchange ends. A thread has it only for one call, so that none holds it that waits
    /// for something else.
    socket: Mutex<Option<Arc<Socket>>>,
    /// Wakes the thread that waits for input: the peer has ended, or the exchange.
    wake: EventFd,
    began: Instant,
    /// When something last passed, in microseconds since the beginning.
    last: AtomicU64,
    /// The messages that could not be passed on.
    lost: AtomicU64,
    counter: Arc<Counter>,
}

impl Shared {
    /// What `call` does with the socket; `None` when the exchange has ended.
    pub(super) fn with_socket<T>(
        &self,
        call: impl FnOnce(&Socket) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let socket = self.socket().clone();
        socket.map(|socket| call(&socket)).transpose()
    }

    fn socket(&self) -> MutexGuard<'_, Option<Arc<Socket>>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sent(&self, count: usize) {
        self.counter.count_sent(count);
        self.passed();
    }

    pub(super) fn received(&self, count: usize) {
        self.counter.count_received(count);
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
        self.socket().is_none()
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
            if self.socket().is_none() {
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
    pub(super) fn new(socket: Socket, counter: Arc<Counter>) -> io::Result<Self> {
        Ok(Self(Arc::new(Shared {
            socket: Mutex::new(Some(Arc::new(socket))),
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?,
            began: Instant::now(),
            last: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            counter,
        })))
    }

    /// The socket, once both threads are done with it.
    pub(super) fn finished(self) -> Option<Arc<Socket>> {
        self.0.socket().take()
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
        let Some(socket) = self.0.socket().take() else {
            return;
        };
        // Whoever is in a call on it returns, and is the last to hold it. That the peer has reset it is
        // no failure here.
        let _ = socket.shutdown(Shutdown::Both);
        self.0.peer_ended();
    }
}

pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
