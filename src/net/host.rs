//! What this host supports for a family: single socket calls, and settings.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrLike;

use super::binding::bind_client;
use super::family;
use super::faults::bind_error;
use super::socket::Socket;
use crate::address::{Address, Family, SocketType};
use crate::error::{Error, ErrorKind, Result};

/// Opens a socket of this family and type, and closes it, see `socket(2)`.
///
/// # Errors
/// What the kernel reports: it may lack the family, or forbid it.
pub fn try_create(family: Family, socket_type: SocketType) -> Result<()> {
    let made = Socket::open(family, socket_type);
    made.map(drop).map_err(|source| {
        let forbidden = matches!(
            source.raw_os_error().map(nix::Error::from_raw),
            Some(nix::Error::EAFNOSUPPORT | nix::Error::EPERM | nix::Error::EACCES)
        );
        let error = Error::new("socket", family.af_name(), source);
        if !forbidden {
            return error;
        }
        error.with_hint(format!(
            "load the kernel's module of {}, or lift the filter that forbids it \
             (RestrictAddressFamilies= of systemd, a seccomp profile)",
            family.af_name()
        ))
    })
}

/// Binds a socket to `address` and closes it, see `bind(2)`.
///
/// # Errors
/// As [`Listener::bind`](super::Listener::bind).
pub fn try_bind(address: &Address) -> Result<()> {
    let opened = Socket::open(address.family(), address.socket_type());
    let socket = opened.map_err(|e| bind_error(address, e.into()))?;
    let bound = bind_client(&socket, address);
    bound.map(drop).map_err(|r| bind_error(address, r))
}

/// Checks that this host has the TCP congestion control `name`, and that this process may use it.
///
/// # Errors
/// [`ErrorKind::Usage`] if none has that name, and any other error of `setsockopt(2)`.
pub fn check_congestion(name: &str) -> Result<()> {
    let with = |family| {
        Socket::open(family, SocketType::Stream)?
            .inner()
            .set_tcp_congestion(name.as_bytes())
    };
    let Some(error) = with(Family::Inet).or_else(|_| with(Family::Inet6)).err() else {
        return Ok(());
    };
    let listed = |file| fs::read_to_string(format!("/proc/sys/net/ipv4/{file}")).ok();
    let error = match error.kind() {
        io::ErrorKind::NotFound => {
            let cause = "this kernel has no such congestion control";
            Error::because(
                "set",
                format!("TCP_CONGESTION {name}"),
                ErrorKind::Usage,
                cause,
            )
        }
        _ => Error::new("set", format!("TCP_CONGESTION {name}"), error),
    };
    Err(match listed("tcp_allowed_congestion_control") {
        Some(allowed) => error.with_hint(format!("use one of these: {}", allowed.trim())),
        None => error,
    })
}

/// A link-local IPv6 address of this host, see RFC 4291.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkLocal {
    /// The interface, whose number is the scope of the address.
    pub interface: String,
    /// The address, with port 0.
    pub address: Address,
}

/// The link-local IPv6 addresses of the interfaces that are up.
///
/// # Errors
/// What `getifaddrs(3)` reports.
pub fn link_local_addresses() -> io::Result<Vec<LinkLocal>> {
    let mut found = Vec::new();
    for interface in getifaddrs()? {
        let storage = interface.address.as_ref();
        let v6 = storage.and_then(|storage| storage.as_sockaddr_in6());
        let Some(v6) = v6.filter(|v6| v6.ip().is_unicast_link_local()) else {
            continue;
        };
        if interface.flags.contains(InterfaceFlags::IFF_UP) {
            let address = SocketAddr::V6((*v6).into());
            found.push(LinkLocal {
                interface: interface.interface_name,
                address: address.into(),
            });
        }
    }
    Ok(found)
}

/// Whether packets to the address stay on this host.
#[must_use]
pub fn is_of_this_host(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || is_of_an_interface(ip)
}

/// Whether an interface of this host has the address.
pub(super) fn is_of_an_interface(ip: IpAddr) -> bool {
    let addresses = getifaddrs().into_iter().flatten();
    addresses.filter_map(|one| one.address).any(|storage| {
        let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let v6 = || storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
        v4.or_else(v6) == Some(ip)
    })
}

/// A setting of this host that disables a family.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Obstacle {
    /// The current setting.
    pub setting: String,
    /// The command that changes it.
    pub remedy: String,
}

/// The setting that disables `family` on this host, if any.
#[must_use]
pub fn obstacle(family: Family) -> Option<Obstacle> {
    let loopback = family::of(family).loopback()?;
    let interfaces: Vec<InterfaceAddress> = getifaddrs().ok()?.collect();
    let own = |one: &&InterfaceAddress| one.flags.contains(InterfaceFlags::IFF_LOOPBACK);
    let mut own = interfaces.iter().filter(own);
    let is_up = |one: &InterfaceAddress| one.flags.contains(InterfaceFlags::IFF_UP);
    if own.clone().any(|one| !is_up(one)) {
        return Some(Obstacle {
            setting: "the loopback interface lo is down".to_owned(),
            remedy: "ip link set lo up".to_owned(),
        });
    }
    let on = |name: &&&str| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::read_to_string(path).is_ok_and(|value| value.trim() == "1")
    };
    if let Some(name) = family::of(family).switches().iter().find(on) {
        return Some(Obstacle {
            setting: format!("{name}=1"),
            remedy: format!("sysctl -w {name}=0"),
        });
    }
    let number = i32::from(family::of(family).domain());
    let has_address = own.any(|one| {
        let address = one.address.as_ref();
        address
            .and_then(SockaddrLike::family)
            .is_some_and(|family| family as i32 == number)
    });
    (!has_address).then(|| Obstacle {
        setting: format!("the loopback interface lo has no {family} address"),
        remedy: format!("ip address add {loopback} dev lo"),
    })
}
