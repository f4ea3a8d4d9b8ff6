//! Sockets whose open file description other processes have too: its flags stay as they are.
//!
//! `O_NONBLOCK` belongs to the description, see `fcntl(2)`: a program that sets it on an inherited
//! socket changes the calls of the shell, supervisor or other server that holds it as well. So each
//! call says whether it waits (`MSG_DONTWAIT`), and a call that cannot say it is not made.

use std::io;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::MsgFlags;
use rustix::net::RecvFlags;

use super::call_trace::uninterrupted;
use super::socket::Socket;

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

impl Socket {
    /// The same socket, whose calls fail with `WouldBlock` instead of waiting, and which leaves the
    /// flags of its description alone: others have it too.
    pub(super) fn shared(mut self) -> io::Result<Self> {
        let is_polled = self.inner().nonblocking()?;
        let waits = false;
        self.shared = Some(Shared { is_polled, waits });
        Ok(self)
    }

    /// Whether other processes have it too.
    pub(super) const fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Whether a call without flags of its own, such as `accept(2)`, would wait and must not.
    pub(super) fn would_wait(&self) -> bool {
        self.shared.is_some_and(Shared::would_wait)
    }

    /// Whether a call that would block waits, although the description is in non-blocking mode.
    pub(super) fn waits(&self) -> bool {
        self.shared.is_some_and(|shared| shared.waits)
    }

    /// The flag of a send or receive that must not wait, if the description does not have it.
    pub(super) fn flags(&self) -> RecvFlags {
        self.shared.map_or(RecvFlags::empty(), Shared::flags)
    }

    /// The same flag for a send.
    pub(super) fn send_flags(&self) -> MsgFlags {
        let is_set = self.flags().contains(RecvFlags::DONTWAIT);
        let nothing = MsgFlags::MSG_NOSIGNAL;
        if is_set {
            nothing | MsgFlags::MSG_DONTWAIT
        } else {
            nothing
        }
    }

    /// The same socket, whose calls wait.
    pub(super) fn waiting(mut self) -> io::Result<Self> {
        match &mut self.shared {
            Some(shared) => shared.waits = true,
            None => self.set_blocking()?,
        }
        Ok(self)
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
