//! The kinds of address on this host: plain data, no sockets.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::{Address, Family, SocketType, UnixName};

/// A kind of address within this host: a family, and for local sockets the kind of name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressKind {
    /// IPv4 loopback.
    Inet,
    /// IPv6 loopback.
    Inet6,
    /// A socket file.
    UnixPath,
    /// A name in Linux's abstract namespace.
    UnixAbstract,
}

/// A feature that some kinds of address have, and others lack.
///
/// It is exhaustive on purpose: code that tests each feature must not silently miss a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feature {
    /// The kernel chooses a free name: port 0, and the autobind of `unix(7)`.
    ChosenName,
    /// One address means every address of the host.
    EveryAddress,
    /// The host name `localhost` resolves to the family.
    HostName,
    /// `[::]` can refuse IPv4 clients.
    V6Only,
    /// `[::]` can accept IPv4 clients too.
    DualStack,
    /// An IPv6 socket reaches an IPv4 server at `[::ffff:a.b.c.d]`.
    MappedV4,
    /// Addresses of one link, with the interface as their scope.
    LinkLocal,
    /// Each end gets the process of the other.
    Credentials,
    /// A name can fill the address, or be longer.
    LongName,
    /// The permission bits of a file restrict who may connect.
    Mode,
    /// Open files can be passed between processes.
    Descriptors,
}

impl AddressKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Inet, Self::Inet6, Self::UnixPath, Self::UnixAbstract];

    /// The name, which starts with that of the family.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Inet6 => "inet6",
            Self::UnixPath => "unix path",
            Self::UnixAbstract => "unix abstract",
        }
    }

    /// The family of the kind.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Self::Inet => Family::Inet,
            Self::Inet6 => Family::Inet6,
            Self::UnixPath | Self::UnixAbstract => Family::Unix,
        }
    }

    /// The socket types that a name of the kind can have, the usual one first.
    #[must_use]
    pub const fn types(self) -> &'static [SocketType] {
        self.family().types()
    }

    /// Every form of address: each type of each kind, those of streams first.
    pub fn forms() -> impl Iterator<Item = (Self, SocketType)> {
        let of_type = |socket_type: SocketType| {
            let all = Self::ALL.into_iter();
            all.filter(move |kind| kind.types().contains(&socket_type))
                .map(move |kind| (kind, socket_type))
        };
        SocketType::ALL.into_iter().flat_map(of_type)
    }

    /// An address to listen on within this host: port 0 of the loopback address, a file of
    /// `directory`, or the abstract name. It is of a stream socket; [`Address::with_type`] gives
    /// those of the other [types](Self::types).
    #[must_use]
    pub fn fresh(self, directory: &Path, name: &str) -> Address {
        match self {
            Self::Inet | Self::Inet6 | Self::UnixPath => {
                self.family().local_address(directory, name)
            }
            Self::UnixAbstract => UnixName::Abstract(name.into()).into(),
        }
    }

    /// The same with a name of `length` bytes, if the kind has names and the name of the directory
    /// is short enough.
    #[must_use]
    pub fn padded(self, directory: &Path, name: &str, length: usize) -> Option<Address> {
        let used = match self {
            Self::UnixPath => directory.as_os_str().len() + 1,
            Self::UnixAbstract => 0,
            Self::Inet | Self::Inet6 => return None,
        };
        let length = length
            .checked_sub(used)
            .filter(|left| *left >= name.len())?;
        Some(self.fresh(directory, &format!("{name:x<length$}")))
    }

    /// The address to bind so that the kernel chooses the name, if the kind has one.
    #[must_use]
    pub fn chosen(self) -> Option<Address> {
        match self {
            Self::Inet | Self::Inet6 => Some(self.fresh(Path::new(""), "")),
            Self::UnixPath => None,
            Self::UnixAbstract => Some(UnixName::Unnamed.into()),
        }
    }

    /// The address for every address of the host, with port 0.
    #[must_use]
    pub fn every_address(self) -> Option<Address> {
        match self {
            Self::Inet => Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into()),
            Self::Inet6 => Some(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into()),
            Self::UnixPath | Self::UnixAbstract => None,
        }
    }

    /// Whether the kind has a feature.
    #[must_use]
    pub const fn has(self, feature: Feature) -> bool {
        use Feature as F;
        match self {
            Self::Inet => matches!(feature, F::ChosenName | F::EveryAddress | F::HostName),
            Self::Inet6 => matches!(
                feature,
                F::ChosenName
                    | F::EveryAddress
                    | F::HostName
                    | F::V6Only
                    | F::DualStack
                    | F::MappedV4
                    | F::LinkLocal
            ),
            Self::UnixPath => matches!(
                feature,
                F::Credentials | F::LongName | F::Mode | F::Descriptors
            ),
            Self::UnixAbstract => matches!(
                feature,
                F::ChosenName | F::Credentials | F::LongName | F::Descriptors
            ),
        }
    }
}

impl Feature {
    /// All features, those of networks first.
    pub const ALL: [Self; 11] = [
        Self::ChosenName,
        Self::EveryAddress,
        Self::HostName,
        Self::V6Only,
        Self::DualStack,
        Self::MappedV4,
        Self::LinkLocal,
        Self::Credentials,
        Self::LongName,
        Self::Mode,
        Self::Descriptors,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChosenName => "port 0",
            Self::EveryAddress => "loopback",
            Self::HostName => "localhost",
            Self::V6Only => "v6only on",
            Self::DualStack => "v6only off",
            Self::MappedV4 => "IPv4-mapped",
            Self::LinkLocal => "link-local",
            Self::Credentials => "peer credentials",
            Self::LongName => "longest name",
            Self::Mode => "mode enforced",
            Self::Descriptors => "descriptor passing",
        }
    }

    /// Why a kind lacks it.
    #[must_use]
    pub const fn absence(self) -> &'static str {
        match self {
            Self::ChosenName => "the kernel chooses no path",
            Self::EveryAddress => "a local name is one address",
            Self::HostName => "a local name is not looked up",
            Self::V6Only | Self::DualStack | Self::MappedV4 | Self::LinkLocal => {
                "this applies only to IPv6"
            }
            Self::Credentials => "TCP does not report the peer's process",
            Self::LongName => "an IP address has a fixed length",
            Self::Mode => "only a file has a mode",
            Self::Descriptors => "TCP cannot pass open files",
        }
    }
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
