//! The address families: plain data, no sockets.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::path::Path;

use super::{Address, SocketType, UnixName};

/// A family of socket addresses; see `address_families(7)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// IPv4, `AF_INET`, see `ip(7)`.
    Inet,
    /// IPv6, `AF_INET6`, see `ipv6(7)`.
    Inet6,
    /// Local sockets, `AF_UNIX`, see `unix(7)`.
    Unix,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 3] = [Self::Inet, Self::Inet6, Self::Unix];

    /// The name as `ip -f` and `ss -f` spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.prefixes()[0].0
    }

    /// The name of the kernel's constant.
    #[must_use]
    pub const fn af_name(self) -> &'static str {
        match self {
            Self::Inet => "AF_INET",
            Self::Inet6 => "AF_INET6",
            Self::Unix => "AF_UNIX",
        }
    }

    /// The prefixes of an address of this family, the canonical one of each type first.
    #[must_use]
    pub const fn prefixes(self) -> &'static [(&'static str, SocketType)] {
        use SocketType::{Datagram, SeqPacket, Stream};
        match self {
            Self::Inet => &[("inet", Stream), ("tcp4", Stream), ("udp4", Datagram)],
            Self::Inet6 => &[("inet6", Stream), ("tcp6", Stream), ("udp6", Datagram)],
            Self::Unix => &[
                ("unix", Stream),
                ("unixpacket", SeqPacket),
                ("unixgram", Datagram),
            ],
        }
    }

    /// The names of this family as an option spells it, the canonical one first.
    pub fn aliases(self) -> impl Iterator<Item = &'static str> {
        let of_streams = |prefix: &&(_, SocketType)| prefix.1 == SocketType::Stream;
        self.prefixes()
            .iter()
            .filter(of_streams)
            .map(|(name, _)| *name)
    }

    /// The canonical prefix of an address of this family and `socket_type`.
    #[must_use]
    pub fn prefix(self, socket_type: SocketType) -> &'static str {
        let all = self.prefixes();
        let found = all.iter().find(|(_, of)| *of == socket_type);
        found.unwrap_or(&all[0]).0
    }

    /// The words that an address of this family is typed as, each with its meaning, as help lists them.
    #[must_use]
    pub const fn words(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Inet => &[
                ("inet:127.0.0.1:8082", "AF_INET, stream: TCP (alias tcp4:)"),
                ("udp4:127.0.0.1:53", "AF_INET, datagram: UDP"),
            ],
            Self::Inet6 => &[
                (
                    "inet6:[::1]:8082, inet6:[fe80::1%eth0]:80",
                    "AF_INET6, stream: TCP (alias tcp6:)",
                ),
                ("udp6:[::1]:53", "AF_INET6, datagram: UDP"),
            ],
            Self::Unix => &[
                (
                    "unix:/tmp/s.sock, /tmp/s.sock, ./s.sock",
                    "AF_UNIX, stream: a socket file",
                ),
                (
                    "unix:@name, @name",
                    "AF_UNIX, stream: an abstract name (Linux)",
                ),
                (
                    "unixpacket:/tmp/s.sock, unixpacket:@name",
                    "AF_UNIX, seqpacket: the same names",
                ),
                (
                    "unixgram:/dev/log, unixgram:@name",
                    "AF_UNIX, datagram: the same names",
                ),
                (
                    "@",
                    "a name that the kernel chooses, to listen or for --bind",
                ),
            ],
        }
    }

    /// The family and socket type of a prefix, the part before the first colon of an address.
    #[must_use]
    pub fn from_prefix(prefix: &str) -> Option<(Self, SocketType)> {
        Self::ALL.into_iter().find_map(|family| {
            let found = family.prefixes().iter().find(|(known, _)| *known == prefix);
            found.map(|(_, socket_type)| (family, *socket_type))
        })
    }

    /// A free address of this machine for a stream socket to listen on: a loopback address with
    /// port 0, or the file `name` in `directory`.
    #[must_use]
    pub fn local_address(self, directory: &Path, name: &str) -> Address {
        match self {
            Self::Inet => SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into(),
            Self::Inet6 => SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 0).into(),
            Self::Unix => UnixName::Path(directory.join(name)).into(),
        }
    }

    /// Whether an address of this family is a host and a port, not a local name.
    #[must_use]
    pub(super) const fn is_network(self) -> bool {
        match self {
            Self::Inet | Self::Inet6 => true,
            Self::Unix => false,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
