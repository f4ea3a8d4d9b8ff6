//! What IPv4 and IPv6 have in common: TCP, see `tcp(7)`.

use std::ffi::OsString;
use std::fmt::Debug;
use std::io::{self, Read};
use std::sync::OnceLock;

use nix::Error as E;
use nix::sys::socket::getsockopt;
use socket2::{Domain, Socket, TcpKeepalive};
use tokio::io::Interest;

use super::{ConnectFault, Received, SocketFamily};
use crate::address::{Address, Family, Purpose};
use crate::error::{Error, ErrorKind};
use crate::net::faults::Refusal;
use crate::net::options::{Congestion, ConnectOptions, Keepalive, ListenOptions};
use crate::net::peer::Peer;
use crate::net::sockaddr::decode;

/// How many questions a silent peer may leave without an answer.
const PROBES: u32 = 6;

const NEEDS_SCOPE: &str = "a link-local address needs its interface, such as [fe80::1%eth0]";

/// The state of a connection that has sent its end, of which not all is acknowledged, while the
/// peer may still send: `TCP_FIN_WAIT1` of `netinet/tcp.h`.
const FIN_WAIT_1: u8 = 4;

mod option {
    use nix::{getsockopt_impl, libc, sockopt_impl};

    // The first byte of `struct tcp_info` is the state; the kernel gives as much of it as asked for.
    sockopt_impl!(TcpState, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, u8);
}

/// What one version of the Internet Protocol does differently from the other.
pub(super) trait Version: Debug + Sync {
    /// The kernel's number of the family.
    const DOMAIN: Domain;
    /// The table of connections, see `proc_pid_net(5)`.
    const CONNECTIONS: &str;
    /// See [`SocketFamily::loopback`].
    const LOOPBACK: &str;
    /// See [`SocketFamily::switches`].
    const SWITCHES: &[&str] = &[];

    /// Sets up a socket that is to listen.
    fn prepare_listener(&self, _: &Socket, _: &ListenOptions) -> io::Result<()> {
        Ok(())
    }

    /// See [`SocketFamily::also_takes`].
    fn also_takes(&self, _: &Socket, _: &Address) -> Option<Family> {
        None
    }

    /// See [`SocketFamily::lacks_scope`].
    fn lacks_scope(&self, _: &Address) -> bool {
        false
    }
}

/// TCP over one version of the Internet Protocol.
#[derive(Debug)]
pub(super) struct Tcp<V>(pub(super) V);

impl<V: Version> SocketFamily for Tcp<V> {
    fn domain(&self) -> Domain {
        V::DOMAIN
    }

    fn prepare_listener(
        &self,
        socket: &Socket,
        address: &Address,
        options: &ListenOptions,
    ) -> io::Result<()> {
        self.0.prepare_listener(socket, options)?;
        socket.set_reuse_address(options.reuse_address)?;
        keep_alive(socket, address, Purpose::Listen, options.keepalive)?;
        socket.set_tcp_nodelay(true)?;
        control(socket, address, Purpose::Listen, &options.congestion)
    }

    fn prepare_own_name(&self, socket: &Socket) -> io::Result<()> {
        socket.set_reuse_address(true)
    }

    fn bind_fault(&self, error: io::Error, address: &Address) -> Refusal {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "stop the other server, or use port 0 to get a free port",
            io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE",
            io::ErrorKind::AddrNotAvailable => "no interface of this machine has this address",
            _ if self.0.lacks_scope(address) => {
                return Refusal {
                    kind: Some(ErrorKind::Usage),
                    ..Refusal::hinted(error, NEEDS_SCOPE)
                };
            }
            _ => return error.into(),
        };
        Refusal::hinted(error, hint)
    }

    fn also_takes(&self, socket: &Socket, address: &Address) -> Option<Family> {
        self.0.also_takes(socket, address)
    }

    fn is_left_behind(&self, address: &Address) -> bool {
        let table = || std::fs::read_to_string(V::CONNECTIONS).unwrap_or_default();
        let port = address.as_ip().map(|(_, port)| port);
        port.is_some_and(|port| is_ending_at(port, &table()))
    }

    fn prepare_client(
        &self,
        socket: &Socket,
        address: &Address,
        options: &ConnectOptions,
    ) -> io::Result<()> {
        control(socket, address, Purpose::Connect, &options.congestion)?;
        keep_alive(socket, address, Purpose::Connect, options.keepalive)
    }

    fn connect_fault(&self, error: E) -> ConnectFault {
        match error {
            E::EINPROGRESS => ConnectFault::InProgress,
            _ => ConnectFault::Failed,
        }
    }

    fn connect_error(&self, address: &Address, source: io::Error) -> Error {
        match source.raw_os_error().map(E::from_raw) {
            Some(E::ECONNREFUSED) => {
                let cause = "connection refused, no server is listening";
                Error::because("connect", address, ErrorKind::NoServer, cause)
                    .with_hint("start the server, or check the address")
            }
            Some(E::ENETUNREACH | E::EHOSTUNREACH) => Error::new("connect", address, source)
                .with_hint("check the address, and the routes (ip route)"),
            Some(E::EINVAL) if self.0.lacks_scope(address) => {
                Error::new("connect", address, source)
                    .with_kind(ErrorKind::Usage)
                    .with_hint(NEEDS_SCOPE)
            }
            _ => Error::new("connect", address, source),
        }
    }

    /// A client whose own port the kernel chose may meet itself on it (RFC 9293, simultaneous open):
    /// nobody else is there.
    fn connected(&self, socket: &Socket, address: &Address) -> io::Result<()> {
        match decode(&socket.local_addr()?)? == *address {
            true => Err(E::ECONNREFUSED.into()),
            // A request must not wait for an acknowledgement (Nagle).
            false => socket.set_tcp_nodelay(true),
        }
    }

    fn lacks_scope(&self, address: &Address) -> bool {
        self.0.lacks_scope(address)
    }

    fn receive(&self, socket: &Socket, _: bool, buffer: &mut [u8]) -> io::Result<Received> {
        let mut socket = socket;
        let count = socket.read(buffer)?;
        let is_cut = false;
        Ok(Received { count, is_cut })
    }

    fn interest(&self) -> Interest {
        Interest::READABLE | Interest::PRIORITY | Interest::WRITABLE
    }

    fn end_hides_error(&self) -> bool {
        true
    }

    /// TCP sends the same for both.
    fn shows_full_close(&self) -> bool {
        false
    }

    fn delays_small_sends(&self, socket: &Socket) -> io::Result<bool> {
        Ok(!socket.tcp_nodelay()?)
    }

    fn may_lose_sent(&self, socket: &Socket) -> io::Result<bool> {
        Ok(getsockopt(socket, option::TcpState)? == FIN_WAIT_1)
    }

    /// A congestion control that paces arms a timer for each piece.
    fn takes_small_pieces(&self, socket: &Socket) -> bool {
        !paces(socket)
    }

    fn switches(&self) -> &'static [&'static str] {
        V::SWITCHES
    }

    fn loopback(&self) -> Option<&'static str> {
        Some(V::LOOPBACK)
    }

    fn ucspi(&self, local: &Address, peer: &Peer) -> Vec<(&'static str, OsString)> {
        let mut all: Vec<(&'static str, OsString)> = vec![("PROTO", "TCP".into())];
        let names = [
            ("TCPLOCALIP", "TCPLOCALPORT"),
            ("TCPREMOTEIP", "TCPREMOTEPORT"),
        ];
        for (end, (ip_name, port_name)) in [local, &peer.address].into_iter().zip(names) {
            if let Some((ip, port)) = end.as_ip() {
                // A dual-stack listener sees an IPv4 client as ::ffff:a.b.c.d.
                all.push((ip_name, ip.to_canonical().to_string().into()));
                all.push((port_name, port.to_string().into()));
            }
        }
        all
    }
}

/// Has the peer of a socket for `address` asked, those of a listener's connections too, which inherit
/// it at no cost. A server on this machine cannot vanish, and a client of it saves the calls.
fn keep_alive(
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

/// Whether the congestion control of a TCP socket spreads what it sends over time, as BBR does.
fn paces(socket: &Socket) -> bool {
    let name = socket.tcp_congestion();
    name.is_ok_and(|name| name.starts_with(b"bbr"))
}

/// Gives a socket for `address` its congestion control; the connections of a listener inherit it.
fn control(
    socket: &Socket,
    address: &Address,
    purpose: Purpose,
    congestion: &Congestion,
) -> io::Result<()> {
    match congestion {
        Congestion::Auto => unpace(socket, address, purpose),
        Congestion::System => {}
        Congestion::Named(name) => socket.set_tcp_congestion(name.as_bytes())?,
    }
    Ok(())
}

/// Takes the pacing from a TCP socket for a loopback address: there is no network to spare, and a
/// timer for each segment makes bulk several times dearer. Its connections get Reno, which every
/// kernel has and by default every user may take (`tcp_allowed_congestion_control`, see `tcp(7)`).
///
/// It is for a socket that no connection was made with: one that began with pacing goes on pacing.
/// So a listener on all addresses keeps what it has, as it does not know where its clients will be.
fn unpace(socket: &Socket, address: &Address, purpose: Purpose) {
    /// What the system gives to each new socket, as the first one had it.
    static SYSTEM_PACES: OnceLock<bool> = OnceLock::new();
    if is_loopback(address, purpose) && *SYSTEM_PACES.get_or_init(|| paces(socket)) {
        // Where it is forbidden, the transfer is slower, but right.
        let _ = socket.set_tcp_congestion(b"reno");
    }
}

/// Whether all who may be at the other end are on this machine.
fn is_loopback(address: &Address, purpose: Purpose) -> bool {
    address.as_ip().is_some_and(|(ip, _)| {
        let ip = ip.to_canonical();
        // To connect to no address in particular is to connect to loopback.
        ip.is_loopback() || (purpose == Purpose::Connect && ip.is_unspecified())
    })
}

/// Whether `connections`, a table of `proc_pid_net(5)`, has one on `port` that this end closed.
///
/// Two columns are read here, where a crate would read all: it would be in every program that uses
/// the library.
pub(crate) fn is_ending_at(port: u16, connections: &str) -> bool {
    let own = format!(":{port:04X}");
    // FIN_WAIT1, FIN_WAIT2, TIME_WAIT.
    let ending = ["04", "05", "06"];
    connections.lines().skip(1).any(|line| {
        // Its number, the local address, the remote one, the state.
        let fields: Vec<&str> = line.split_whitespace().take(4).collect();
        matches!(fields[..], [_, local, _, state] if local.ends_with(&own) && ending.contains(&state))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The time, the interval and the count that are in force, if any.
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
            let ip = listener.local().as_ip().expect("an IP address");
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
