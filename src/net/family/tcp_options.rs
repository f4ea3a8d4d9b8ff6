//! Options set on a TCP socket before connect or listen: keepalive and congestion control.

use std::io;
use std::sync::OnceLock;

use socket2::{Socket, TcpKeepalive};

use crate::address::{Address, Purpose};
use crate::net::options::{Congestion, Keepalive};

/// The number of unanswered probes before the connection fails.
const PROBES: u32 = 6;

/// Enables keepalive on a socket for `address`; connections of a listener inherit it at no cost. A
/// server on this machine cannot vanish, so its clients save the calls.
pub(super) fn keep_alive(
    socket: &Socket,
    address: &Address,
    purpose: Purpose,
    keepalive: Keepalive,
) -> io::Result<()> {
    let Some(idle) = keepalive.idle() else {
        return Ok(());
    };
    if purpose == Purpose::Connect && is_loopback(address, purpose) {
        return Ok(());
    }
    let interval = (idle / PROBES).max(Keepalive::MIN);
    let times = TcpKeepalive::new().with_time(idle).with_interval(interval);
    socket.set_tcp_keepalive(&times.with_retries(PROBES))
}

/// Whether the congestion control of a TCP socket paces, as BBR does.
pub(super) fn paces(socket: &Socket) -> bool {
    let name = socket.tcp_congestion();
    name.is_ok_and(|name| name.starts_with(b"bbr"))
}

/// Sets the congestion control of a socket for `address`; connections of a listener inherit it.
pub(super) fn set_congestion_control(
    socket: &Socket,
    address: &Address,
    purpose: Purpose,
    congestion: &Congestion,
) -> io::Result<()> {
    match congestion {
        Congestion::Auto => use_reno_on_loopback(socket, address, purpose),
        Congestion::System => {}
        Congestion::Named(name) => socket.set_tcp_congestion(name.as_bytes())?,
    }
    Ok(())
}

/// Avoids pacing on a TCP socket for a loopback address, where a timer for each segment makes bulk
/// several times more expensive. It gets Reno, which every kernel has and by default every user may
/// use (`tcp_allowed_congestion_control`, see `tcp(7)`).
///
/// Only before connect or accept: a connection that began with pacing keeps pacing. So a listener
/// on all addresses keeps the default, as its clients may be anywhere.
fn use_reno_on_loopback(socket: &Socket, address: &Address, purpose: Purpose) {
    /// Whether the system default paces, as seen on the first socket.
    static SYSTEM_PACES: OnceLock<bool> = OnceLock::new();
    if is_loopback(address, purpose) && *SYSTEM_PACES.get_or_init(|| paces(socket)) {
        // If it is forbidden, the transfer is slower, but correct.
        let _ = socket.set_tcp_congestion(b"reno");
    }
}

/// Whether every possible peer is on this machine.
fn is_loopback(address: &Address, purpose: Purpose) -> bool {
    address.as_ip().is_some_and(|(ip, _)| {
        let ip = ip.to_canonical();
        // Connecting to the wildcard address connects to loopback.
        ip.is_loopback() || (purpose == Purpose::Connect && ip.is_unspecified())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The time, interval and count in effect, if any.
    fn asked(socket: &Socket) -> io::Result<Option<(u64, u64, u32)>> {
        Ok(match socket.keepalive()? {
            true => Some((
                socket.tcp_keepalive_time()?.as_secs(),
                socket.tcp_keepalive_interval()?.as_secs(),
                socket.tcp_keepalive_retries()?,
            )),
            false => None,
        })
    }

    #[test]
    fn the_peer_of_a_network_is_asked() -> io::Result<()> {
        let (listen, connect) = (Purpose::Listen, Purpose::Connect);
        let after = |seconds| Keepalive::after(Duration::from_secs(seconds));
        for (purpose, address, keepalive, expected) in [
            (
                listen,
                "inet:127.0.0.1:1",
                Keepalive::default(),
                Some((60, 10, 6)),
            ),
            (listen, "inet:0.0.0.0:1", after(600), Some((600, 100, 6))),
            (listen, "inet:0.0.0.0:1", Keepalive::OFF, None),
            (
                connect,
                "inet:192.0.2.1:1",
                Keepalive::default(),
                Some((60, 10, 6)),
            ),
            (connect, "inet:192.0.2.1:1", after(0), Some((1, 1, 6))),
            (
                connect,
                "inet:192.0.2.1:1",
                after(1 << 40),
                Some((32_767, 5461, 6)),
            ),
            (connect, "inet:192.0.2.1:1", Keepalive::OFF, None),
            (connect, "inet:127.0.0.1:1", Keepalive::default(), None),
            (connect, "inet6:[::1]:1", Keepalive::default(), None),
            (
                listen,
                "inet6:[::]:1",
                Keepalive::default(),
                Some((60, 10, 6)),
            ),
            (
                connect,
                "inet6:[2001:db8::1]:1",
                Keepalive::default(),
                Some((60, 10, 6)),
            ),
        ] {
            let address: Address = address.parse().expect("it is an address");
            let domain = crate::net::family::of(address.family()).domain();
            let Ok(socket) = Socket::new(domain, socket2::Type::STREAM, None) else {
                continue;
            };
            keep_alive(&socket, &address, purpose, keepalive)?;
            assert_eq!(asked(&socket)?, expected, "{address} {purpose:?}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn an_accepted_connection_inherits_it() -> io::Result<()> {
        use crate::net::{ListenOptions, Listener};
        for address in ["inet:127.0.0.1:0", "inet6:[::1]:0"] {
            let address: Address = address.parse().expect("it is an address");
            let Ok(listener) = Listener::bind(&address, &ListenOptions::default()) else {
                continue;
            };
            let ip = listener.local_addr().as_ip().expect("an IP address");
            let _client = std::net::TcpStream::connect(ip)?;
            let (stream, _) = listener.accept().await?;
            let options = socket2::SockRef::from(&stream);
            assert_eq!(asked(&options)?, Some((60, 10, 6)));
        }
        Ok(())
    }

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
            // Documentation addresses (RFC 5737, RFC 3849).
            (connect, "inet:192.0.2.1:1", false),
            (connect, "inet6:[2001:db8::1]:1", false),
            (connect, "unix:@name", false),
        ] {
            let address: Address = address.parse().unwrap();
            assert_eq!(is_loopback(&address, purpose), stays, "{address}");
        }
    }
}
