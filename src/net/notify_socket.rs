//! The socket on which a service manager learns the state of this process, see `sd_notify(3)`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::sys::socket::MsgFlags;

use super::sockaddr::encode;
use super::socket::Socket;
use crate::address::{Address, Family, SocketType, UnixName};
use crate::error::{Error, ErrorKind, Result};

/// The socket of a service manager, as `NOTIFY_SOCKET` names it.
///
/// The crate `sd-notify` is not used for it: it knows no abstract names, and waits while the manager
/// does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifySocket(Address);

impl NotifySocket {
    /// Reads a value of `NOTIFY_SOCKET`: an absolute path, or `@` and an abstract name.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for any other value: an address of `vsock(7)` leads out of this machine.
    pub fn new(value: &OsStr) -> Result<Self> {
        let name = match value.as_bytes() {
            [b'@', name @ ..] if !name.is_empty() => UnixName::abstract_name(name),
            path @ [b'/', ..] => UnixName::path(path),
            _ => {
                let cause = "neither an absolute path nor an abstract name";
                let shown = format!("NOTIFY_SOCKET={}", value.display());
                return Err(Error::because("notify", shown, ErrorKind::Usage, cause));
            }
        };
        let name = name.map_err(|error| {
            let shown = format!("NOTIFY_SOCKET={}", value.display());
            Error::because("notify", shown, ErrorKind::Usage, error.to_string())
        })?;
        Address::new(name, SocketType::Datagram).map(Self)
    }

    /// The address of the socket.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.0
    }

    /// Sends assignments, one a line, such as `READY=1`. The manager may have been restarted since the
    /// last call: each call is a new socket.
    ///
    /// # Errors
    /// What the kernel reports: `WouldBlock` while the manager does not read.
    pub fn send(&self, state: &str) -> io::Result<()> {
        let socket = Socket::open(Family::Unix, SocketType::Datagram)?;
        let name = encode(&self.0)?;
        let flags = MsgFlags::MSG_NOSIGNAL.bits();
        let send = || {
            let inner = socket.inner();
            inner.send_to_with_flags(state.as_bytes(), &name.name, flags)
        };
        let arguments = || format!("{}, {}", state.len(), self.0);
        socket.watched("sendto", arguments, send).map(drop)
    }
}
