//! A socket that accepts connections, on any family.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::net::SocketAddrAny;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::bound::BoundSocket;
use super::family;
use super::faults::bind_error;
use super::options::ListenOptions;
use super::peer::Peer;
use super::registration::registered;
use super::session::SessionSocket;
use super::sockaddr::decode_accepted;
use super::socket::Socket;
use super::socket_file::SocketFile;
use super::stream::{Stream, reserve_waiter};
use crate::address::{Address, Family, Purpose, Target};
use crate::error::Result;

/// A listening socket, or a datagram socket whose peers each begin a session. Dropping it closes it,
/// and removes its socket file if no other has replaced it.
#[derive(Debug)]
pub struct Listener {
    // Dropped before the socket: the name is removed while it still accepts.
    file: Option<SocketFile>,
    io: Accepting,
    local: Arc<Address>,
}

/// Where connections come from.
#[derive(Debug)]
enum Accepting {
    /// From `accept(2)`.
    Connections(AsyncFd<Socket>),
    /// From the first datagram of a peer.
    Sessions(SessionSocket),
}

impl Accepting {
    fn new(socket: Socket, local: &Arc<Address>, options: &ListenOptions) -> io::Result<Self> {
        match socket.socket_type().has_connection() {
            true => registered(socket, Interest::READABLE).map(Self::Connections),
            false => {
                let sessions = SessionSocket::new(socket, Arc::clone(local), options);
                sessions.map(Self::Sessions)
            }
        }
    }

    fn socket(&self) -> &Socket {
        match self {
            Self::Connections(io) => io.get_ref(),
            Self::Sessions(sessions) => sessions.socket(),
        }
    }
}

/// What is left of a listener that accepts no more: its open sessions, if it has any.
#[derive(Debug)]
pub struct ClosedListener(Option<SessionSocket>);

impl ClosedListener {
    /// The datagrams of peers that were not accepted: they are dropped, and their senders do not
    /// learn of it.
    #[must_use]
    pub fn unserved(&self) -> u64 {
        self.0.as_ref().map_or(0, SessionSocket::unserved)
    }

    /// Ends the connections whose peers cannot be told that the server stops: each gets end of file
    /// after what has arrived.
    pub fn end_sessions(&self) {
        if let Some(sessions) = &self.0 {
            sessions.end_all();
        }
    }
}

impl Listener {
    /// Binds to `address` and listens; from then on clients can connect.
    ///
    /// A live socket is never replaced; a stale socket file is. An unnamed local address gets an
    /// abstract name that the kernel chooses.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse), with the process that holds a local name if
    /// the kernel reports it, and any other error of `bind(2)`.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub fn bind(address: &Address, options: &ListenOptions) -> Result<Self> {
        Self::of(BoundSocket::bind(address, options)?, options)
    }

    /// Accepts from `bound`, with the `options` that it was bound with.
    fn of(bound: BoundSocket, options: &ListenOptions) -> Result<Self> {
        let (file, socket, local) = bound.into_parts();
        let local = Arc::new(local);
        let failed = |error: io::Error| bind_error(&local, error.into());
        let io = Accepting::new(socket, &local, options).map_err(failed)?;
        reserve_waiter(local.family()).map_err(failed)?;
        Ok(Self { file, io, local })
    }

    /// Binds to every address of `target`: all addresses of a name, with one port; for an empty
    /// host one dual-stack socket, or only IPv4 if the machine has no IPv6.
    ///
    /// # Errors
    /// As [`Listener::bind`]. An address that this machine does not have is skipped if another can
    /// be bound.
    pub fn bind_all(target: &Target, options: &ListenOptions) -> Result<Vec<Self>> {
        Self::bind_resolved(target, target.resolve(Purpose::Listen)?, options)
    }

    /// Binds to `addresses`, which [`Target::resolve`] returned for `target`.
    ///
    /// # Errors
    /// As [`Listener::bind_all`].
    pub fn bind_resolved(
        target: &Target,
        addresses: Vec<Address>,
        options: &ListenOptions,
    ) -> Result<Vec<Self>> {
        let bound = BoundSocket::bind_resolved(target, addresses, options)?;
        let listeners = bound.into_iter().map(|one| Self::of(one, options));
        listeners.collect()
    }

    /// Closes the socket but keeps its file, as a killed process does.
    pub fn abandon(mut self) {
        if let Some(file) = self.file.take() {
            file.keep();
        }
    }

    /// The address that clients connect to, with the actual port if 0 was requested.
    #[must_use]
    pub fn local_addr(&self) -> &Address {
        &self.local
    }

    /// The other family whose clients this listener accepts: a dual-stack `[::]` accepts IPv4.
    #[must_use]
    pub fn also_takes(&self) -> Option<Family> {
        family::of(self.local.family()).also_takes(self.io.socket().inner(), &self.local)
    }

    /// Accepts the next connection, with its peer. Several tasks may wait on one listener: each
    /// connection goes to one of them. The stream belongs to the runtime that first awaits it,
    /// which may differ from the listener's.
    ///
    /// # Errors
    /// What `accept(2)` reports; [`connection_loop`](crate::connection_loop) knows which of its
    /// errors are temporary.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        let io = match &self.io {
            Accepting::Connections(io) => io,
            Accepting::Sessions(_) => return poll_fn(|cx| self.poll_accept(cx)).await,
        };
        let accept = |socket: &Socket| socket.accept();
        let (socket, name) = io.async_io(Interest::READABLE, accept).await?;
        self.accepted(socket, name)
    }

    /// Polls for the next connection. Wakes only the task of the last call;
    /// [`accept`](Self::accept) serves several, and costs a little more.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        let io = match &self.io {
            Accepting::Connections(io) => io,
            Accepting::Sessions(sessions) => {
                let (session, peer) = ready!(sessions.poll_accept(cx))?;
                return Poll::Ready(Ok((Stream::of_session(session), peer)));
            }
        };
        loop {
            let mut ready = ready!(io.poll_read_ready(cx))?;
            match io.get_ref().accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
                Ok((socket, name)) => return Poll::Ready(self.accepted(socket, name)),
            }
        }
    }

    /// While no more connections can be served: polls for a peer that waits, and ends the connection
    /// that has been idle longest to make room for it. Only sessions end so; the peers of other
    /// sockets wait in the backlog. It is never ready: the ended connection makes room.
    pub fn poll_make_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.io {
            Accepting::Connections(_) => Poll::Pending,
            Accepting::Sessions(sessions) => sessions.poll_make_room(cx),
        }
    }

    /// Accepts no more, and removes the socket file. Open connections stay.
    #[must_use]
    pub fn close(self) -> ClosedListener {
        drop(self.file);
        match self.io {
            Accepting::Connections(_) => ClosedListener(None),
            Accepting::Sessions(sessions) => {
                sessions.close();
                ClosedListener(Some(sessions))
            }
        }
    }

    fn accepted(&self, socket: Socket, name: Option<SocketAddrAny>) -> io::Result<(Stream, Peer)> {
        // A connection that has already gone counts as none.
        let gone = |_| io::Error::from(io::ErrorKind::ConnectionAborted);
        let name = decode_accepted(socket.inner(), name).map_err(gone)?;
        let address = socket.typed(name)?;
        // If a sandbox refuses credentials, the client is served without.
        let family = family::of(self.local.family());
        let credentials = family.credentials(socket.inner()).unwrap_or(None);
        family.accepted(socket.inner(), socket.socket_type())?;
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

    /// Takes over a listening socket of another program or library. It becomes non-blocking for all
    /// holders of the open file, see `O_NONBLOCK` in `fcntl(2)`. Its socket file is not removed.
    ///
    /// # Errors
    /// As `Socket::try_from`, and `InvalidInput` for a socket that does not listen.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    fn try_from(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::try_from(descriptor)?;
        if socket.socket_type().has_connection() && !socket.inner().is_listener()? {
            let cause = "the socket does not listen";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, cause));
        }
        socket.set_polled()?;
        reserve_waiter(socket.family())?;
        let local = Arc::new(socket.local_address()?);
        Ok(Self {
            file: None,
            io: Accepting::new(socket, &local, &ListenOptions::default())?,
            local,
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.socket().as_fd()
    }
}
