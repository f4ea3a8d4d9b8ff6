//! Descriptors registered with the runtime, which reports their readiness.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use super::family;
use super::socket::Socket;
use crate::error::copied;

/// Registers a descriptor with the runtime.
#[allow(deprecated)]
pub(super) fn registered<T: AsRawFd>(file: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // `AsyncFd::register` is `unsafe`: the descriptor must stay the same while it is registered.
    // All callers ensure that, and this crate forbids `unsafe`.
    AsyncFd::with_interest(file, interest)
}

/// Registers a socket that the caller keeps open as long as this.
pub(super) fn registered_number(
    socket: &Socket,
    interest: Interest,
) -> io::Result<AsyncFd<Number>> {
    registered(Number(socket.as_raw_fd()), interest)
}

/// The socket of a connection. Registers on first use, so that a thread that only accepts does not
/// register.
#[derive(Debug)]
pub(super) struct WaitingSocket {
    // Dropped before `socket`, whose descriptor it uses.
    registration: OnceLock<io::Result<AsyncFd<Number>>>,
    socket: Socket,
}

/// A socket's descriptor number, open as long as this is registered.
#[derive(Debug)]
pub(super) struct Number(RawFd);

impl AsRawFd for Number {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl WaitingSocket {
    /// A socket that is not registered yet.
    pub(super) const fn new(socket: Socket) -> Self {
        Self {
            registration: OnceLock::new(),
            socket,
        }
    }

    /// Registers with the current runtime.
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

    /// Deregisters and returns the socket.
    pub(super) fn into_inner(self) -> Socket {
        drop(self.registration);
        self.socket
    }

    fn registration(&self) -> io::Result<&AsyncFd<Number>> {
        let register = || {
            let interest = family::of(self.socket.family()).interest();
            registered_number(&self.socket, interest)
        };
        let registration = self.registration.get_or_init(register).as_ref();
        registration.map_err(copied)
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready<'_>>> {
        self.registration()?.poll_read_ready(cx)
    }

    /// Waits until any of `interest` is ready.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready<'_>> {
        self.registration()?.ready(interest).await
    }

    /// Waits until `call` does not return `WouldBlock`.
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

    /// Waits until `call`, which reads, does not return `WouldBlock`. It mostly does not at first, as
    /// what a client sends first has arrived: then the socket is not registered here.
    pub(super) async fn reading<T>(
        &self,
        mut call: impl FnMut(&Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        if !self.is_registered() {
            match call(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
        self.async_io(Interest::READABLE, call).await
    }

    /// Whether any of `interest` was ready when the runtime last polled.
    pub(super) fn is_ready(&self, interest: Interest) -> bool {
        let registration = self.registration.get().and_then(|io| io.as_ref().ok());
        registration.is_some_and(|io| io.try_io(interest, |_| Ok(())).is_ok())
    }

    /// Polls a call that returns `WouldBlock` while the socket is not writable.
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

/// Readiness, until a call finds it gone.
pub(super) type Ready<'a> = AsyncFdReadyGuard<'a, Number>;
