//! A socket that accepts connections, on any family.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::accept_thread::{AcceptThread, is_readable};
use super::acceptor::Acceptor;
use super::bound::BoundSocket;
use super::closed_listener::ClosedListener;
use super::family;
use super::faults::bind_error;
use super::options::{ConnectionOptions, ListenOptions};
use super::peer::Peer;
use super::registration::registered;
use super::session::SessionSocket;
use super::socket::Socket;
use super::socket_file::SocketFile;
use super::stream::{Stream, reserve_waiter};
use crate::address::{Address, DescriptorName, Family, Purpose, Target};
use crate::error::Result;

/// A listening socket, or a datagram socket whose peers each begin a session. Dropping it closes it,
/// and removes its socket file if no other has replaced it.
#[derive(Debug)]
pub struct Listener {
    // Dropped before the socket: the name is removed while it still accepts.
    file: Option<SocketFile>,
    io: Accepting,
    acceptor: Acceptor,
    inherited: Option<DescriptorName>,
}

/// Where connections come from.
#[derive(Debug)]
enum Accepting {
    /// From `accept(2)`.
    Connections(AsyncFd<Socket>),
    /// From `accept(2)` on a thread, as it may wait.
    Thread(AcceptThread),
    /// From the first datagram of a peer.
    Sessions(SessionSocket),
}

impl Accepting {
    fn new(socket: Socket, local: &Arc<Address>, options: &ListenOptions) -> io::Result<Self> {
        match socket.socket_type().has_connection() {
            true if socket.would_wait() => AcceptThread::start(socket).map(Self::Thread),
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
            Self::Thread(thread) => thread.socket(),
            Self::Sessions(sessions) => sessions.socket(),
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
        Ok(Self {
            file,
            io,
            acceptor: Acceptor::new(local, None),
            inherited: None,
        })
    }

    /// A listener on an inherited socket.
    pub(super) fn of_inherited(
        socket: Socket,
        options: &ListenOptions,
        name: DescriptorName,
    ) -> io::Result<Self> {
        let mut listener = Self::taken(socket, Some(options.into()), options)?;
        listener.inherited = Some(name);
        Ok(listener)
    }

    /// A listener on a socket of another program, whose connections get `each`, if it is given.
    fn taken(
        socket: Socket,
        each: Option<ConnectionOptions>,
        options: &ListenOptions,
    ) -> io::Result<Self> {
        if socket.socket_type().has_connection() && !socket.inner().is_listener()? {
            let cause = "the socket does not listen";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, cause));
        }
        let socket = socket.shared()?;
        reserve_waiter(socket.family())?;
        let local = Arc::new(socket.local_address()?);
        if !socket.socket_type().has_connection() {
            family::of(socket.family()).prepare_sessions(socket.inner(), &local, options)?;
        }
        Ok(Self {
            file: None,
            io: Accepting::new(socket, &local, options)?,
            acceptor: Acceptor::new(local, each),
            inherited: None,
        })
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
        self.acceptor.local()
    }

    /// The word for the socket, if it is inherited.
    #[must_use]
    pub const fn inherited(&self) -> Option<&DescriptorName> {
        self.inherited.as_ref()
    }

    /// The other family whose clients this listener accepts: a dual-stack `[::]` accepts IPv4.
    #[must_use]
    pub fn also_takes(&self) -> Option<Family> {
        let local = self.local_addr();
        family::of(local.family()).also_takes(self.io.socket().inner(), local)
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
            Accepting::Thread(thread) => return self.acceptor.accepted(thread.accept().await),
            Accepting::Sessions(_) => return poll_fn(|cx| self.poll_accept(cx)).await,
        };
        let accept = |socket: &Socket| socket.accept();
        let accepted = io.async_io(Interest::READABLE, accept).await;
        self.acceptor.accepted(accepted)
    }

    /// Polls for the next connection. Wakes only the task of the last call;
    /// [`accept`](Self::accept) serves several, and costs a little more.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        let io = match &self.io {
            Accepting::Connections(io) => io,
            Accepting::Thread(thread) => {
                let accepted = ready!(thread.poll_accept(cx));
                return Poll::Ready(self.acceptor.accepted(accepted));
            }
            Accepting::Sessions(sessions) => {
                let (session, peer) = ready!(sessions.poll_accept(cx))?;
                return Poll::Ready(Ok((Stream::of_session(session), peer)));
            }
        };
        loop {
            let mut ready = ready!(io.poll_read_ready(cx))?;
            match io.get_ref().accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                accepted => return Poll::Ready(self.acceptor.accepted(accepted)),
            }
        }
    }

    /// Whether a client waits to be accepted, as the system says now: the runtime may not know yet.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        let is_fresh = match &self.io {
            Accepting::Connections(_) | Accepting::Thread(_) => false,
            Accepting::Sessions(sessions) => sessions.has_fresh(),
        };
        is_fresh || is_readable(self.io.socket()).unwrap_or(false)
    }

    /// While no more connections can be served: polls for a peer that waits, and ends the connection
    /// that has been idle longest to make room for it. Only sessions end so; the peers of other
    /// sockets wait in the backlog. It is never ready: the ended connection makes room.
    pub fn poll_make_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.io {
            Accepting::Connections(_) | Accepting::Thread(_) => Poll::Pending,
            Accepting::Sessions(sessions) => sessions.poll_make_room(cx),
        }
    }

    /// Accepts no more, and removes the socket file. Open connections stay.
    #[must_use]
    pub fn close(self) -> ClosedListener {
        drop(self.file);
        match self.io {
            Accepting::Connections(_) => ClosedListener::nothing(),
            Accepting::Thread(thread) => ClosedListener::of_thread(thread, self.acceptor),
            Accepting::Sessions(sessions) => {
                sessions.close();
                ClosedListener::of_sessions(sessions)
            }
        }
    }
}

impl TryFrom<OwnedFd> for Listener {
    type Error = io::Error;

    /// Takes over a listening socket of another program or library. Its socket file is not removed.
    ///
    /// The flags of its open file stay as they are, as other processes may have it too. In blocking
    /// mode, a thread accepts, since another process may take the connection first; it ends with the
    /// call that it then waits in. In non-blocking mode (`O_NONBLOCK`, see `fcntl(2)`) no thread is
    /// needed.
    ///
    /// # Errors
    /// As `Socket::try_from`, and `InvalidInput` for a socket that does not listen.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    fn try_from(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::try_from(descriptor)?;
        Self::taken(socket, None, &ListenOptions::default())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.socket().as_fd()
    }
}
