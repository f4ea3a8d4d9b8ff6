//! What a stream of bytes wants of the sockets of each family.

use std::io;
use std::sync::OnceLock;

use crate::address::{Address, Family, Purpose};
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

/// Takes the pacing from a TCP socket for a loopback address: there is no network to spare, and a
/// timer for each segment makes bulk several times dearer. Its connections get Reno, which every
/// kernel has and by default every user may take (`tcp_allowed_congestion_control`, see `tcp(7)`).
///
/// It is for a socket that no connection was made with: one that began with pacing goes on pacing.
/// So a listener on all addresses keeps what it has, as it does not know where its clients will be.
pub(in crate::net) fn unpace(socket: &Socket, address: &Address, purpose: Purpose) {
    /// What the system gives to each new socket, as the first one had it.
    static SYSTEM_PACES: OnceLock<bool> = OnceLock::new();
    if is_loopback(address, purpose) && *SYSTEM_PACES.get_or_init(|| paces(socket)) {
        // Where it is forbidden, the transfer is slower, but right.
        let _ = socket.options().set_tcp_congestion(b"reno");
    }
}

/// Whether all who may be at the other end are on this machine.
pub(super) fn is_loopback(address: &Address, purpose: Purpose) -> bool {
    address.as_ip().is_some_and(|(ip, _)| {
        let ip = ip.to_canonical();
        // To connect to no address in particular is to connect to loopback.
        ip.is_loopback() || (purpose == Purpose::Connect && ip.is_unspecified())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_alone_is_not_paced() {
        let (listen, connect) = (Purpose::Listen, Purpose::Connect);
        for (purpose, address, stays) in [
            (connect, "inet:127.0.0.1:1", true),
            (listen, "inet:127.0.0.1:1", true),
            (listen, "inet6:[::1]:1", true),
            (listen, "inet6:[::ffff:127.0.0.9]:1", true),
            (connect, "inet:0.0.0.0:1", true),
            (connect, "inet6:[::]:1", true),
            (listen, "inet:0.0.0.0:1", false),
            (listen, "inet6:[::]:1", false),
            // Addresses for documentation (RFC 5737, RFC 3849).
            (connect, "inet:192.0.2.1:1", false),
            (connect, "inet6:[2001:db8::1]:1", false),
            (connect, "unix:@name", false),
        ] {
            let address: Address = address.parse().unwrap();
            assert_eq!(is_loopback(&address, purpose), stays, "{address}");
        }
    }
}
