//! A socket that is bound for another program: it listens, and nothing here reads it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::libc::POLLRDHUP;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::Interest;

use super::binding;
use super::call_trace::uninterrupted;
use super::family;
use super::faults::{Refusal, bind_error, is_missing_address};
use super::options::ListenOptions;
use super::registration::registered;
use super::socket::Socket;
use super::socket_file::SocketFile;
use crate::address::{Address, Family, Target};
use crate::error::Result;

/// A listening socket, or a bound datagram socket, for a program that inherits it. Dropping it closes
/// it here, and removes its socket file if no other has replaced it.
#[derive(Debug)]
pub struct BoundSocket {
    // Dropped before the socket: the name is removed while it still accepts.
    file: Option<SocketFile>,
    socket: Socket,
    local: Address,
}

impl BoundSocket {
    /// Binds to `address` and listens; from then on clients can connect, and wait.
    ///
    /// # Errors
    /// As [`Listener::bind`](super::Listener::bind).
    pub fn bind(address: &Address, options: &ListenOptions) -> Result<Self> {
        let failed = |refusal: Refusal| bind_error(address, refusal);
        let mut socket =
            Socket::open(address.family(), address.socket_type()).map_err(|e| failed(e.into()))?;
        if !options.take_descriptors {
            socket.refuse_descriptors();
        }
        let file = binding::listen(&socket, address, options).map_err(failed)?;
        let local = family::of(address.family())
            .bound_name(socket.inner(), address)
            .and_then(|name| socket.typed(name))
            .map_err(|e| failed(e.into()))?;
        Ok(Self {
            file,
            socket,
            local,
        })
    }

    /// Binds to `addresses`, which [`Target::resolve`] returned for `target`.
    ///
    /// # Errors
    /// As [`Listener::bind_all`](super::Listener::bind_all).
    pub fn bind_resolved(
        target: &Target,
        addresses: Vec<Address>,
        options: &ListenOptions,
    ) -> Result<Vec<Self>> {
        let mut bound: Vec<Self> = Vec::new();
        let mut missing = None;
        for mut address in addresses {
            if let Some((_, port)) = bound.first().and_then(|first| first.local.as_ip()) {
                address = address.with_port(port);
            }
            match Self::bind(&address, options) {
                Ok(socket) => bound.push(socket),
                Err(error) if is_missing_address(&error) => {
                    missing.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
            if matches!(target, Target::AnyHost { .. }) && !bound.is_empty() {
                break;
            }
        }
        match missing {
            Some(error) if bound.is_empty() => Err(error),
            _ => Ok(bound),
        }
    }

    /// The address that clients connect to, with the actual port if 0 was requested.
    #[must_use]
    pub const fn local_addr(&self) -> &Address {
        &self.local
    }

    /// See [`Listener::also_takes`](super::Listener::also_takes).
    #[must_use]
    pub fn also_takes(&self) -> Option<Family> {
        family::of(self.local.family()).also_takes(self.socket.inner(), &self.local)
    }

    /// Whether clients find it: its socket file, if it has one, is still in its place.
    #[must_use]
    pub fn has_its_name(&self) -> bool {
        self.file.as_ref().is_none_or(SocketFile::is_in_place)
    }

    /// Sets whether calls wait, for all processes that share the socket: see `O_NONBLOCK` in
    /// `fcntl(2)`.
    ///
    /// # Errors
    /// What `fcntl(2)` reports.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.inner().set_nonblocking(nonblocking)
    }

    /// Whether a process that shares the socket has shut it down (`shutdown(2)`), so that it takes no
    /// more clients.
    ///
    /// # Errors
    /// What `poll(2)` reports.
    pub fn is_shut_down(&self) -> io::Result<bool> {
        let ended = PollFlags::from_bits_retain(POLLRDHUP);
        let mut polled = [PollFd::new(self.as_fd(), ended)];
        uninterrupted(|| Ok(poll(&mut polled, PollTimeout::ZERO)?))?;
        // `None` stands for POLLRDHUP, which nix does not know.
        let events = polled[0].revents();
        Ok(events.is_none_or(|events| events.contains(PollFlags::POLLHUP)))
    }

    /// Waits until a client connects, or sends a datagram, and leaves it to the program that shares
    /// the socket.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` reports.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub async fn client_waits(&self) -> io::Result<()> {
        // A new registration reports a client that has come before.
        let registered = registered(self.as_fd(), Interest::READABLE)?;
        registered.readable().await.map(drop)
    }

    pub(super) fn into_parts(self) -> (Option<SocketFile>, Socket, Address) {
        (self.file, self.socket, self.local)
    }
}

impl AsFd for BoundSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
