//! AF_INET6: TCP and UDP over IPv6, see `ipv6(7)`.

use std::io;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket};

use super::ip::Ip;
use super::version::Version;
use crate::address::{Address, Family, SocketName};
use crate::net::options::ListenOptions;

/// IPv6.
pub(super) const FAMILY: Ip<V6> = Ip(V6);

/// The differences of IPv6 from IPv4.
#[derive(Debug)]
pub(super) struct V6;

impl Version for V6 {
    const DOMAIN: Domain = Domain::IPV6;
    const COUNTED_HEADER: usize = 0;
    const HAS_V6: bool = true;
    const CONNECTIONS: &str = "/proc/net/tcp6";
    const LOOPBACK: &str = "::1/128";
    const SWITCHES: &[&str] = &[
        "net.ipv6.conf.all.disable_ipv6",
        "net.ipv6.conf.lo.disable_ipv6",
    ];

    fn prepare_listener(&self, socket: &Socket, options: &ListenOptions) -> io::Result<()> {
        socket.set_only_v6(options.v6only)
    }

    fn report_destinations(&self, socket: &Socket, address: &Address) -> io::Result<()> {
        match address.as_ip() {
            Some((ip, _)) if ip.is_unspecified() => {
                Ok(setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?)
            }
            _ => Ok(()),
        }
    }

    fn also_takes(&self, socket: &Socket, address: &Address) -> Option<Family> {
        let (ip, _) = address.as_ip()?;
        let takes_ipv4 = ip.is_unspecified() && !socket.only_v6().unwrap_or(true);
        takes_ipv4.then_some(Family::Inet)
    }

    fn lacks_scope(&self, address: &Address) -> bool {
        match address.name() {
            SocketName::Inet6(v6) => v6.ip().is_unicast_link_local() && v6.scope_id() == 0,
            _ => false,
        }
    }
}
