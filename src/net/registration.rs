//! Open files registered with the runtime, which then says when they are ready.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use super::family;
use super::socket::Socket;
use crate::error::copied;

/// Registers an open file with the runtime.
#[allow(deprecated)]
pub(super) fn registered<T: AsRawFd>(file: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // `AsyncFd::register` asks for a promise in `unsafe` that the descriptor stays the same while
    // it is registered. All that is given here keeps it, and this crate forbids `unsafe`.
    AsyncFd::with_interest(file, interest)
}

/// The socket of a connection, which is registered with the runtime that it first waits in: a thread
/// that accepts it for another one has no need of that.
#[derive(Debug)]
pub(super) struct WaitingSocket {
    // Dropped before the socket, which it has the number of.
    registration: OnceLock<io::Result<AsyncFd<Number>>>,
    socket: Socket,
}

/// The number of a socket's descriptor, which stays open as long as this is registered.
#[derive(Debug)]
pub(super) struct Number(RawFd);

impl AsRawFd for Number {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl WaitingSocket {
    /// One that waits nowhere yet.
    pub(super) const fn new(socket: Socket) -> Self {
        Self {
            registration: OnceLock::new(),
            socket,
        }
    }

    /// One that waits in the runtime that is entered now.
    pub(super) fn registered(socket: Socket) -> io::Result<Self> {
        let waiting = Self::new(socket);
        waiting.registration()?;
        Ok(waiting)
    }

    pub(super) fn is_registered(&self) -> bool {
        self.registration.get().is_some()
    }

    pub(super) fn register(&self) -> io::Result<()> {
        self.registration().map(drop)
    }

    pub(super) const fn get_ref(&self) -> &Socket {
        &self.socket
    }

    /// The socket, which waits nowhere any more.
    pub(super) fn into_inner(self) -> Socket {
        drop(self.registration);
        self.socket
    }

    fn registration(&self) -> io::Result<&AsyncFd<Number>> {
        let register = || {
            let interest = family::of(self.socket.family()).interest();
            registered(Number(self.socket.as_raw_fd()), interest)
        };
        let registration = self.registration.get_or_init(register).as_ref();
        registration.map_err(copied)
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready<'_>>> {
        self.registration()?.poll_read_ready(cx)
    }

    /// Waits until one of what `interest` names is there.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready<'_>> {
        self.registration()?.ready(interest).await
    }

    /// Waits until `call` does not say `WouldBlock`.
    pub(super) async fn async_io<T>(
        &self,
        interest: Interest,
        mut call: impl FnMut(&Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        let registration = self.registration()?;
        registration
            .async_io(interest, |_| call(&self.socket))
            .await
    }

    /// Whether one of what `interest` names was there when the runtime last looked.
    pub(super) fn is_ready(&self, interest: Interest) -> bool {
        let registration = self.registration.get().and_then(|io| io.as_ref().ok());
        registration.is_some_and(|io| io.try_io(interest, |_| Ok(())).is_ok())
    }

    /// Polls to do what says `WouldBlock` while the socket cannot be written to.
    pub(super) fn poll_writing<T>(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&Socket) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let registration = self.registration()?;
        loop {
            let mut ready = ready!(registration.poll_write_ready(cx))?;
            match write(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                done => return Poll::Ready(done),
            }
        }
    }
}

/// That something is ready, until a call finds that it is not any more.
pub(super) type Ready<'a> = AsyncFdReadyGuard<'a, Number>;
