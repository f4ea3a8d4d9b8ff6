//! A connection of any family: connect with a deadline, send, receive, half-close.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::family;
use super::gate::SessionPlace;
use super::losses::Losses;
use super::peer::Credentials;
use super::registration::WaitingSocket;
use super::room::{Room, Waiters};
use super::session::SessionStream;
use super::socket::Socket;
use super::socket_file::SocketFile;
use crate::address::{Address, Family, SocketType};

/// A connection of any family and socket type: a connected socket, or a session of a datagram
/// socket.
///
/// A stream moves bytes. The other types keep messages apart: each send is one message, each receive
/// returns one, and one that is larger than the buffer is an error.
///
/// Several tasks may await its `async` methods at once. Its `poll` methods wake one task for each
/// direction, and are faster.
#[derive(Debug)]
pub struct Stream {
    // The client's socket file, dropped before the socket.
    file: Option<Box<SocketFile>>,
    pub(super) room: Room,
    pub(super) io: Io,
    local: Option<Arc<Address>>,
}

/// What carries a connection.
#[derive(Debug)]
pub(super) enum Io {
    Socket(WaitingSocket),
    /// One peer of a datagram socket. Boxed, so that a connection of its own has no room for it.
    Session(Box<SessionStream>),
}

impl Stream {
    /// A client's connection, with its socket file, if it has one.
    pub(super) fn connected(io: WaitingSocket, file: Option<SocketFile>) -> Self {
        Self {
            file: file.map(Box::new),
            room: Room::default(),
            io: Io::Socket(io),
            local: None,
        }
    }

    /// Two streams connected to each other, see `socketpair(2)`.
    ///
    /// # Errors
    /// What the kernel reports, mostly that there are too many open files.
    pub fn pair() -> io::Result<(Self, Self)> {
        Self::pair_of(SocketType::Stream)
    }

    /// The same with sockets of `socket_type`.
    ///
    /// # Errors
    /// As [`Stream::pair`].
    pub fn pair_of(socket_type: SocketType) -> io::Result<(Self, Self)> {
        let (one, other) = Socket::pair(Family::Unix, socket_type)?;
        for end in [&one, &other] {
            family::of(Family::Unix).accepted(end.inner(), socket_type)?;
        }
        Ok((Self::accepted(one, None), Self::accepted(other, None)))
    }

    /// A stream that registers with the runtime that first awaits it.
    pub(super) fn accepted(socket: Socket, local: Option<Arc<Address>>) -> Self {
        Self {
            file: None,
            room: Room::default(),
            io: Io::Socket(WaitingSocket::new(socket)),
            local,
        }
    }

    /// A session as a stream.
    pub(super) fn of_session(session: SessionStream) -> Self {
        Self {
            file: None,
            room: Room::default(),
            local: Some(session.local()),
            io: Io::Session(Box::new(session)),
        }
    }

    /// The same connection, registered with the current runtime.
    pub(crate) fn into_current_runtime(self) -> io::Result<Self> {
        reserve_waiter(self.family())?;
        let io = match self.io {
            Io::Socket(io) => Io::Socket(WaitingSocket::new(io.into_inner())),
            // No runtime is bound to it.
            io @ Io::Session(_) => io,
        };
        Ok(Self {
            file: self.file,
            room: Room::default(),
            io,
            local: self.local,
        })
    }

    /// Prepares this connection to wait for send room, see [`reserve_waiter`].
    pub(crate) fn reserve_waiter(&self) -> io::Result<()> {
        reserve_waiter(self.family())
    }

    /// The family of this connection.
    #[must_use]
    pub fn family(&self) -> Family {
        self.socket().family()
    }

    /// The type of its socket.
    #[must_use]
    pub fn socket_type(&self) -> SocketType {
        self.socket().socket_type()
    }

    /// Whether each receive returns one message, and each send sends one.
    #[must_use]
    pub fn keeps_messages(&self) -> bool {
        self.socket_type().keeps_messages()
    }

    /// Whether it ends by itself when nothing has passed for its idle time, as a session does: it
    /// has no peer that could end it.
    #[must_use]
    pub const fn ends_when_idle(&self) -> bool {
        matches!(self.io, Io::Session(_))
    }

    /// Whether it is a session that the [gate](super::ListenOptions::session_gate) of its socket has
    /// admitted.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        match &self.io {
            Io::Socket(_) => false,
            Io::Session(session) => session.is_admitted(),
        }
    }

    /// What the gate of its socket gave it, if it is a session: it holds this until it ends, or the
    /// caller for longer.
    #[must_use]
    pub fn take_place(&self) -> Option<SessionPlace> {
        match &self.io {
            Io::Socket(_) => None,
            Io::Session(session) => session.take_place(),
        }
    }

    /// The datagrams that were not delivered, if it is a session; they are no errors.
    #[must_use]
    pub fn losses(&self) -> Option<Arc<Losses>> {
        match &self.io {
            Io::Socket(_) => None,
            Io::Session(session) => Some(Arc::clone(session.losses())),
        }
    }

    /// The address of this end.
    ///
    /// # Errors
    /// What `getsockname(2)` reports.
    pub fn local_addr(&self) -> io::Result<Address> {
        match &self.local {
            Some(local) => Ok(Address::clone(local)),
            None => self.socket().local_address(),
        }
    }

    /// The peer's credentials, if the family reports them: for a server, those of its `listen(2)`.
    ///
    /// # Errors
    /// What `getsockopt(2)` reports.
    pub fn peer_cred(&self) -> io::Result<Option<Credentials>> {
        match self.socket_type().has_connection() {
            true => family::of(self.family()).credentials(self.socket().inner()),
            false => Ok(None),
        }
    }

    /// The supplementary groups of the peer's process, as of its `connect(2)` (`SO_PEERGROUPS`).
    ///
    /// # Errors
    /// What `getsockopt(2)` reports, and `Unsupported` if the family does not report them.
    pub fn peer_groups(&self) -> io::Result<Vec<u32>> {
        match self.socket_type().has_connection() {
            true => family::of(self.family()).groups(self.socket().inner()),
            false => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Its own socket, unless it is a session.
    pub(super) const fn io(&self) -> Option<&WaitingSocket> {
        match &self.io {
            Io::Socket(io) => Some(io),
            Io::Session(_) => None,
        }
    }

    /// Its own socket.
    ///
    /// # Errors
    /// `Unsupported` for a session, which shares its socket with others.
    pub(super) fn own_io(&self) -> io::Result<&WaitingSocket> {
        self.io().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Its socket, which sessions share.
    pub(super) fn socket(&self) -> &Socket {
        match &self.io {
            Io::Socket(io) => io.get_ref(),
            Io::Session(session) => session.socket(),
        }
    }

    /// Waits until it has ended, if it is a session.
    pub(super) async fn session_ended(&self) {
        match &self.io {
            Io::Socket(_) => std::future::pending().await,
            Io::Session(session) => session.ended().await,
        }
    }

    /// Whether it is a session that was ended because it was idle, or the one that was idle longest.
    pub(crate) fn is_given_up(&self) -> bool {
        match &self.io {
            Io::Socket(_) => false,
            Io::Session(session) => session.is_given_up(),
        }
    }

    /// Ends it after what has arrived, if it is a session; the next datagram of its peer begins
    /// another one.
    pub(crate) fn end_session(&self) {
        if let Io::Session(session) = &self.io {
            session.end();
        }
    }

    /// The address of the other end, from the kernel; see `getpeername(2)`.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn peer_addr(&self) -> io::Result<Address> {
        match &self.io {
            Io::Socket(io) => io.get_ref().peer_address(),
            Io::Session(session) => session.peer(),
        }
    }

    /// The socket in blocking mode, for threads and child processes, with the client's socket file,
    /// if any, which is removed when dropped.
    ///
    /// # Errors
    /// What the kernel reports, and `Unsupported` for a session.
    pub fn into_blocking(self) -> io::Result<(Socket, Option<Box<SocketFile>>)> {
        let Io::Socket(io) = self.io else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        Ok((io.into_inner().waiting()?, self.file))
    }
}

impl TryFrom<OwnedFd> for Stream {
    type Error = io::Error;

    /// Takes over a connection of another program or library. The flags of its open file stay as they
    /// are, as other processes may have it too: see `O_NONBLOCK` in `fcntl(2)`. In blocking mode its
    /// bytes are copied, not spliced.
    ///
    /// # Errors
    /// As `Socket::try_from`, and `NotConnected` for a socket that is not connected.
    fn try_from(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::try_from(descriptor)?;
        socket.inner().peer_addr()?;
        Ok(Self::accepted(socket.shared()?, None))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

/// Opens the runtime's epoll instance for send room, while descriptors are left.
pub(super) fn reserve_waiter(family: Family) -> io::Result<()> {
    match family::of(family).interest().is_writable() {
        true => Ok(()),
        false => Waiters::here().map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Received;

    #[tokio::test]
    async fn what_arrived_is_all_that_was_asked_for_or_all_before_the_end() -> io::Result<()> {
        let (one, other) = Stream::pair()?;
        one.send_all(b"ab").await?;
        let (arrived, sent) = tokio::join!(other.arrived(4), one.send_all(b"cd"));
        sent?;
        assert_eq!(arrived?, 4);
        one.shutdown(std::net::Shutdown::Write)?;
        assert_eq!(other.arrived(5).await?, 4);
        // `arrived` has received nothing.
        let mut buffer = [0; 8];
        assert_eq!(other.receive(&mut buffer).await?, Received::Bytes(4));
        Ok(())
    }
}
