//! What IPv4 and IPv6 have in common: TCP and UDP, see `tcp(7)` and `udp(7)`.

use std::ffi::OsString;
use std::io;

use nix::Error as E;
use nix::sys::socket::getsockopt;
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Socket};
use tokio::io::Interest;

use super::tcp_options::{keep_alive, paces, set_congestion_control};
use super::udp_options::{is_of_several, set_udp_options};
use super::version::Version;
use super::{ConnectFault, Piece, SocketFamily, receive_datagram};
use crate::address::{Address, Family, Purpose, SocketType};
use crate::error::{Error, ErrorKind};
use crate::net::faults::Refusal;
use crate::net::options::{Congestion, ConnectOptions, ConnectionOptions, ListenOptions};
use crate::net::peer::Peer;
use crate::net::received::Received;
use crate::net::rights::Rights;
use crate::net::sockaddr::decode;

const NEEDS_SCOPE: &str = "a link-local address needs its interface, such as [fe80::1%eth0]";

/// The state of a connection whose FIN is sent but not acknowledged, while the peer may still send:
/// `TCP_FIN_WAIT1` of `netinet/tcp.h`.
const FIN_WAIT_1: u8 = 4;
/// The same after the peer's end of file: it ended first, or at the same time.
const LAST_ACK: u8 = 9;
const CLOSING: u8 = 11;

/// The size of a UDP header.
const UDP_HEADER: usize = 8;
/// The receive buffer of a datagram server; the kernel doubles it.
const DATAGRAM_ROOM: usize = 4 << 20;

mod option {
    use nix::{getsockopt_impl, libc, sockopt_impl};

    // The first byte of `struct tcp_info` is the state; the kernel copies as much as requested.
    sockopt_impl!(TcpState, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, u8);
}

/// TCP and UDP over one version of the Internet Protocol.
#[derive(Debug)]
pub(super) struct Ip<V>(pub(super) V);

impl<V: Version> SocketFamily for Ip<V> {
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
        if address.socket_type().keeps_messages() {
            // With SO_REUSEADDR, a second server would take the datagrams of the first.
            // A burst of many peers needs room; the kernel caps it by net.core.rmem_max.
            let _ = socket.set_recv_buffer_size(DATAGRAM_ROOM);
            self.0.report_destinations(socket, address)?;
            return set_udp_options(&self.0, socket, address, &options.udp);
        }
        socket.set_reuse_address(options.reuse_address)?;
        keep_alive(socket, address, Purpose::Listen, options.keepalive)?;
        socket.set_tcp_nodelay(true)?;
        set_congestion_control(socket, address, Purpose::Listen, &options.congestion)
    }

    fn prepare_own_name(&self, socket: &Socket, address: &Address) -> io::Result<()> {
        match address.socket_type().keeps_messages() {
            true => Ok(()),
            false => socket.set_reuse_address(true),
        }
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
        if address.socket_type().keeps_messages() {
            return set_udp_options(&self.0, socket, address, &options.udp);
        }
        set_congestion_control(socket, address, Purpose::Connect, &options.congestion)?;
        keep_alive(socket, address, Purpose::Connect, options.keepalive)
    }

    fn is_of_several(&self, address: &Address, options: &ConnectOptions) -> bool {
        is_of_several(address, &options.udp)
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
            Some(E::EACCES) if address.socket_type().keeps_messages() => {
                Error::new("connect", address, source)
                    .with_hint("if this is a broadcast address, add --broadcast")
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

    /// A client whose port the kernel chose may connect to itself (RFC 9293, simultaneous open):
    /// then there is no server.
    fn connected(&self, socket: &Socket, address: &Address) -> io::Result<()> {
        match decode(&socket.local_addr()?)? == *address.name() {
            true => Err(E::ECONNREFUSED.into()),
            false if address.socket_type().keeps_messages() => Ok(()),
            // A request must not wait for an acknowledgement (Nagle).
            false => socket.set_tcp_nodelay(true),
        }
    }

    fn prepare_connection(
        &self,
        socket: &Socket,
        address: &Address,
        options: &ConnectionOptions,
    ) -> io::Result<()> {
        if address.socket_type().keeps_messages() {
            return Ok(());
        }
        socket.set_tcp_nodelay(true)?;
        // A connection that began with pacing keeps pacing: there is no better one to choose.
        if let Congestion::Named(name) = &options.congestion {
            socket.set_tcp_congestion(name.as_bytes())?;
        }
        match options.keepalive.idle() {
            Some(_) => keep_alive(socket, address, options.purpose, options.keepalive),
            None => socket.set_keepalive(false),
        }
    }

    fn prepare_sessions(
        &self,
        socket: &Socket,
        local: &Address,
        _: &ListenOptions,
    ) -> io::Result<()> {
        self.0.report_destinations(socket, local)
    }

    fn lacks_scope(&self, address: &Address) -> bool {
        self.0.lacks_scope(address)
    }

    fn receive(
        &self,
        socket: &Socket,
        _: Rights<'_>,
        flags: RecvFlags,
        buffer: &mut [u8],
    ) -> io::Result<Piece> {
        let (count, _) = recv(socket, buffer, flags)?;
        let is_cut = false;
        Ok(Piece { count, is_cut })
    }

    fn receive_message(
        &self,
        socket: &Socket,
        _: SocketType,
        _: Rights<'_>,
        flags: RecvFlags,
        buffer: &mut [u8],
    ) -> io::Result<Received> {
        receive_datagram(socket, flags, buffer)
    }

    fn names_every_sender(&self) -> bool {
        true
    }

    /// The length field of UDP has 16 bits.
    fn longest_datagram(&self) -> usize {
        usize::from(u16::MAX)
    }

    fn longest_sent(&self, _: &Socket) -> io::Result<usize> {
        Ok(self.longest_datagram() - UDP_HEADER - V::COUNTED_HEADER)
    }

    fn interest(&self) -> Interest {
        Interest::READABLE | Interest::PRIORITY | Interest::WRITABLE
    }

    fn end_hides_error(&self) -> bool {
        true
    }

    /// TCP sends a FIN for both.
    fn shows_full_close(&self) -> bool {
        false
    }

    fn delays_small_sends(&self, socket: &Socket) -> io::Result<bool> {
        Ok(!socket.tcp_nodelay()?)
    }

    fn may_lose_sent(&self, socket: &Socket) -> io::Result<bool> {
        Ok(getsockopt(socket, option::TcpState)? == FIN_WAIT_1)
    }

    fn awaits_acknowledgement(&self, socket: &Socket) -> io::Result<bool> {
        let state = getsockopt(socket, option::TcpState)?;
        Ok(matches!(state, FIN_WAIT_1 | LAST_ACK | CLOSING))
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
        let (protocol, names) = match local.socket_type().has_connection() {
            true => (
                "TCP",
                [
                    ("TCPLOCALIP", "TCPLOCALPORT"),
                    ("TCPREMOTEIP", "TCPREMOTEPORT"),
                ],
            ),
            false => (
                "UDP",
                [
                    ("UDPLOCALIP", "UDPLOCALPORT"),
                    ("UDPREMOTEIP", "UDPREMOTEPORT"),
                ],
            ),
        };
        let mut all: Vec<(&'static str, OsString)> = vec![("PROTO", protocol.into())];
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

/// Whether `connections`, a table of `proc_pid_net(5)`, has one on `port` that this end closed.
///
/// Reads only two columns by hand: a crate for it would be in every program that uses the library.
pub(crate) fn is_ending_at(port: u16, connections: &str) -> bool {
    let own = format!(":{port:04X}");
    // FIN_WAIT1, FIN_WAIT2, TIME_WAIT.
    let ending = ["04", "05", "06"];
    connections.lines().skip(1).any(|line| {
        // Number, local address, remote address, state.
        let fields: Vec<&str> = line.split_whitespace().take(4).collect();
        matches!(fields[..], [_, local, _, state] if local.ends_with(&own) && ending.contains(&state))
    })
}
