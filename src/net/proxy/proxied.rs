//! What a header describes.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::unistd::{getegid, geteuid, getpid};

use crate::address::Address;
use crate::net::peer::{Credentials, Peer};
use crate::net::stream::Stream;

/// The connection that a PROXY header describes: the client of a proxy, and the address that it
/// connected to.
///
/// ```
/// use sok::net::{Peer, Proxied, ProxyVersion};
///
/// let client = Peer::new("inet:192.0.2.7:56324".parse()?);
/// let proxied = Proxied::new(client, "inet:192.0.2.1:443".parse()?);
/// let header = proxied.header(ProxyVersion::V1);
/// assert_eq!(header, b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n");
/// assert_eq!(Proxied::parse(&header), Ok(Some(proxied)));
/// # Ok::<(), sok::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proxied {
    /// The client. Its process is known if it is a client of AF_UNIX, and its proxy is sok.
    pub peer: Peer,
    /// The address that the client connected to.
    pub destination: Address,
}

impl Proxied {
    /// A connection of `peer` to `destination`.
    #[must_use]
    pub const fn new(peer: Peer, destination: Address) -> Self {
        Self { peer, destination }
    }

    /// A TCP connection.
    pub(super) fn of_tcp(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Self {
        let address = |end| Address::from(SocketAddr::from(end));
        Self::new(Peer::new(address(source)), address(destination))
    }

    /// The connection of a client that speaks for itself, with its own address and process, to
    /// `server`.
    ///
    /// # Errors
    /// What `getsockname(2)` reports.
    pub fn of_client(stream: &Stream, server: &Address) -> io::Result<Self> {
        let mut peer = Peer::new(stream.local_addr()?);
        let is_process = peer.address.family().facts().peer_is_process;
        peer.credentials = is_process.then(|| Credentials {
            pid: getpid().as_raw(),
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
        });
        Ok(Self::new(peer, server.clone()))
    }

    /// The IP addresses and ports of both ends, if they have any, in one family: IPv4 if both are of
    /// it, also if they are mapped.
    pub(super) fn as_ip(&self) -> Option<[(IpAddr, u16); 2]> {
        let ends = [self.peer.address.as_ip()?, self.destination.as_ip()?];
        let canonical = ends.map(|(ip, port)| (ip.to_canonical(), port));
        let as_v6 = |ip| match ip {
            IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
            IpAddr::V6(_) => ip,
        };
        match canonical.iter().all(|(ip, _)| ip.is_ipv4()) {
            true => Some(canonical),
            false => Some(canonical.map(|(ip, port)| (as_v6(ip), port))),
        }
    }
}
