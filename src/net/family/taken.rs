//! Whether the peer has what was sent to it.

use std::io;

use nix::sys::socket::getsockopt;

use crate::address::Family;
use crate::net::socket::Socket;

/// The state of a connection that has sent its end, of which not all is acknowledged, while the
/// peer may still send: `TCP_FIN_WAIT1` of `netinet/tcp.h`.
const FIN_WAIT_1: u8 = 4;

mod option {
    use nix::{getsockopt_impl, libc, sockopt_impl};

    // The first byte of `struct tcp_info` is the state; the kernel gives as much of it as asked for.
    sockopt_impl!(TcpState, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, u8);
}

/// Whether our system still holds some of what was sent, up to the end of our sending half, and
/// would drop it if the peer sent something to a closed socket. What is sent on AF_UNIX is with the
/// peer at once.
pub(in crate::net) fn may_lose_sent(socket: &Socket) -> io::Result<bool> {
    match socket.family() {
        Family::Inet | Family::Inet6 => Ok(getsockopt(socket, option::TcpState)? == FIN_WAIT_1),
        Family::Unix => Ok(false),
    }
}
