//! Whether connecting to an address would reach a given listener.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::{Path, PathBuf};

use super::family;
use super::host::is_of_an_interface;
use crate::address::{Address, UnixName};
use crate::error::Result;

/// The maximum number of links that the kernel follows, see `path_resolution(7)`.
const LINKS_MAX: usize = 40;

/// Whether a client of `target` may reach a listener on `own`, however they are written: another
/// path to the same file, an IPv4-mapped address, any address of this machine if `own` is the
/// wildcard. With `v6only` an IPv6 listener accepts no IPv4 client. What the kernel is to choose, a port
/// or a name, is another one for each socket.
#[must_use]
pub fn reaches(own: &Address, target: &Address, v6only: bool) -> bool {
    if let (Some(UnixName::Path(own)), Some(UnixName::Path(target))) =
        (own.as_unix(), target.as_unix())
    {
        return place(own) == place(target);
    }
    let (Some((listens, port)), Some((ip, target_port))) = (own.as_ip(), target.as_ip()) else {
        return own == target && own.is_specified();
    };
    // Each socket type has its own ports.
    if port == 0 || port != target_port || own.socket_type() != target.socket_type() {
        return false;
    }
    // Connecting to the wildcard address reaches this machine.
    let ip = match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let is_v4 = ip.to_canonical().is_ipv4();
    if !listens.is_unspecified() {
        return listens.to_canonical() == ip.to_canonical();
    }
    let takes = if listens.is_ipv6() {
        !(is_v4 && v6only)
    } else {
        is_v4
    };
    takes && is_ours(ip)
}

/// Refuses an address that can never be connected to.
///
/// # Errors
/// That of [`Stream::connect`](super::Stream::connect).
pub fn refuse_unreachable(address: &Address) -> Result<()> {
    match family::of(address.family()).lacks_scope(address) {
        true => Err(family::connect_error(address, nix::Error::EINVAL.into())),
        false => Ok(()),
    }
}

/// Resolves the directory of a path, as the file may not exist yet.
fn place(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(target) = fs::read_link(&path) else {
            break;
        };
        path = directory_of(&path).join(target);
    }
    let name = PathBuf::from(path.file_name()?);
    let directory = directory_of(&path);
    let leads_to = directory.canonicalize();
    Some((leads_to.unwrap_or_else(|_| directory.to_owned()), name))
}

/// The parent directory of a path.
fn directory_of(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new("."))
}

/// Whether it is an address of this machine: then a socket can be bound to it, see `ip(7)`. If
/// sockets can be bound to any address (`ip_nonlocal_bind`), asks the interfaces.
fn is_ours(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let is_bound = |ip: IpAddr| UdpSocket::bind((ip, 0)).is_ok();
    // A documentation address (RFC 5737, RFC 3849) that no machine should have.
    let nobodys: IpAddr = match ip.is_ipv4() {
        true => Ipv4Addr::new(192, 0, 2, 1).into(),
        false => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    is_bound(ip) && (ip.is_loopback() || !is_bound(nobodys) || is_of_an_interface(ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(own: &str, target: &str, v6only: bool) -> bool {
        reaches(&own.parse().unwrap(), &target.parse().unwrap(), v6only)
    }

    #[test]
    fn an_address_is_reached_under_each_of_its_names() {
        for (own, target) in [
            ("unix:/tmp/a", "unix:/tmp/../tmp/./a"),
            ("unix:a", "unix:./a"),
            ("unix:@a", "unix:@a"),
            ("unix:/tmp/a", "unixgram:/tmp/a"),
            ("udp6:[::]:80", "udp4:127.0.0.1:80"),
            ("inet:127.0.0.1:80", "inet6:[::ffff:127.0.0.1]:80"),
            ("inet:0.0.0.0:80", "inet:127.0.0.9:80"),
            ("inet6:[::]:80", "inet:127.0.0.1:80"),
            ("inet:127.0.0.1:80", "inet:0.0.0.0:80"),
            ("inet6:[::1]:80", "inet6:[::]:80"),
        ] {
            assert!(reached(own, target, false), "{own} {target}");
        }
    }

    #[test]
    fn a_path_is_reached_by_a_link_to_it_before_it_is_there() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| format!("unix:{}", folder.path().join(name).display());
        std::os::unix::fs::symlink("own", folder.path().join("link"))?;
        assert!(reached(&at("own"), &at("link"), false));
        assert!(!reached(&at("other"), &at("link"), false));
        Ok(())
    }

    #[test]
    fn another_address_is_not_reached() {
        for (own, target) in [
            ("unix:/tmp/a", "unix:/tmp/b"),
            ("unix:@a", "unix:./@a"),
            ("inet:127.0.0.1:80", "inet:127.0.0.1:81"),
            ("inet:127.0.0.1:0", "inet:127.0.0.1:0"),
            ("inet:127.0.0.1:80", "inet:127.0.0.2:80"),
            // A documentation address (RFC 5737), which no machine has.
            ("inet:0.0.0.0:80", "inet:192.0.2.1:80"),
            ("inet:0.0.0.0:80", "inet6:[::1]:80"),
            ("inet:127.0.0.1:80", "udp4:127.0.0.1:80"),
            ("unix:@a", "unixgram:@a"),
            ("unix:@", "unix:@"),
        ] {
            assert!(!reached(own, target, false), "{own} {target}");
        }
        assert!(!reached("inet6:[::]:80", "inet:127.0.0.1:80", true));
    }
}
