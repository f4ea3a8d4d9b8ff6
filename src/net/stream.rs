//! A connection of any family: connect with a deadline, send, receive, half-close.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::task::coop::consume_budget;

use super::attempt::Attempt;
use super::binding::bind_client;
use super::family::{self, Received};
use super::faults::{bind_error, no_answer};
use super::options::ConnectOptions;
use super::peer::Credentials;
use super::registration::WaitingSocket;
use super::room::{Room, Waiters};
use super::sockaddr::encode;
use super::socket::{CallTrace, Socket};
use super::socket_file::SocketFile;
use crate::address::{Address, Family, SocketType};
use crate::error::Result;

/// A connected socket of any family.
///
/// Several tasks may await its `async` methods at once. Its `poll` methods wake one task for each
/// direction, and are faster.
#[derive(Debug)]
pub struct Stream {
    // The client's socket file, dropped before the socket.
    file: Option<Box<SocketFile>>,
    room: Room,
    io: WaitingSocket,
    local: Option<Arc<Address>>,
}

impl Stream {
    /// Connects to `address`, see `connect(2)`.
    ///
    /// While an AF_UNIX backlog is full, retries until the deadline. TCP to a loopback address is
    /// not paced, see [`Congestion`](super::Congestion).
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
                    io,
                    local: None,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(no_answer(address, full)),
            Err(error) => Err(failed(error)),
        }
    }

    /// Two streams connected to each other, see `socketpair(2)`.
    ///
    /// # Errors
    /// What the kernel reports, mostly that there are too many open files.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = Socket::pair(Family::Unix, SocketType::Stream)?;
        Ok((Self::accepted(one, None), Self::accepted(other, None)))
    }

    /// A stream that registers with the runtime that first awaits it.
    pub(super) fn accepted(socket: Socket, local: Option<Arc<Address>>) -> Self {
        Self {
            file: None,
            room: Room::default(),
            io: WaitingSocket::new(socket),
            local,
        }
    }

    /// The same connection, registered with the current runtime.
    pub(crate) fn into_current_runtime(self) -> io::Result<Self> {
        reserve_waiter(self.family())?;
        Ok(Self {
            file: self.file,
            room: Room::default(),
            io: WaitingSocket::new(self.io.into_inner()),
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
        self.io.get_ref().family()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// What `getsockname(2)` reports.
    pub fn local_addr(&self) -> io::Result<Address> {
        match &self.local {
            Some(local) => Ok(Address::clone(local)),
            None => self.io.get_ref().local_address(),
        }
    }

    /// The peer's credentials, if the family reports them: for a server, those of its `listen(2)`.
    ///
    /// # Errors
    /// What `getsockopt(2)` reports.
    pub fn peer_cred(&self) -> io::Result<Option<Credentials>> {
        family::of(self.family()).credentials(self.io.get_ref().inner())
    }

    pub(super) const fn io(&self) -> &WaitingSocket {
        &self.io
    }

    /// The address of the other end, from the kernel; see `getpeername(2)`.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.io.get_ref().peer_address()
    }

    /// Receives available bytes; 0 means end of file. Several tasks may wait: bytes go to one of
    /// them, end of file to all.
    ///
    /// # Errors
    /// What `recv(2)` reports, and at end of file the pending error of the socket.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Before any receive, as the task may yield here and its future be dropped.
            consume_budget().await;
            let mut ready = self.io.ready(Interest::READABLE).await?;
            match self.receive_now(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Err(error),
                Ok(ReceiveOutcome { count, is_all }) => {
                    if is_all {
                        ready.clear_ready();
                    }
                    return Ok(count);
                }
            }
        }
    }

    /// Polls to receive. Wakes only the task of the last call; [`receive`](Self::receive) serves
    /// several, and costs more: an echo of small messages is a fifth faster with this one.
    pub fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        // What a client sends first has mostly arrived by accept, and needs no wait.
        if !self.io.is_registered() {
            let first = self.try_receive(buffer);
            self.io.register()?;
            if !matches!(&first, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return Poll::Ready(first);
            }
        }
        loop {
            let mut ready = ready!(self.io.poll_read_ready(cx))?;
            match self.receive_now(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
                Ok(ReceiveOutcome { count, is_all }) => {
                    if is_all {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }

    /// Receives available bytes; 0 means end of file if no error is pending on the socket.
    fn receive_now(&self, buffer: &mut [u8]) -> io::Result<ReceiveOutcome> {
        let Received { count, is_cut } = self.io.get_ref().receive(buffer)?;
        if count == 0 {
            let reset = match family::of(self.family()).end_hides_error() {
                true => self.io.get_ref().take_error()?,
                false => None,
            };
            let end = ReceiveOutcome {
                count,
                is_all: false,
            };
            return reset.map_or(Ok(end), Err);
        }
        // A short read emptied the socket: the next one would fail with EAGAIN. But the kernel also
        // stops at urgent data and descriptors.
        let is_all = count < buffer.len() && !is_cut && !self.is_urgent();
        Ok(ReceiveOutcome { count, is_all })
    }

    /// Receives without checking readiness.
    ///
    /// # Errors
    /// `WouldBlock` if no bytes are available, or as [`receive`](Self::receive).
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.io.get_ref().receive(buffer)?.count {
            0 => self.io.get_ref().take_error()?.map_or(Ok(0), Err),
            count => Ok(count),
        }
    }

    /// Whether the peer has sent urgent data, see `tcp(7)`, or has ended: the runtime does not
    /// distinguish them. Receives stop at the urgent data.
    pub(crate) fn is_urgent(&self) -> bool {
        self.io.is_ready(Interest::PRIORITY)
    }

    /// Waits until `count` bytes have arrived, without receiving them; returns how many are
    /// available, fewer only if the peer has ended. Await it to completion before the next receive.
    ///
    /// # Errors
    /// What `recv(2)` reports.
    pub async fn arrived(&self, count: usize) -> io::Result<usize> {
        loop {
            let mut ready = self.io.ready(Interest::READABLE).await?;
            match self.io.get_ref().peek(count) {
                // New data sets readiness again.
                Ok(there) if there < count && !ready.ready().is_read_closed() => {
                    ready.clear_ready();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                done => return done,
            }
        }
    }

    /// Sends all of `bytes`. Several tasks may send; if there is no room for all at once, their
    /// pieces may interleave.
    ///
    /// # Errors
    /// What `send(2)` reports.
    pub async fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = self.write_with(|socket| socket.send(bytes)).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Polls to send some of `bytes`. Wakes only the task of the last call;
    /// [`send_all`](Self::send_all) serves several.
    pub fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |socket| socket.send(bytes))
    }

    /// Sends as much of `bytes` as the socket takes now.
    ///
    /// # Errors
    /// What `send(2)` reports.
    pub(crate) fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.io.get_ref().send(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            sent => sent,
        }
    }

    /// Makes a call that returns `WouldBlock` while the socket has no room; several tasks may wait.
    pub(super) async fn write_with<T>(
        &self,
        mut write: impl FnMut(&Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        let socket = self.io.get_ref();
        match family::of(socket.family()).interest().is_writable() {
            true => self.io.async_io(Interest::WRITABLE, write).await,
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
        let socket = self.io.get_ref();
        match family::of(socket.family()).interest().is_writable() {
            true => self.io.poll_writing(cx, write),
            false => self.room.poll(cx, socket, || write(socket)),
        }
    }

    /// The socket in blocking mode, for threads and child processes, with the client's socket file,
    /// if any, which is removed when dropped.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn into_blocking(self) -> io::Result<(Socket, Option<Box<SocketFile>>)> {
        let socket = self.io.into_inner();
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
        self.io.get_ref().as_fd()
    }
}

/// Opens the runtime's epoll instance for send room, while descriptors are left.
pub(super) fn reserve_waiter(family: Family) -> io::Result<()> {
    match family::of(family).interest().is_writable() {
        true => Ok(()),
        false => Waiters::here().map(drop),
    }
}

/// The result of a receive.
struct ReceiveOutcome {
    count: usize,
    /// Whether the socket was emptied.
    is_all: bool,
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
        assert_eq!(other.receive(&mut buffer).await?, 4);
        Ok(())
    }
}
