//! Sends and receives on a connection.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::task::coop::consume_budget;

use super::family;
use super::received::{LONGEST_MESSAGE, Received};
use super::registration::WaitingSocket;
use super::socket::Socket;
use super::stream::{Io, Stream};

impl Stream {
    /// Receives available bytes, or one message. Several tasks may wait: what arrives goes to one
    /// of them, end of file to all.
    ///
    /// # Errors
    /// What `recv(2)` reports, at end of file the pending error of the socket, and `InvalidData` for
    /// a message that does not fit into `buffer`.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let io = match &self.io {
            Io::Socket(io) => io,
            Io::Session(session) => {
                return poll_fn(|cx| session.poll_receive(cx, buffer, None)).await;
            }
        };
        loop {
            // Before any receive, as the task may yield here and its future be dropped.
            consume_budget().await;
            let mut ready = io.ready(Interest::READABLE).await?;
            match self.receive_now(io, buffer, None) {
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
        self.poll_receive_into(cx, buffer, None)
    }

    /// The same; descriptors that come with what is received are appended to `files`, or closed.
    pub(super) fn poll_receive_into(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        mut files: Option<&mut Vec<OwnedFd>>,
    ) -> Poll<io::Result<Received>> {
        let io = match &self.io {
            Io::Socket(io) => io,
            Io::Session(session) => return session.poll_receive(cx, buffer, files),
        };
        // What a client sends first has mostly arrived by accept, and needs no wait.
        if !io.is_registered() {
            let first = self.try_receive_into(buffer, files.as_deref_mut());
            io.register()?;
            if !matches!(&first, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return Poll::Ready(first);
            }
        }
        loop {
            let mut ready = ready!(io.poll_read_ready(cx))?;
            match self.receive_now(io, buffer, files.as_deref_mut()) {
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
    fn receive_now(
        &self,
        io: &WaitingSocket,
        buffer: &mut [u8],
        files: Option<&mut Vec<OwnedFd>>,
    ) -> io::Result<(Received, bool)> {
        let (received, may_have_more) = io.get_ref().receive(buffer, files)?;
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

    /// Receives and discards the messages that have arrived.
    pub(crate) fn discard_arrived(&self) {
        let mut buffer = vec![0; LONGEST_MESSAGE];
        while matches!(self.try_receive(&mut buffer), Ok(Received::Message(_))) {}
    }

    /// Receives without checking readiness.
    ///
    /// # Errors
    /// `WouldBlock` if no bytes are available, or as [`receive`](Self::receive).
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        self.try_receive_into(buffer, None)
    }

    fn try_receive_into(
        &self,
        buffer: &mut [u8],
        files: Option<&mut Vec<OwnedFd>>,
    ) -> io::Result<Received> {
        let socket = match &self.io {
            Io::Socket(io) => io.get_ref(),
            Io::Session(session) => return session.try_receive(buffer),
        };
        match socket.receive(buffer, files)?.0 {
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
            match io.get_ref().peek(&mut vec![0; count]) {
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
            return poll_fn(|cx| session.poll_send(cx, bytes, &[]))
                .await
                .map(drop);
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
            return session.poll_send(cx, bytes, &[]);
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
            Io::Session(session) => session.try_send(bytes, &[]),
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
}
