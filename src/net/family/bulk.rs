//! What a stream of bytes wants of the sockets of each family.

use std::io;

use crate::address::{Address, Family};
use crate::net::socket::Socket;

/// What a socket holds that large pieces are moved into; the kernel doubles it.
const BULK_ROOM: usize = 1 << 20;

/// Makes room in a socket that large pieces are moved into.
pub(in crate::net) fn expect_bulk(socket: &Socket) -> io::Result<()> {
    match socket.family() {
        // tcp(7) grows its buffers by itself, and a set size would stop that.
        Family::Inet | Family::Inet6 => Ok(()),
        Family::Unix if socket.options().send_buffer_size()? >= BULK_ROOM => Ok(()),
        Family::Unix => socket.options().set_send_buffer_size(BULK_ROOM),
    }
}

/// Whether it costs less to splice a stream from a socket of one family `to` another than to copy
/// it. AF_UNIX holds a stream in small pieces, and a TCP that paces arms a timer for each of them.
pub(in crate::net) fn splices_well(from: Family, to: &Socket) -> bool {
    match (from, to.family()) {
        (Family::Unix, Family::Inet | Family::Inet6) => !paces(to),
        (Family::Inet | Family::Inet6 | Family::Unix, _) => true,
    }
}

/// Whether the congestion control of a TCP socket spreads what it sends over time, as BBR does.
fn paces(socket: &Socket) -> bool {
    let name = socket.options().tcp_congestion();
    name.is_ok_and(|name| name.starts_with(b"bbr"))
}

/// Takes the pacing from a TCP that stays on this machine: there is no network to spare, and a timer
/// for each segment makes it several times dearer. Its connections get Reno, which every kernel has
/// and every user may take (`tcp_allowed_congestion_control`, see `tcp(7)`).
///
/// It is for a socket that no connection was made with: one that began with pacing goes on pacing.
pub(in crate::net) fn unpace(socket: &Socket, address: &Address) {
    let ip = address.as_ip().map(|(ip, _)| ip.to_canonical());
    if ip.is_some_and(|ip| ip.is_loopback()) && paces(socket) {
        // Where even that is forbidden, the transfer is slower, but right.
        let _ = socket.options().set_tcp_congestion(b"reno");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_alone_is_not_paced() {
        for (address, paced) in [
            ("inet:127.0.0.1:1", false),
            ("inet6:[::1]:1", false),
            ("inet6:[::ffff:127.0.0.9]:1", false),
            ("inet:0.0.0.0:1", true),
            // Addresses for documentation (RFC 5737, RFC 3849).
            ("inet:192.0.2.1:1", true),
            ("inet6:[2001:db8::1]:1", true),
        ] {
            let address: Address = address.parse().unwrap();
            let socket = Socket::open(address.family()).unwrap();
            if socket.options().set_tcp_congestion(b"bbr").is_err() {
                // This kernel has no BBR, or keeps it from us.
                return;
            }
            unpace(&socket, &address);
            assert_eq!(paces(&socket), paced, "{address}");
        }
    }
}
