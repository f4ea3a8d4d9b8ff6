//! A datagram socket in blocking mode that receives from every peer: one system call per operation,
//! no sessions.

use std::io;

use super::binding;
use super::datagram::Ends;
use super::family;
use super::faults::{Refusal, bind_error};
use super::socket::Socket;
use super::socket_file::SocketFile;
use crate::address::Address;
use crate::error::Result;

/// A bound datagram socket in blocking mode. Dropping it closes it, and removes its socket file if no
/// other has replaced it.
#[derive(Debug)]
pub struct ReceivingSocket {
    // Dropped before the socket, as that of a listener.
    _file: Option<SocketFile>,
    socket: Socket,
    local: Address,
}

/// The sender of a datagram, to answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sender(Ends);

impl ReceivingSocket {
    /// Binds to `address`, of a datagram socket, with the options and buffers that any program gets.
    ///
    /// # Errors
    /// As [`Listener::bind`](super::Listener::bind).
    pub fn bind(address: &Address) -> Result<Self> {
        let failed = |refusal: Refusal| bind_error(address, refusal);
        let of_kernel = |error: io::Error| failed(error.into());
        let opened = Socket::open(address.family(), address.socket_type());
        let socket = opened.map_err(of_kernel)?;
        let file = binding::bind_client(&socket, address).map_err(failed)?;
        let family = family::of(address.family());
        let name = family.bound_name(socket.inner(), address);
        let local = name.and_then(|name| socket.typed(name));
        let local = local.map_err(of_kernel)?;
        socket.set_blocking().map_err(of_kernel)?;
        Ok(Self {
            _file: file,
            socket,
            local,
        })
    }

    /// The address that clients send to, with the actual port if 0 was requested.
    #[must_use]
    pub const fn local_addr(&self) -> &Address {
        &self.local
    }

    /// The socket, for its options, and to receive from any peer.
    #[must_use]
    pub const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Receives a datagram, which is cut if `buffer` is too small, and its sender.
    ///
    /// # Errors
    /// What `recvfrom(2)` reports.
    pub fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Sender)> {
        let (count, ends) = self.socket.receive_from(buffer)?;
        Ok((count, Sender(ends)))
    }

    /// Sends a datagram back.
    ///
    /// # Errors
    /// What `sendto(2)` reports, and `NotConnected` for a sender without a name.
    pub fn send_to(&self, bytes: &[u8], sender: &Sender) -> io::Result<usize> {
        self.socket.send_back(bytes, &[], &sender.0)
    }
}
