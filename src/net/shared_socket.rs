//! What differs for a socket whose open file description other processes have too, see [`Shared`].

use std::io;

use nix::sys::socket::MsgFlags;
use rustix::net::RecvFlags;

use super::shared::Shared;
use super::socket::Socket;

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
