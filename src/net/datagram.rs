//! Datagrams of many peers on one socket.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, SockaddrStorage, recvfrom, sendto};

use super::call_trace::{CallTrace, uninterrupted};
use super::sockaddr::decode_sender;
use super::socket::Socket;

impl Socket {
    /// `recvfrom(2)`: a datagram, cut if the buffer is too small, and the name of its sender.
    pub(super) fn receive_from(
        &self,
        buffer: &mut [u8],
    ) -> io::Result<(usize, Option<SockaddrStorage>)> {
        let watch = CallTrace::start(self.family(), "recvfrom");
        let size = buffer.len();
        let received = uninterrupted(|| Ok(recvfrom(self.as_raw_fd(), buffer)?));
        let arguments = || match &received {
            Ok((_, name)) => {
                let name = decode_sender(self.family(), name.as_ref());
                format!("{}, {size}, {name}", self.as_raw_fd())
            }
            Err(_) => format!("{}, {size}", self.as_raw_fd()),
        };
        watch.done(&received, arguments, |(count, _)| count.to_string());
        received
    }

    /// `sendto(2)`: one datagram.
    pub(super) fn send_to(&self, bytes: &[u8], name: &SockaddrStorage) -> io::Result<usize> {
        let send = || {
            Ok(sendto(
                self.as_raw_fd(),
                bytes,
                name,
                MsgFlags::MSG_NOSIGNAL,
            )?)
        };
        let arguments = || {
            let name = decode_sender(self.family(), Some(name));
            format!("{}, {name}", bytes.len())
        };
        self.watched("sendto", arguments, send)
    }
}
