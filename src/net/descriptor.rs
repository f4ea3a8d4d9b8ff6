//! Descriptors passed over an AF_UNIX connection, see `SCM_RIGHTS` in `unix(7)`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;

use super::stream::Stream;

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
            sendmsg(socket, &data, &mut control, SendFlags::NOSIGNAL)?;
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
            recvmsg(socket, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            let received = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut files) => files.next(),
                _ => None,
            });
            Ok(received)
        };
        self.own_io()?.async_io(Interest::READABLE, receive).await
    }
}
