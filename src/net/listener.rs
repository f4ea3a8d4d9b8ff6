//! A socket that accepts connections, on any family.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::net::SocketAddrAny;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::binding;
use super::family;
use super::faults::{Refusal, bind_error, is_missing_address};
use super::options::ListenOptions;
use super::peer::Peer;
use super::registration::registered;
use super::sockaddr::{decode, decode_accepted};
use super::socket::Socket;
use super::socket_file::SocketFile;
use super::stream::{Stream, reserve_waiter};
use crate::address::{Address, Family, Purpose, Target};
use crate::error::Result;

/// A listening socket. Dropping it closes it, and removes its socket file if that is still its own.
#[derive(Debug)]
pub struct Listener {
    // Dropped before the socket: the name goes while it still accepts.
    file: Option<SocketFile>,
    io: AsyncFd<Socket>,
    local: Arc<Address>,
}

impl Listener {
    /// Binds to `address` and listens; from then on clients can connect.
    ///
    /// An existing live socket is never taken; a dead socket file is replaced.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse), with the process that holds a local name where the kernel tells it, and
    /// what else `bind(2)` reports. An unnamed local address gets an abstract name that the kernel
    /// chooses.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub fn bind(address: &Address, options: &ListenOptions) -> Result<Self> {
        let failed = |refusal: Refusal| bind_error(address, refusal);
        let mut socket = Socket::open(address.family()).map_err(|e| failed(e.into()))?;
        if !options.take_descriptors {
            socket.refuse_descriptors();
        }
        let file = binding::listen(&socket, address, options).map_err(failed)?;
        let local = family::of(address.family())
            .bound_name(socket.inner(), address)
            .map_err(|e| failed(e.into()))?;
        let io = registered(socket, Interest::READABLE).map_err(|e| failed(e.into()))?;
        reserve_waiter(address.family()).map_err(|e| failed(e.into()))?;
        Ok(Self {
            file,
            io,
            local: Arc::new(local),
        })
    }

    /// Binds to all that `target` stands for: every address of a name, with one port; for an
    /// empty host one dual-stack socket, or IPv4 alone where the machine has no IPv6.
    ///
    /// # Errors
    /// As [`Listener::bind`]. An address that this machine does not have is passed over as long
    /// as another one serves.
    pub fn bind_all(target: &Target, options: &ListenOptions) -> Result<Vec<Self>> {
        Self::bind_resolved(target, target.resolve(Purpose::Listen)?, options)
    }

    /// Binds to all that `target` stands for, which [`Target::resolve`] has found to be `addresses`.
    ///
    /// # Errors
    /// As [`Listener::bind_all`].
    pub fn bind_resolved(
        target: &Target,
        addresses: Vec<Address>,
        options: &ListenOptions,
    ) -> Result<Vec<Self>> {
        let mut listeners: Vec<Self> = Vec::new();
        let mut missing = None;
        for mut address in addresses {
            if let Some((_, port)) = listeners
                .first()
                .and_then(|first| first.local_addr().as_ip())
            {
                address = address.with_port(port);
            }
            match Self::bind(&address, options) {
                Ok(listener) => listeners.push(listener),
                Err(error) if is_missing_address(&error) => {
                    missing.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
            if matches!(target, Target::AnyHost { .. }) && !listeners.is_empty() {
                break;
            }
        }
        match missing {
            Some(error) if listeners.is_empty() => Err(error),
            _ => Ok(listeners),
        }
    }

    /// Closes it as a killed process does: its socket file stays, and nobody listens there.
    pub fn abandon(mut self) {
        if let Some(file) = self.file.take() {
            file.keep();
        }
    }

    /// The address that clients connect to, with the real port where 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> &Address {
        &self.local
    }

    /// The other family whose clients this listener takes too: a dual-stack `[::]` takes IPv4's.
    #[must_use]
    pub fn also_takes(&self) -> Option<Family> {
        family::of(self.local.family()).also_takes(self.io.get_ref().inner(), &self.local)
    }

    /// The next connection, and who made it. Several tasks may wait for connections of one listener:
    /// each connection goes to one of them. The stream belongs to the runtime in which it is first
    /// waited for, which may be another one than the listener's.
    ///
    /// # Errors
    /// What `accept(2)` reports; [`connection_loop`](crate::connection_loop) knows which of its
    /// errors pass.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        let accept = |socket: &Socket| socket.accept();
        let (socket, name) = self.io.async_io(Interest::READABLE, accept).await?;
        self.accepted(socket, name)
    }

    /// Polls for the next connection. As `poll` functions do it wakes one task, that of the last call;
    /// [`accept`](Self::accept) is for several, and costs a little more.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        loop {
            let mut ready = ready!(self.io.poll_read_ready(cx))?;
            match self.io.get_ref().accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
                Ok((socket, name)) => return Poll::Ready(self.accepted(socket, name)),
            }
        }
    }

    fn accepted(&self, socket: Socket, name: Option<SocketAddrAny>) -> io::Result<(Stream, Peer)> {
        // A connection that is gone by now is one that never was.
        let gone = |_| io::Error::from(io::ErrorKind::ConnectionAborted);
        let address = decode_accepted(socket.inner(), name).map_err(gone)?;
        // Where a sandbox refuses them the client is served like one without.
        let family = family::of(self.local.family());
        let credentials = family.credentials(socket.inner()).unwrap_or(None);
        let stream = Stream::accepted(socket, family.accepted_name(&self.local));
        let peer = Peer {
            address,
            credentials,
        };
        Ok((stream, peer))
    }
}

impl TryFrom<OwnedFd> for Listener {
    type Error = io::Error;

    /// A socket that already listens, from another program or another library. It is non-blocking from
    /// then on, for all who share the descriptor, see `O_NONBLOCK` in `fcntl(2)`. Its socket file is not
    /// removed: whoever bound it does that.
    ///
    /// # Errors
    /// As `Socket::try_from`, and `InvalidInput` for a socket that does not listen.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    fn try_from(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::try_from(descriptor)?;
        if !socket.inner().is_listener()? {
            let cause = "the socket does not listen";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, cause));
        }
        socket.set_polled()?;
        reserve_waiter(socket.family())?;
        let local = Arc::new(decode(&socket.inner().local_addr()?)?);
        Ok(Self {
            file: None,
            io: registered(socket, Interest::READABLE)?,
            local,
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }
}
