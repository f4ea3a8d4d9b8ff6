//! When a peer that has vanished is noticed.

use std::io;

use socket2::TcpKeepalive;

use super::bulk::is_loopback;
use crate::address::{Address, Purpose};
use crate::net::options::Keepalive;
use crate::net::socket::Socket;

/// How many questions a silent peer may leave without an answer.
const PROBES: u32 = 6;

/// Has the peer of a socket for `address` asked, those of a listener's connections too, which inherit
/// it at no cost. A server on this machine cannot vanish, and a client of it saves the calls.
pub(in crate::net) fn keep_alive(
    socket: &Socket,
    address: &Address,
    purpose: Purpose,
    keepalive: Keepalive,
) -> io::Result<()> {
    let Some(idle) = keepalive.idle() else {
        return Ok(());
    };
    match address {
        Address::Unix(_) => Ok(()),
        Address::Inet(_) | Address::Inet6(_)
            if purpose == Purpose::Connect && is_loopback(address, purpose) =>
        {
            Ok(())
        }
        Address::Inet(_) | Address::Inet6(_) => {
            let interval = (idle / PROBES).max(Keepalive::MIN);
            let times = TcpKeepalive::new().with_time(idle).with_interval(interval);
            let options = socket.options();
            options.set_tcp_keepalive(&times.with_retries(PROBES))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The time, the interval and the count that are in force, if any.
    fn asked(socket: &socket2::Socket) -> io::Result<Option<(u64, u64, u32)>> {
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
            (listen, "unix:/s", Keepalive::default(), None),
        ] {
            let address: Address = address.parse().expect("it is an address");
            let Ok(socket) = Socket::open(address.family()) else {
                continue;
            };
            keep_alive(&socket, &address, purpose, keepalive)?;
            assert_eq!(asked(socket.options())?, expected, "{address} {purpose:?}");
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
            let ip = listener.local().as_ip().expect("an IP address");
            let _client = std::net::TcpStream::connect(ip)?;
            let (stream, _) = listener.accept().await?;
            let options = socket2::SockRef::from(&stream);
            assert_eq!(asked(&options)?, Some((60, 10, 6)));
        }
        Ok(())
    }
}
