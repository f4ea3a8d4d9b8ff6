//! Open files registered with the runtime, which then says when they are ready.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::family;
use super::socket::Socket;

/// Registers an open file with the runtime.
#[allow(deprecated)]
pub(super) fn registered<T: AsRawFd>(file: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // `AsyncFd::register` asks for a promise in `unsafe` that the descriptor stays the same while
    // it is registered. All that is given here keeps it, and this crate forbids `unsafe`.
    AsyncFd::with_interest(file, interest)
}

/// Registers the socket of a connection with the runtime.
pub(super) fn registered_stream(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    let interest = family::of(socket.family()).interest();
    registered(socket, interest)
}
