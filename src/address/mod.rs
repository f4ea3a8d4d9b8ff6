//! Addresses of every family.

mod descriptor;
mod facts;
mod family;
mod kind;
mod parts;
mod socket_type;
mod target;
mod unix;
mod word;

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::Path;
use std::str::FromStr;

pub use self::descriptor::DescriptorName;
pub use self::facts::{Facts, NameFacts};
pub use self::family::Family;
pub use self::kind::{AddressKind, Feature};
pub use self::parts::AddressParts;
pub use self::socket_type::SocketType;
pub use self::target::{Purpose, Target};
pub use self::unix::{NameError, SUN_PATH_MAX, UnixName};
use crate::error::{Error, ErrorKind};

/// A resolved address of any family and socket type, as passed to `socket(2)`, `bind(2)` and
/// `connect(2)`.
///
/// It is printed in full, and the printed form parses as the same address:
///
/// ```
/// use sok::Address;
/// for text in ["inet:127.0.0.1:8082", "udp6:[fe80::1%2]:53", "unix:/tmp/s.sock", "unixgram:@name"] {
///     let address: Address = text.parse()?;
///     assert_eq!(address.to_string(), text);
/// }
/// # Ok::<(), sok::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    name: SocketName,
    socket_type: SocketType,
}

/// The name of a socket in its family, see `getsockname(2)`: the address without the socket type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketName {
    /// `127.0.0.1:8082`
    Inet(SocketAddrV4),
    /// `[::1]:8082`; a name here has no flow label.
    Inet6(SocketAddrV6),
    /// `/tmp/s.sock`, `@name`, or nothing.
    Unix(UnixName),
}

impl SocketName {
    /// The family of this name.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Inet(_) => Family::Inet,
            Self::Inet6(_) => Family::Inet6,
            Self::Unix(_) => Family::Unix,
        }
    }
}

impl Address {
    /// The address of a socket of `socket_type` with `name`.
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use sok::address::{SocketType, UnixName};
    /// use sok::Address;
    /// let log = Address::new(UnixName::path("/dev/log").unwrap(), SocketType::Datagram)?;
    /// assert_eq!(log.to_string(), "unixgram:/dev/log");
    ///
    /// let refused = Address::new(
    ///     std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
    ///     SocketType::SeqPacket,
    /// );
    /// assert_eq!(
    ///     refused.unwrap_err().cause(),
    ///     "inet has no seqpacket sockets; its types are stream, datagram"
    /// );
    /// # Ok::<(), sok::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if the family has no sockets of this type; it lists those it has.
    pub fn new(name: impl Into<SocketName>, socket_type: SocketType) -> Result<Self, Error> {
        let name = name.into();
        name.family().require(socket_type)?;
        Ok(Self { name, socket_type })
    }

    /// The same name with another socket type.
    ///
    /// ```
    /// use std::net::{Ipv6Addr, SocketAddr};
    /// use sok::address::SocketType;
    /// use sok::Address;
    /// // An address of the standard library is one of a stream socket.
    /// let tcp = Address::from(SocketAddr::from((Ipv6Addr::LOCALHOST, 53)));
    /// assert_eq!(tcp.to_string(), "inet6:[::1]:53");
    /// assert_eq!(tcp.with_type(SocketType::Datagram)?.to_string(), "udp6:[::1]:53");
    /// # Ok::<(), sok::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Address::new`].
    pub fn with_type(self, socket_type: SocketType) -> Result<Self, Error> {
        Self::new(self.name, socket_type)
    }

    /// The name of the socket.
    #[must_use]
    pub const fn name(&self) -> &SocketName {
        &self.name
    }

    /// The type of the socket.
    #[must_use]
    pub const fn socket_type(&self) -> SocketType {
        self.socket_type
    }

    /// The family of this address.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.name.family()
    }

    /// The unnamed address that `text` is the printed form of, if it is.
    fn unnamed(text: &str) -> Option<Self> {
        let prefix = text.strip_suffix(':')?;
        let (family, socket_type) = Family::from_prefix(prefix)?;
        (!family.is_network()).then_some(Self {
            name: SocketName::Unix(UnixName::Unnamed),
            socket_type,
        })
    }

    /// The kind of this address.
    #[must_use]
    pub const fn kind(&self) -> AddressKind {
        match self.name {
            SocketName::Inet(_) => AddressKind::Inet,
            SocketName::Inet6(_) => AddressKind::Inet6,
            SocketName::Unix(UnixName::Path(_)) => AddressKind::UnixPath,
            // For an empty name, the kernel chooses an abstract one.
            SocketName::Unix(UnixName::Abstract(_) | UnixName::Unnamed) => {
                AddressKind::UnixAbstract
            }
        }
    }

    /// The IP address and port, if the family has them.
    #[must_use]
    pub fn as_ip(&self) -> Option<(IpAddr, u16)> {
        match &self.name {
            SocketName::Inet(v4) => Some(((*v4.ip()).into(), v4.port())),
            SocketName::Inet6(v6) => Some(((*v6.ip()).into(), v6.port())),
            SocketName::Unix(_) => None,
        }
    }

    /// The local name, if the family has one.
    #[must_use]
    pub const fn as_unix(&self) -> Option<&UnixName> {
        match &self.name {
            SocketName::Unix(name) => Some(name),
            SocketName::Inet(_) | SocketName::Inet6(_) => None,
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
        match &self.name {
            SocketName::Inet(v4) => v4.port() != 0,
            SocketName::Inet6(v6) => v6.port() != 0,
            SocketName::Unix(name) => name.is_specified(),
        }
    }

    /// The same host with another port; an address without a port is unchanged.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        match &mut self.name {
            SocketName::Inet(v4) => v4.set_port(port),
            SocketName::Inet6(v6) => v6.set_port(port),
            SocketName::Unix(_) => {}
        }
        self
    }
}

impl Address {
    /// The same port at another host of the family; `None` if it has no host.
    pub(crate) fn with_ip(&self, ip: IpAddr) -> Option<Self> {
        let name = match (&self.name, ip) {
            (SocketName::Inet(v4), IpAddr::V4(ip)) => SocketAddrV4::new(ip, v4.port()).into(),
            (SocketName::Inet6(v6), IpAddr::V6(ip)) => {
                SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id()).into()
            }
            _ => return None,
        };
        Some(Self {
            name,
            socket_type: self.socket_type,
        })
    }
}

impl From<SocketAddrV4> for SocketName {
    fn from(v4: SocketAddrV4) -> Self {
        Self::Inet(v4)
    }
}

impl From<SocketAddrV6> for SocketName {
    /// The same name without its flow label.
    fn from(v6: SocketAddrV6) -> Self {
        Self::Inet6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()))
    }
}

impl From<SocketAddr> for SocketName {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => v4.into(),
            SocketAddr::V6(v6) => v6.into(),
        }
    }
}

impl From<UnixName> for SocketName {
    fn from(name: UnixName) -> Self {
        Self::Unix(name)
    }
}

impl<N: Into<SocketName>> From<N> for Address {
    /// The address of a stream socket, which every family has.
    fn from(name: N) -> Self {
        Self {
            name: name.into(),
            socket_type: SocketType::Stream,
        }
    }
}

impl TryFrom<Address> for SocketAddr {
    type Error = Error;

    /// The address as a standard library type.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for an address that is not an IP address.
    fn try_from(address: Address) -> Result<Self, Error> {
        match address.name {
            SocketName::Inet(v4) => Ok(v4.into()),
            SocketName::Inet6(v6) => Ok(v6.into()),
            SocketName::Unix(_) => Err(Error::because(
                "address",
                address,
                ErrorKind::Usage,
                "not an IP address",
            )),
        }
    }
}

impl fmt::Display for SocketName {
    /// The name without a prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(v4) => v4.fmt(f),
            Self::Inet6(v6) => v6.fmt(f),
            Self::Unix(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.family().prefix(self.socket_type),
            self.name
        )
    }
}

impl FromStr for Address {
    type Err = Error;

    /// Reads a numeric address or a local name; a name that must be looked up is a [`Target`], and so
    /// is an inherited socket.
    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(unnamed) = Self::unnamed(text) {
            return Ok(unnamed);
        }
        match Target::parse(text)? {
            Target::Address(address) => Ok(address),
            target @ (Target::Host { .. } | Target::AnyHost { .. }) => Err(Error::because(
                "address",
                target,
                ErrorKind::Usage,
                "this is a host name, not an address",
            )),
            Target::Inherited(name) => Err(name.has_no_address("address")),
        }
    }
}
