//! AF_INET: TCP and UDP over IPv4, see `ip(7)`.

use std::io;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket};

use super::ip::Ip;
use super::version::Version;
use crate::address::Address;

/// IPv4.
pub(super) const FAMILY: Ip<V4> = Ip(V4);

/// The differences of IPv4 from IPv6.
#[derive(Debug)]
pub(super) struct V4;

impl Version for V4 {
    const DOMAIN: Domain = Domain::IPV4;
    const COUNTED_HEADER: usize = 20;
    const CONNECTIONS: &str = "/proc/net/tcp";
    const LOOPBACK: &str = "127.0.0.1/8";

    fn report_destinations(&self, socket: &Socket, address: &Address) -> io::Result<()> {
        match address.as_ip() {
            Some((ip, _)) if ip.is_unspecified() => {
                Ok(setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?)
            }
            _ => Ok(()),
        }
    }
}
