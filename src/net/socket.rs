//! The socket calls, one method each: `EINTR` is retried, and each call can be traced.

use std::fmt::Display;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::socket::{ControlMessage, sendmsg};
use rustix::net::{RecvFlags, SocketAddrAny, SocketFlags, acceptfrom_with, recv};
use socket2::{SockAddr, Type};

use super::call_trace::{CallTrace, Shown, uninterrupted};
use super::family;
use super::received::Received;
use super::rights::{Rights, passing};
use super::shared::{self, Shared};
use super::sockaddr::decode;
use crate::address::{Address, Family, SocketName, SocketType};

/// A socket of any family and type, closed when dropped.
///
/// [`Stream`](super::Stream) holds one in non-blocking mode; its
/// [`into_blocking`](super::Stream::into_blocking) returns it in blocking mode.
#[derive(Debug)]
pub struct Socket {
    inner: socket2::Socket,
    family: Family,
    socket_type: SocketType,
    resets: AtomicBool,
    may_get_descriptors: bool,
    /// Where each message is sent, if it is not connected.
    receiver: Option<Box<SockAddr>>,
    /// Set if other processes have the same open file description.
    pub(super) shared: Option<Shared>,
}

impl Socket {
    /// `socket(2)`: non-blocking and closed on exec.
    pub(super) fn open(family: Family, socket_type: SocketType) -> io::Result<Self> {
        let watch = CallTrace::start(family, "socket");
        let kind = kernel_type(socket_type).nonblocking();
        let opened = socket2::Socket::new(family::of(family).domain(), kind, None);
        watch.done(
            &opened,
            || format!("{}, {}", family.af_name(), socket_type.sock_name()),
            |socket| socket.as_raw_fd().to_string(),
        );
        opened.map(|inner| Self::of(inner, family, socket_type))
    }

    /// `socketpair(2)`: two connected sockets.
    pub(super) fn pair(family: Family, socket_type: SocketType) -> io::Result<(Self, Self)> {
        let kind = kernel_type(socket_type).nonblocking();
        let pair = socket2::Socket::pair(family::of(family).domain(), kind, None)?;
        let (one, other) = pair;
        Ok((
            Self::of(one, family, socket_type),
            Self::of(other, family, socket_type),
        ))
    }

    fn of(inner: socket2::Socket, family: Family, socket_type: SocketType) -> Self {
        let resets = AtomicBool::new(false);
        Self {
            inner,
            family,
            socket_type,
            resets,
            may_get_descriptors: true,
            receiver: None,
            shared: None,
        }
    }

    /// Sets whether close resets the connection, if the family can (`SO_LINGER` of 0, see
    /// `socket(7)`), so that the peer sees an error, not end of file.
    pub(crate) fn set_resets(&self, resets: bool) {
        self.resets.store(resets, Ordering::Relaxed);
    }

    /// Sends each message to `name`, without a connect.
    pub(super) fn send_always_to(&mut self, name: SockAddr) {
        self.receiver = Some(Box::new(name));
    }

    /// Has the kernel, if it can, refuse descriptors from the peers of a socket not bound or
    /// connected yet.
    pub(super) fn refuse_descriptors(&mut self) {
        self.may_get_descriptors = !self.set_takes_descriptors(false);
    }

    /// Has the kernel refuse descriptors from now on, or take them again. False if it cannot refuse
    /// them. Earlier ones may still come.
    pub(super) fn set_takes_descriptors(&self, takes: bool) -> bool {
        family::of(self.family).set_takes_descriptors(&self.inner, takes)
    }

    /// Whether descriptors may come with what is received.
    pub(super) fn may_get_descriptors(&self) -> bool {
        self.may_get_descriptors && self.family.facts().passes_descriptors
    }

    pub(super) const fn family(&self) -> Family {
        self.family
    }

    pub(super) const fn socket_type(&self) -> SocketType {
        self.socket_type
    }

    /// The address of this end, see `getsockname(2)`.
    pub(super) fn local_address(&self) -> io::Result<Address> {
        self.typed(decode(&self.inner.local_addr()?)?)
    }

    /// The address of the other end, see `getpeername(2)`.
    pub(super) fn peer_address(&self) -> io::Result<Address> {
        self.typed(decode(&self.inner.peer_addr()?)?)
    }

    /// The address of a socket of this type with `name`.
    pub(super) fn typed(&self, name: SocketName) -> io::Result<Address> {
        Address::new(name, self.socket_type).map_err(io::Error::other)
    }

    /// The socket itself, to read and set its options.
    pub(super) const fn inner(&self) -> &socket2::Socket {
        &self.inner
    }

    /// `bind(2)`; `shown` is the name for the user.
    pub(super) fn bind(&self, name: &SockAddr, shown: &impl Display) -> io::Result<()> {
        self.bind_by(shown, |socket| socket.bind(name))
    }

    /// The same through `bind`.
    pub(super) fn bind_by(
        &self,
        shown: &impl Display,
        bind: impl Fn(&socket2::Socket) -> io::Result<()>,
    ) -> io::Result<()> {
        self.watched("bind", || shown.to_string(), || bind(&self.inner))
    }

    /// `listen(2)`; the kernel caps `backlog` by `net.core.somaxconn`.
    pub(super) fn listen(&self, backlog: u32) -> io::Result<()> {
        let length = i32::try_from(backlog).unwrap_or(i32::MAX);
        self.watched(
            "listen",
            || backlog.to_string(),
            || self.inner.listen(length),
        )
    }

    /// `accept4(2)`: the next connection, non-blocking and closed on exec, and its peer name from
    /// the kernel.
    pub(super) fn accept(&self) -> io::Result<(Self, Option<SocketAddrAny>)> {
        let watch = CallTrace::start(self.family, "accept");
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let accepted = uninterrupted(|| Ok(acceptfrom_with(&self.inner, flags)?));
        watch.done(
            &accepted,
            || self.as_raw_fd().to_string(),
            |(socket, _)| socket.as_raw_fd().to_string(),
        );
        let (inner, name) = accepted?;
        let mut accepted = Self::of(inner.into(), self.family, self.socket_type);
        accepted.may_get_descriptors = self.may_get_descriptors;
        Ok((accepted, name))
    }

    /// `connect(2)`, which may only start connecting; [`CallTrace`] reports it when done.
    pub(super) fn connect(&self, name: &SockAddr) -> io::Result<()> {
        uninterrupted(|| self.inner.connect(name))
    }

    /// `recv(2)`: available bytes or a message, and whether more of a stream may be available.
    /// Descriptors that come with them are appended to `files`, or closed by the kernel.
    pub(super) fn receive(
        &self,
        buffer: &mut [u8],
        mut files: Option<&mut Vec<OwnedFd>>,
    ) -> io::Result<(Received, bool)> {
        if self.receiver.is_some() {
            return Ok((self.receive_of_any(buffer)?, true));
        }
        let (size, flags) = (buffer.len(), self.flags());
        let family = family::of(self.family);
        let call = if files.is_some() { "recvmsg" } else { "recv" };
        let receive = || {
            let rights = match files.as_mut() {
                _ if !self.may_get_descriptors => Rights::Refused,
                Some(files) => Rights::Taken(files),
                None => Rights::Closed,
            };
            if self.socket_type.keeps_messages() {
                let (inner, socket_type) = (&self.inner, self.socket_type);
                let message = family.receive_message(inner, socket_type, rights, flags, buffer)?;
                return Ok((message, true));
            }
            let piece = family.receive(&self.inner, rights, flags, buffer)?;
            Ok((Received::of_stream(piece.count, size), piece.is_cut))
        };
        self.watched(call, || size.to_string(), receive)
    }

    /// `recv(2)` with `MSG_PEEK`: available bytes, which stay there.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (size, flags) = (buffer.len(), RecvFlags::PEEK | self.flags());
        let peek = || Ok(recv(&self.inner, &mut *buffer, flags)?.1);
        self.watched("recv", || format!("{size}, MSG_PEEK"), peek)
    }

    /// `send(2)`: as much as the socket takes now; a closed peer is an error, not a signal.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = self.send_flags().bits();
        if let Some(name) = &self.receiver {
            let address = || decode(name).and_then(|name| self.typed(name));
            let shown = || address().map_or_else(|_| String::new(), |to| to.to_string());
            let send = || self.inner.send_to_with_flags(bytes, name, flags);
            return self.watched("sendto", || format!("{}, {}", bytes.len(), shown()), send);
        }
        let send = || self.inner.send_with_flags(bytes, flags);
        self.watched("send", || bytes.len().to_string(), send)
    }

    /// `sendmsg(2)`: the same with descriptors, which go with the first byte.
    ///
    /// # Errors
    /// What the kernel reports, and the reason why it does not pass the descriptors on.
    pub(super) fn send_passing(&self, bytes: &[u8], files: &[OwnedFd]) -> io::Result<usize> {
        let numbers: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
        let control = [ControlMessage::ScmRights(&numbers)];
        let (data, flags) = ([IoSlice::new(bytes)], self.send_flags());
        let send = || {
            let sent = sendmsg::<()>(self.as_raw_fd(), &data, &control, flags, None);
            sent.map_err(passing)
        };
        let arguments = || format!("{}, SCM_RIGHTS {}", bytes.len(), files.len());
        self.watched("sendmsg", arguments, send)
    }

    /// `shutdown(2)`: shuts down one half of the connection, or both.
    ///
    /// # Errors
    /// What the kernel reports; `NotConnected` if the peer has gone.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let argument = || {
            format!(
                "SHUT_{}",
                if how == Shutdown::Write { "WR" } else { "RDWR" }
            )
        };
        self.watched("shutdown", argument, || self.inner.shutdown(how))
    }

    /// Takes the pending error of the socket; see `SO_ERROR` in `socket(7)`.
    ///
    /// # Errors
    /// What `getsockopt(2)` reports.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }

    /// Sets blocking mode.
    pub(super) fn set_blocking(&self) -> io::Result<()> {
        self.inner.set_nonblocking(false)
    }

    pub(super) fn watched<T>(
        &self,
        call: &'static str,
        arguments: impl FnOnce() -> String,
        mut run: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T>
    where
        T: Shown,
    {
        let watch = CallTrace::start(self.family, call);
        let result = loop {
            match uninterrupted(&mut run) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.waits() => {
                    shared::wait(&self.inner, call)?;
                }
                done => break done,
            }
        };
        let arguments = || format!("{}, {}", self.as_raw_fd(), arguments());
        watch.done(&result, arguments, T::shown);
        result
    }
}

impl Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer, None)
            .map(|(received, _)| received.count())
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.resets.load(Ordering::Relaxed) && self.family.facts().has_reset {
            // An error means that the peer has already reset it.
            let _ = self.inner.set_linger(Some(Duration::ZERO));
        }
        // The field's own drop closes the descriptor, right after this report.
        let watch = CallTrace::start(self.family, "close");
        watch.done(&Ok(()), || self.as_raw_fd().to_string(), Shown::shown);
    }
}

impl TryFrom<OwnedFd> for Socket {
    type Error = io::Error;

    /// Takes over a socket of another program or library.
    ///
    /// # Errors
    /// What `getsockopt(2)` reports, and `InvalidInput` for a socket of another type or of an
    /// unsupported family.
    fn try_from(descriptor: OwnedFd) -> io::Result<Self> {
        let inner = socket2::Socket::from(descriptor);
        let (domain, kind) = (inner.domain()?, inner.r#type()?);
        let family = Family::ALL
            .into_iter()
            .find(|family| family::of(*family).domain() == domain);
        let socket_type = SocketType::ALL
            .into_iter()
            .find(|known| kernel_type(*known) == kind);
        match family.zip(socket_type) {
            Some((family, socket_type)) => Ok(Self::of(inner, family, socket_type)),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("not a socket of a supported family and type: {domain:?} {kind:?}"),
            )),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// The kernel's number of a type.
pub(super) const fn kernel_type(socket_type: SocketType) -> Type {
    match socket_type {
        SocketType::Stream => Type::STREAM,
        SocketType::SeqPacket => Type::SEQPACKET,
        SocketType::Datagram => Type::DGRAM,
    }
}
