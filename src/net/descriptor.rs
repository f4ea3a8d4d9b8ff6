//! Descriptors passed over an AF_UNIX connection, see `SCM_RIGHTS` in `unix(7)`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;

use super::received::Received;
use super::stream::{Io, Stream};

/// Two connected AF_UNIX sockets, see `socketpair(2)`.
///
/// # Errors
/// What the kernel reports.
pub fn connected_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    Ok((one.into(), other.into()))
}

/// The byte sent with a descriptor, which cannot be sent without data.
const CARRIER: [u8; 1] = [0];

impl Stream {
    /// Sends a descriptor to the peer, with one byte of data; only on AF_UNIX.
    ///
    /// # Errors
    /// What `sendmsg(2)` reports.
    pub async fn send_descriptor(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        let send = |socket: &super::socket::Socket| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let files = [file];
            if !control.push(SendAncillaryMessage::ScmRights(&files)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let data = [IoSlice::new(&CARRIER)];
            let flags = SendFlags::from_bits_retain(socket.send_flags().bits().cast_unsigned());
            sendmsg(socket, &data, &mut control, flags)?;
            Ok(())
        };
        self.write_with(send).await
    }

    /// Receives one byte and the descriptor sent with it; `None` for a byte without one, or at end
    /// of file.
    ///
    /// # Errors
    /// What `recvmsg(2)` reports.
    pub async fn receive_descriptor(&self) -> io::Result<Option<OwnedFd>> {
        let receive = |socket: &super::socket::Socket| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = CARRIER;
            let mut data = [IoSliceMut::new(&mut byte)];
            let flags = RecvFlags::CMSG_CLOEXEC | socket.flags();
            recvmsg(socket, &mut data, &mut control, flags)?;
            let received = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut files) => files.next(),
                _ => None,
            });
            Ok(received)
        };
        self.own_io()?.async_io(Interest::READABLE, receive).await
    }

    /// Whether descriptors may come with what is received.
    pub(crate) fn may_get_descriptors(&self) -> bool {
        match &self.io {
            Io::Socket(io) => io.get_ref().may_get_descriptors(),
            Io::Session(session) => session.may_get_descriptors(),
        }
    }

    /// Whether descriptors can be sent to the peer.
    pub(crate) fn passes_descriptors(&self) -> bool {
        self.family().facts().passes_descriptors
    }

    /// Has the kernel refuse descriptors from now on, or take them again. False if it cannot refuse
    /// them. Those that were sent before may still come.
    pub(crate) fn set_takes_descriptors(&self, takes: bool) -> bool {
        self.io()
            .is_some_and(|io| io.get_ref().set_takes_descriptors(takes))
    }

    /// Has the kernel refuse descriptors from now on, and returns the number of bytes that were sent
    /// before, some of which may come with descriptors; `None` if it cannot refuse them.
    pub(crate) fn refuse_more_descriptors(&self) -> Option<u64> {
        if !self.set_takes_descriptors(false) {
            return None;
        }
        let count = || {
            let socket = self.socket().inner();
            // Takes the lock under which a sender looks at the option and queues its bytes: no bytes
            // of a sender that has not seen it are queued after this.
            let _ = socket.peer_addr();
            rustix::io::ioctl_fionread(socket)
        };
        let Ok(count) = count() else {
            self.set_takes_descriptors(true);
            return None;
        };
        Some(count)
    }

    /// As [`poll_receive`](Self::poll_receive); descriptors that come with what is received, closed
    /// on exec, are appended to `files`.
    ///
    /// # Errors
    /// As [`poll_receive`](Self::poll_receive), and if descriptors were lost.
    pub(crate) fn poll_receive_passing(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        files: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<Received>> {
        self.poll_receive_into(cx, buffer, Some(files))
    }

    /// As [`try_send`](Self::try_send), with descriptors: they go with the first byte, or with the
    /// message.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), and the reason why the kernel does not pass them on.
    pub(crate) fn try_send_passing(&self, bytes: &[u8], files: &[OwnedFd]) -> io::Result<usize> {
        match &self.io {
            Io::Socket(io) => io.get_ref().send_passing(bytes, files),
            Io::Session(session) => session.try_send(bytes, files),
        }
    }

    /// The same as [`poll_send`](Self::poll_send).
    pub(crate) fn poll_send_passing(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        files: &[OwnedFd],
    ) -> Poll<io::Result<usize>> {
        if let Io::Session(session) = &self.io {
            return session.poll_send(cx, bytes, files);
        }
        self.poll_write_with(cx, |socket| socket.send_passing(bytes, files))
    }
}
