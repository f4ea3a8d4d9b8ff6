//! Addresses of every family.

mod facts;
mod family;
mod kind;
mod parts;
mod target;
mod unix;
mod word;

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::Path;
use std::str::FromStr;

pub use self::facts::{Facts, NameFacts};
pub use self::family::Family;
pub use self::kind::{AddressKind, Feature};
pub use self::parts::AddressParts;
pub use self::target::{Purpose, Target};
pub use self::unix::{NameError, SUN_PATH_MAX, UnixName};
use crate::error::{Error, ErrorKind};

/// A resolved address of any family, as passed to `bind(2)` and `connect(2)`.
///
/// It is printed in full, and the printed form parses as the same address:
///
/// ```
/// use sok::Address;
/// for text in ["inet:127.0.0.1:8082", "inet6:[fe80::1%2]:8082", "unix:/tmp/s.sock", "unix:@name"] {
///     let address: Address = text.parse()?;
///     assert_eq!(address.to_string(), text);
/// }
/// # Ok::<(), sok::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// `inet:127.0.0.1:8082`
    Inet(SocketAddrV4),
    /// `inet6:[::1]:8082`; an address here has no flow label.
    Inet6(SocketAddrV6),
    /// `unix:/tmp/s.sock`, `unix:@name`, `unix:`
    Unix(UnixName),
}

impl Address {
    /// The family of this address.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Inet(_) => Family::Inet,
            Self::Inet6(_) => Family::Inet6,
            Self::Unix(_) => Family::Unix,
        }
    }

    /// The kind of this address.
    #[must_use]
    pub const fn kind(&self) -> AddressKind {
        match self {
            Self::Inet(_) => AddressKind::Inet,
            Self::Inet6(_) => AddressKind::Inet6,
            Self::Unix(UnixName::Path(_)) => AddressKind::UnixPath,
            // For an empty name, the kernel chooses an abstract one.
            Self::Unix(UnixName::Abstract(_) | UnixName::Unnamed) => AddressKind::UnixAbstract,
        }
    }

    /// The IP address and port, if the family has them.
    #[must_use]
    pub fn as_ip(&self) -> Option<(IpAddr, u16)> {
        match self {
            Self::Inet(v4) => Some(((*v4.ip()).into(), v4.port())),
            Self::Inet6(v6) => Some(((*v6.ip()).into(), v6.port())),
            Self::Unix(_) => None,
        }
    }

    /// The local name, if the family has one.
    #[must_use]
    pub const fn as_unix(&self) -> Option<&UnixName> {
        match self {
            Self::Unix(name) => Some(name),
            Self::Inet(_) | Self::Inet6(_) => None,
        }
    }

    /// The socket file, if the address is one.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        self.as_unix().and_then(UnixName::as_path)
    }

    /// Whether the address is complete: it has a name, or a port other than 0.
    #[must_use]
    pub fn is_specified(&self) -> bool {
        match self {
            Self::Inet(v4) => v4.port() != 0,
            Self::Inet6(v6) => v6.port() != 0,
            Self::Unix(name) => name.is_specified(),
        }
    }

    /// The same host with another port; an address without a port is unchanged.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        match self {
            Self::Inet(mut v4) => {
                v4.set_port(port);
                Self::Inet(v4)
            }
            Self::Inet6(mut v6) => {
                v6.set_port(port);
                Self::Inet6(v6)
            }
            Self::Unix(name) => Self::Unix(name),
        }
    }
}

impl From<SocketAddrV4> for Address {
    fn from(v4: SocketAddrV4) -> Self {
        Self::Inet(v4)
    }
}

impl From<SocketAddrV6> for Address {
    /// The same address without its flow label.
    fn from(v6: SocketAddrV6) -> Self {
        Self::Inet6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => v4.into(),
            SocketAddr::V6(v6) => v6.into(),
        }
    }
}

impl From<UnixName> for Address {
    fn from(name: UnixName) -> Self {
        Self::Unix(name)
    }
}

impl TryFrom<Address> for SocketAddr {
    type Error = Error;

    /// The address as a standard library type.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for an address that is not an IP address.
    fn try_from(address: Address) -> Result<Self, Error> {
        match address {
            Address::Inet(v4) => Ok(v4.into()),
            Address::Inet6(v6) => Ok(v6.into()),
            Address::Unix(_) => Err(Error::because(
                "address",
                address,
                ErrorKind::Usage,
                "not an IP address",
            )),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.family())?;
        match self {
            Self::Inet(v4) => v4.fmt(f),
            Self::Inet6(v6) => v6.fmt(f),
            Self::Unix(name) => name.fmt(f),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    /// Reads a numeric address or a local name; a name that must be looked up is a [`Target`].
    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "unix:" {
            return Ok(Self::Unix(UnixName::Unnamed));
        }
        match Target::parse(text)? {
            Target::Address(address) => Ok(address),
            target @ (Target::Host { .. } | Target::AnyHost { .. }) => Err(Error::because(
                "address",
                target,
                ErrorKind::Usage,
                "this is a host name, not an address",
            )),
        }
    }
}
