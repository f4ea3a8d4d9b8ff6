//! A connection of any family: connect with a deadline, send, receive, half-close.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::task::coop::consume_budget;

use super::attempt::Attempt;
use super::binding::bind_client;
use super::family;
use super::faults::{bind_error, no_answer};
use super::losses::Losses;
use super::options::ConnectOptions;
use super::peer::Credentials;
use super::received::Received;
use super::registration::WaitingSocket;
use super::room::{Room, Waiters};
use super::session::SessionStream;
use super::sockaddr::{Encoded, encode};
use super::socket::{CallTrace, Socket};
use super::socket_file::SocketFile;
use crate::address::{Address, Family, SocketType};
use crate::error::Result;

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
    room: Room,
    io: Io,
    local: Option<Arc<Address>>,
}

/// What carries a connection.
#[derive(Debug)]
enum Io {
    Socket(WaitingSocket),
    /// One peer of a datagram socket.
    Session(SessionStream),
}

impl Stream {
    /// Connects to `address`, see `connect(2)`.
    ///
    /// While an AF_UNIX backlog is full, retries until the deadline. TCP to a loopback address is
    /// not paced, see [`Congestion`](super::Congestion). To a group, or with the option `broadcast`,
    /// no call connects: the answers come from other addresses, and so datagrams of every host are
    /// received.
    ///
    /// # Errors
    /// [`NoServer`](crate::ErrorKind::NoServer), [`Denied`](crate::ErrorKind::Denied),
    /// [`TimedOut`](crate::ErrorKind::TimedOut), or another error of the kernel.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O and time drivers enabled.
    pub async fn connect(address: &Address, options: &ConnectOptions) -> Result<Self> {
        let failed = |source: io::Error| family::connect_error(address, source);
        let socket = Socket::open(address.family(), address.socket_type()).map_err(failed)?;
        let family = family::of(address.family());
        let prepared = family.prepare_client(socket.inner(), address, options);
        prepared.map_err(failed)?;
        let file = match &options.bind {
            Some(own) => bind_client(&socket, own).map_err(|r| bind_error(own, r))?,
            None => None,
        };
        let name = encode(address).map_err(failed)?;
        if family.is_of_several(address, options) {
            return Self::to_several(socket, name).map_err(failed);
        }
        let watch = CallTrace::start(address.family(), "connect");
        let descriptor = socket.as_raw_fd();
        let mut attempt = Attempt::Fresh(socket);
        let arguments = || format!("{descriptor}, {address}");
        let mut full = false;
        // Trace only the first attempt that finds the backlog full.
        let connecting = attempt.finish(&name, |error| {
            if !std::mem::replace(&mut full, true) {
                watch.refused(&error, arguments);
            }
        });
        let connected = match options.deadline {
            None => connecting.await,
            Some(deadline) => tokio::time::timeout_at(deadline, connecting)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        };
        watch.done(&connected, arguments, |_| "0".to_owned());
        match connected {
            Ok(()) => {
                let io = attempt.registered().map_err(failed)?;
                let ready = family.connected(io.get_ref().inner(), address);
                ready.map_err(failed)?;
                Ok(Self {
                    file: file.map(Box::new),
                    room: Room::default(),
                    io: Io::Socket(io),
                    local: None,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(no_answer(address, full)),
            Err(error) => Err(failed(error)),
        }
    }

    /// A datagram socket that sends to several hosts, and takes the datagrams of every host.
    fn to_several(mut socket: Socket, name: Encoded) -> io::Result<Self> {
        socket.send_always_to(name.name);
        Ok(Self {
            file: None,
            room: Room::default(),
            io: Io::Socket(WaitingSocket::registered(socket)?),
            local: None,
        })
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
            local: Some(Arc::clone(session.local())),
            io: Io::Session(session),
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

    /// Receives available bytes, or one message. Several tasks may wait: what arrives goes to one
    /// of them, end of file to all.
    ///
    /// # Errors
    /// What `recv(2)` reports, at end of file the pending error of the socket, and `InvalidData` for
    /// a message that does not fit into `buffer`.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let io = match &self.io {
            Io::Socket(io) => io,
            Io::Session(session) => return poll_fn(|cx| session.poll_receive(cx, buffer)).await,
        };
        loop {
            // Before any receive, as the task may yield here and its future be dropped.
            consume_budget().await;
            let mut ready = io.ready(Interest::READABLE).await?;
            match self.receive_now(io, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Err(error),
                Ok((received, is_all)) => {
                    if is_all {
                        ready.clear_ready();
                    }
                    return Ok(received);
                }
            }
        }
    }

    /// Polls to receive. Wakes only the task of the last call; [`receive`](Self::receive) serves
    /// several, and costs more: an echo of small messages is a fifth faster with this one.
    pub fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        let io = match &self.io {
            Io::Socket(io) => io,
            Io::Session(session) => return session.poll_receive(cx, buffer),
        };
        // What a client sends first has mostly arrived by accept, and needs no wait.
        if !io.is_registered() {
            let first = self.try_receive(buffer);
            io.register()?;
            if !matches!(&first, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return Poll::Ready(first);
            }
        }
        loop {
            let mut ready = ready!(io.poll_read_ready(cx))?;
            match self.receive_now(io, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
                Ok((received, is_all)) => {
                    if is_all {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(received));
                }
            }
        }
    }

    /// Receives what is available, and returns whether the socket was emptied. It is end of file
    /// only if no error is pending on the socket.
    fn receive_now(&self, io: &WaitingSocket, buffer: &mut [u8]) -> io::Result<(Received, bool)> {
        let (received, may_have_more) = io.get_ref().receive(buffer)?;
        if received.is_end() {
            let reset = match family::of(self.family()).end_hides_error() {
                true => io.get_ref().take_error()?,
                false => None,
            };
            return reset.map_or(Ok((received, false)), Err);
        }
        // A short read emptied the socket: the next one would fail with EAGAIN. But the kernel also
        // stops at urgent data and descriptors.
        let is_short = received.count() < buffer.len();
        let is_all = is_short && !may_have_more && !self.is_urgent();
        Ok((received, is_all))
    }

    /// Receives without checking readiness.
    ///
    /// # Errors
    /// `WouldBlock` if no bytes are available, or as [`receive`](Self::receive).
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let socket = match &self.io {
            Io::Socket(io) => io.get_ref(),
            Io::Session(session) => return session.try_receive(buffer),
        };
        match socket.receive(buffer)?.0 {
            Received::End => socket.take_error()?.map_or(Ok(Received::End), Err),
            received => Ok(received),
        }
    }

    /// Whether the peer has sent urgent data, see `tcp(7)`, or has ended: the runtime does not
    /// distinguish them. Receives stop at the urgent data.
    pub(crate) fn is_urgent(&self) -> bool {
        self.io().is_some_and(|io| io.is_ready(Interest::PRIORITY))
    }

    /// Waits until `count` bytes have arrived, without receiving them; returns how many are
    /// available, fewer only if the peer has ended. Await it to completion before the next receive.
    ///
    /// # Errors
    /// What `recv(2)` reports.
    pub async fn arrived(&self, count: usize) -> io::Result<usize> {
        let io = self.own_io()?;
        loop {
            let mut ready = io.ready(Interest::READABLE).await?;
            match io.get_ref().peek(count) {
                // New data sets readiness again.
                Ok(there) if there < count && !ready.ready().is_read_closed() => {
                    ready.clear_ready();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                done => return done,
            }
        }
    }

    /// Sends all of `bytes`: as one message, if the type keeps messages apart. Several tasks may
    /// send; if a stream has no room for all at once, their pieces may interleave.
    ///
    /// # Errors
    /// What `send(2)` reports: `EMSGSIZE` for a message that the kernel does not take.
    pub async fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        if let Io::Session(session) = &self.io {
            return poll_fn(|cx| session.poll_send(cx, bytes)).await.map(drop);
        }
        if self.keeps_messages() {
            return self.write_with(|socket| socket.send(bytes)).await.map(drop);
        }
        while !bytes.is_empty() {
            let sent = self.write_with(|socket| socket.send(bytes)).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Polls to send some of `bytes`, or all as one message. Wakes only the task of the last call;
    /// [`send_all`](Self::send_all) serves several.
    pub fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Io::Session(session) = &self.io {
            return session.poll_send(cx, bytes);
        }
        self.poll_write_with(cx, |socket| socket.send(bytes))
    }

    /// Sends as much of `bytes` as the socket takes now: all or nothing of a message.
    ///
    /// # Errors
    /// `WouldBlock` if it takes nothing, and what `send(2)` reports.
    pub(crate) fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.io {
            Io::Socket(io) => io.get_ref().send(bytes),
            Io::Session(session) => session.try_send(bytes),
        }
    }

    /// Makes a call that returns `WouldBlock` while the socket has no room; several tasks may wait.
    pub(super) async fn write_with<T>(
        &self,
        mut write: impl FnMut(&Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        let io = self.own_io()?;
        let socket = io.get_ref();
        match family::of(socket.family()).interest().is_writable() {
            true => io.async_io(Interest::WRITABLE, write).await,
            false => self.room.wait(socket, || write(socket)).await,
        }
    }

    /// Polls a call that returns `WouldBlock` while the socket has no room; wakes only the task of
    /// the last call.
    pub(super) fn poll_write_with<T>(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&Socket) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let io = self.own_io()?;
        let socket = io.get_ref();
        match family::of(socket.family()).interest().is_writable() {
            true => io.poll_writing(cx, write),
            false => self.room.poll(cx, socket, || write(socket)),
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
        let socket = io.into_inner();
        socket.set_blocking()?;
        Ok((socket, self.file))
    }
}

impl TryFrom<OwnedFd> for Stream {
    type Error = io::Error;

    /// Takes over a connection of another program or library. It becomes non-blocking for all
    /// holders of the open file, see `O_NONBLOCK` in `fcntl(2)`.
    ///
    /// # Errors
    /// As `Socket::try_from`, and `NotConnected` for a socket that is not connected.
    fn try_from(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::try_from(descriptor)?;
        socket.inner().peer_addr()?;
        socket.set_polled()?;
        Ok(Self::accepted(socket, None))
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
