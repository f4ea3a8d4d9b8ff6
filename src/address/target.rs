//! What a user types, and the addresses that it resolves to.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Address, DescriptorName, Family, SocketType};
use crate::error::{Error, ErrorKind, Result};
use crate::names;

/// An address as typed: a literal address, or a name to resolve.
///
/// ```
/// use sok::address::SocketType;
/// use sok::Target;
/// let name = Target::parse("udp:localhost:53")?;
/// assert!(name.is_name());
/// assert_eq!(name.socket_type(), SocketType::Datagram);
/// assert_eq!(name.to_string(), "udp:localhost:53");
///
/// let literal = Target::parse("udp:[::1]:53")?;
/// assert_eq!(literal, Target::Address("udp6:[::1]:53".parse()?));
/// # Ok::<(), sok::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// Nothing to resolve.
    Address(Address),
    /// A host name, in one family or in either.
    Host {
        /// The requested family, or `None` for either network family.
        family: Option<Family>,
        /// The type of the socket.
        socket_type: SocketType,
        /// The name, or a literal IP address behind the prefix `tcp:`.
        host: String,
        /// The port; 0 lets the kernel choose one for a listener.
        port: u16,
    },
    /// No host: every address of this machine, to listen on.
    AnyHost {
        /// The type of the socket.
        socket_type: SocketType,
        /// The port; 0 lets the kernel choose one.
        port: u16,
    },
    /// A socket that this process has inherited, for example from a service manager: it is taken
    /// ([`InheritedSocket`](crate::net::InheritedSocket)), not resolved.
    Inherited(DescriptorName),
}

/// The purpose of the addresses of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To listen on: an empty host is every address of this machine.
    Listen,
    /// To connect to.
    Connect,
}

impl Target {
    /// The addresses of this target, in the order to try them.
    ///
    /// A name is looked up ([`names`]), which may block; other targets need no lookup.
    ///
    /// # Errors
    /// [`ErrorKind::Unresolved`] if the name has no address in the requested family,
    /// [`ErrorKind::Usage`] for a connection to an empty host, and for an inherited socket.
    pub fn resolve(&self, purpose: Purpose) -> Result<Vec<Address>> {
        match self {
            Self::Address(address) => Ok(vec![address.clone()]),
            Self::AnyHost { socket_type, port } => match purpose {
                Purpose::Listen => Ok(vec![
                    Address::new(
                        SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port)),
                        *socket_type,
                    )?,
                    Address::new(
                        SocketAddr::from((Ipv4Addr::UNSPECIFIED, *port)),
                        *socket_type,
                    )?,
                ]),
                Purpose::Connect => {
                    let example = Self::Host {
                        family: None,
                        socket_type: *socket_type,
                        host: "localhost".to_owned(),
                        port: *port,
                    };
                    Err(
                        Error::because("resolve", self, ErrorKind::Usage, "the host is empty")
                            .with_hint(format!("give the host, such as {example}")),
                    )
                }
            },
            Self::Host {
                family,
                socket_type,
                host,
                port,
            } => self.look_up(*family, *socket_type, host, *port),
            Self::Inherited(name) => Err(name.has_no_address("resolve")),
        }
    }

    /// Refuses to connect where no server can listen: port 0, and `@`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`].
    pub fn require_specified(&self) -> Result<()> {
        let (is_specified, what) = match self {
            Self::Address(address) => match address.as_ip() {
                Some((_, port)) => (port != 0, "port"),
                None => (address.is_specified(), "name"),
            },
            Self::Host { port, .. } | Self::AnyHost { port, .. } => (*port != 0, "port"),
            Self::Inherited(_) => return Ok(()),
        };
        if is_specified {
            return Ok(());
        }
        let cause = match what {
            "port" => "no server listens on port 0, which lets the kernel choose a port",
            _ => "no server listens on @, which lets the kernel choose a name",
        };
        Err(
            Error::because("connect", self, ErrorKind::Usage, cause).with_hint(format!(
                "give the {what} that the server prints when it listens"
            )),
        )
    }

    /// The type of the socket. That of an inherited one is known once it is taken; until then, this
    /// is the default.
    #[must_use]
    pub const fn socket_type(&self) -> SocketType {
        match self {
            Self::Address(address) => address.socket_type(),
            Self::Host { socket_type, .. } | Self::AnyHost { socket_type, .. } => *socket_type,
            Self::Inherited(_) => SocketType::Stream,
        }
    }

    /// The name of the inherited socket, if it is one.
    #[must_use]
    pub const fn as_inherited(&self) -> Option<&DescriptorName> {
        match self {
            Self::Inherited(name) => Some(name),
            Self::Address(_) | Self::Host { .. } | Self::AnyHost { .. } => None,
        }
    }

    /// The address, if there is nothing to resolve.
    #[must_use]
    pub const fn as_address(&self) -> Option<&Address> {
        match self {
            Self::Address(address) => Some(address),
            Self::Host { .. } | Self::AnyHost { .. } | Self::Inherited(_) => None,
        }
    }

    /// Whether resolving this target may ask a name server.
    #[must_use]
    pub const fn is_name(&self) -> bool {
        matches!(self, Self::Host { .. })
    }

    fn look_up(
        &self,
        family: Option<Family>,
        socket_type: SocketType,
        host: &str,
        port: u16,
    ) -> Result<Vec<Address>> {
        let unresolved = |source: io::Error| {
            Error::new("resolve", self, source)
                .with_kind(ErrorKind::Unresolved)
                .with_hint("check the name, or give the IP address")
        };
        let mut all: Vec<Address> = Vec::new();
        for address in names::addresses(host, port).map_err(unresolved)? {
            let address = Address::new(address, socket_type)?;
            if !all.contains(&address) {
                all.push(address);
            }
        }
        let wanted = |address: &Address| family.is_none_or(|family| address.family() == family);
        let found: Vec<Address> = all
            .iter()
            .filter(|address| wanted(address))
            .cloned()
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let others: Vec<String> = all.iter().map(Address::to_string).collect();
        Err(unresolved(io::Error::other(format!(
            "{host} has no {} address, only {}",
            family.map_or("network", Family::name),
            others.join(", ")
        ))))
    }
}

impl From<Address> for Target {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}
