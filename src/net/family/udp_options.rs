//! The options of UDP sockets: broadcast, groups, hops; see `ip(7)` and `ipv6(7)`.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use nix::net::if_::if_nametoindex;
use rustix::net::sockopt::set_ip_multicast_if_with_ifindex;
use socket2::{InterfaceIndexOrAddress, Socket};

use super::tcp::Version;
use crate::address::Address;
use crate::net::options::{Membership, UdpOptions};

/// Whether `address` is that of several hosts: a group, or with the option `broadcast` any address
/// of IPv4, as only the routes tell which is a broadcast address.
pub(super) fn is_of_several(address: &Address, options: &UdpOptions) -> bool {
    let ip = address.as_ip().map(|(ip, _)| ip.to_canonical());
    !address.socket_type().has_connection()
        && ip.is_some_and(|ip| ip.is_multicast() || options.broadcast && ip.is_ipv4())
}

/// Sets `options` on a socket that is bound or sends to `address` later.
pub(super) fn set_udp_options<V: Version>(
    version: &V,
    socket: &Socket,
    address: &Address,
    options: &UdpOptions,
) -> io::Result<()> {
    if *options == UdpOptions::default() {
        return Ok(());
    }
    let is_v4 = address
        .as_ip()
        .is_some_and(|(ip, _)| ip.to_canonical().is_ipv4());
    let has_v4 = is_v4 || version.also_takes(socket, address).is_some();
    if options.broadcast {
        if !has_v4 {
            return Err(refused("IPv6 has no broadcast; send to a group"));
        }
        socket.set_broadcast(true)?;
    }
    if !options.join.is_empty() {
        // Each of the sockets that share a port gets the datagrams to their group.
        socket.set_reuse_address(true)?;
    }
    for membership in &options.join {
        let index = index(membership)?;
        match membership.group {
            IpAddr::V4(group) if has_v4 => {
                let interface = InterfaceIndexOrAddress::Index(index.unwrap_or(0));
                let joined = socket.join_multicast_v4_n(&group, &interface);
                joined.map_err(|error| not_joined(membership, &error))?;
                if let Some(index) = index {
                    let any = Ipv4Addr::UNSPECIFIED;
                    set_ip_multicast_if_with_ifindex(socket, &group, &any, index)?;
                }
            }
            IpAddr::V6(group) if V::HAS_V6 => {
                let joined = socket.join_multicast_v6(&group, index.unwrap_or(0));
                joined.map_err(|error| not_joined(membership, &error))?;
                if let Some(index) = index {
                    socket.set_multicast_if_v6(index)?;
                }
            }
            group => {
                let cause =
                    format!("{group} is a group of the other version of IP than the socket");
                return Err(refused(cause));
            }
        }
    }
    let Some(hops) = options.ttl.map(u32::from) else {
        return Ok(());
    };
    if has_v4 {
        socket.set_ttl_v4(hops)?;
        socket.set_multicast_ttl_v4(hops)?;
    }
    if V::HAS_V6 {
        socket.set_unicast_hops_v6(hops)?;
        socket.set_multicast_hops_v6(hops)?;
    }
    Ok(())
}

/// The number of the interface of `membership`, if one is given.
fn index(membership: &Membership) -> io::Result<Option<u32>> {
    let Some(interface) = membership.interface.as_deref() else {
        return Ok(None);
    };
    let named = if_nametoindex(interface).ok();
    match named.or_else(|| interface.parse().ok()) {
        Some(index) => Ok(Some(index)),
        None => Err(refused(format!("no such interface: {interface:?}"))),
    }
}

/// What a user must change.
fn refused(cause: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, cause.into())
}

fn not_joined(membership: &Membership, error: &io::Error) -> io::Error {
    let Membership { group, interface } = membership;
    match (interface, error.raw_os_error().map(nix::Error::from_raw)) {
        (None, Some(nix::Error::ENODEV)) => refused(format!(
            "no route says which interface joins {group}; give it, such as {group}%eth0"
        )),
        (Some(interface), Some(nix::Error::ENODEV)) => {
            refused(format!("no such interface: {interface:?}"))
        }
        _ => io::Error::new(error.kind(), format!("cannot join {group}: {error}")),
    }
}
