//! Sockets whose open file description other processes have too: its flags stay as they are.
//!
//! `O_NONBLOCK` belongs to the description, see `fcntl(2)`: a program that sets it on an inherited
//! socket changes the calls of the shell, supervisor or other server that holds it as well. So each
//! call says whether it waits (`MSG_DONTWAIT`), and a call that cannot say it is not made.

use std::io;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::RecvFlags;

use super::call_trace::uninterrupted;

/// How the calls on a shared description wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared {
    /// Whether `O_NONBLOCK` is set, by another process.
    pub(super) is_polled: bool,
    /// Whether the calls wait; otherwise they fail with `WouldBlock`.
    pub(super) waits: bool,
}

impl Shared {
    /// The flag of each send and receive.
    pub(super) const fn flags(self) -> RecvFlags {
        match self.waits {
            true => RecvFlags::empty(),
            false => RecvFlags::DONTWAIT,
        }
    }

    /// Whether a call without flags, such as `splice(2)`, would wait and must not.
    pub(super) const fn would_wait(self) -> bool {
        !self.waits && !self.is_polled
    }
}

/// Waits until `call` on `socket`, which would block, need not.
pub(super) fn wait(socket: impl AsFd, call: &str) -> io::Result<()> {
    // As the system calls are named.
    let event = match call.starts_with("send") {
        true => PollFlags::POLLOUT,
        false => PollFlags::POLLIN,
    };
    let mut polled = [PollFd::new(socket.as_fd(), event)];
    uninterrupted(|| Ok(poll(&mut polled, PollTimeout::NONE)?)).map(drop)
}
