//! What a person typed, and how it becomes addresses.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use super::unix::write_escaped;
use super::{Address, Family, UnixName};
use crate::error::{Error, Kind, Result};
use crate::escape::{is_part_of_word, is_visible};

/// The prefix for either network family, by what the name resolves to.
const EITHER: &str = "tcp";

/// An address as a person types it: a literal address, or a name that has yet to be resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// Nothing to resolve.
    Address(Address),
    /// A host name, in one family or in either.
    Host {
        /// The one family wanted, or `None` for either network family.
        family: Option<Family>,
        /// The name, or a literal IP address behind the prefix `tcp:`.
        host: String,
        /// The port; 0 lets the kernel choose one for a listener.
        port: u16,
    },
    /// No host: every address of this machine, to listen on.
    AnyHost {
        /// The port; 0 lets the kernel choose one.
        port: u16,
    },
}

/// What the addresses of a target are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To listen on: an empty host is every address of this machine.
    Listen,
    /// To connect to.
    Connect,
}

impl Target {
    /// Reads an address word, which need not be UTF-8.
    ///
    /// # Errors
    /// [`Kind::Usage`]: it names what is wrong, and what is known.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self> {
        let text = text.as_ref().as_bytes();
        Self::from_bytes(text).map_err(|cause| {
            let mut shown = String::new();
            // A String takes whatever is written to it.
            let _ = write_escaped(text, is_visible, &mut shown);
            Error::because("address", format!("\"{shown}\""), Kind::Usage, cause)
        })
    }

    fn from_bytes(text: &[u8]) -> std::result::Result<Self, String> {
        match text.first() {
            None => return Err("the address is empty".to_owned()),
            Some(b'/' | b'.' | b'@') => return unix(text),
            Some(b'[') => return network(None, utf8(text)?),
            Some(_) => {}
        }
        let Some(colon) = text.iter().position(|&byte| byte == b':') else {
            return Err(without_colon(&String::from_utf8_lossy(text)));
        };
        let (prefix, rest) = (utf8(&text[..colon])?, &text[colon + 1..]);
        let family = Family::from_prefix(prefix);
        if family != Some(Family::Unix)
            && let Some(url) = rest.strip_prefix(b"//")
        {
            let is_known = family.is_some() || prefix == EITHER;
            return Err(not_a_url(prefix, is_known, &String::from_utf8_lossy(url)));
        }
        match family {
            Some(Family::Inet | Family::Inet6) => network(family, utf8(rest)?),
            Some(Family::Unix) => unix(rest),
            None if prefix == EITHER => network(None, utf8(rest)?),
            None if rest.iter().all(|byte| byte.is_ascii_digit()) => network(None, utf8(text)?),
            None => Err(unknown_prefix(prefix, text, rest)),
        }
    }

    /// A target of `family` from its parts, as `--host` and `--port` give them.
    ///
    /// # Errors
    /// [`Kind::Usage`], as [`Target::parse`].
    pub fn network(family: Option<Family>, host: &str, port: u16) -> Result<Self> {
        host_and_port(family, host, port).map_err(|cause| {
            let prefix = family.map_or(EITHER, Family::name);
            Error::because(
                "address",
                format!("{prefix}:{host}:{port}"),
                Kind::Usage,
                cause,
            )
        })
    }

    /// The addresses that this target stands for, in the order in which they are to be tried.
    ///
    /// A name is looked up by `getaddrinfo(3)`, which may block; all else costs nothing.
    ///
    /// # Errors
    /// [`Kind::Unresolved`] if the name has no address in the family wanted, [`Kind::Usage`] for
    /// a connection to an empty host.
    pub fn resolve(&self, purpose: Purpose) -> Result<Vec<Address>> {
        match self {
            Self::Address(address) => Ok(vec![address.clone()]),
            Self::AnyHost { port } => match purpose {
                Purpose::Listen => Ok(vec![
                    Address::Inet6(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, *port, 0, 0)),
                    Address::Inet(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, *port)),
                ]),
                Purpose::Connect => {
                    Err(
                        Error::because("resolve", self, Kind::Usage, "the host is empty")
                            .with_hint(format!("name the host, such as localhost:{port}")),
                    )
                }
            },
            Self::Host { family, host, port } => self.look_up(*family, host, *port),
        }
    }

    /// Refuses to connect where no server can be: to port 0, and to `@`.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn refuse_indefinite(&self) -> Result<()> {
        let (is_definite, what) = match self {
            Self::Address(address) => match address.as_ip() {
                Some((_, port)) => (port != 0, "port"),
                None => (address.is_definite(), "name"),
            },
            Self::Host { port, .. } | Self::AnyHost { port } => (*port != 0, "port"),
        };
        if is_definite {
            return Ok(());
        }
        let cause = match what {
            "port" => "no server is on port 0, which lets the kernel choose one",
            _ => "no server has the name @, which lets the kernel choose one",
        };
        Err(
            Error::because("connect", self, Kind::Usage, cause).with_hint(format!(
                "give the {what} that the server says it listens on"
            )),
        )
    }

    /// The address, if there is nothing to resolve.
    #[must_use]
    pub const fn as_address(&self) -> Option<&Address> {
        match self {
            Self::Address(address) => Some(address),
            Self::Host { .. } | Self::AnyHost { .. } => None,
        }
    }

    /// Whether resolving this target may ask a name server.
    #[must_use]
    pub const fn is_name(&self) -> bool {
        matches!(self, Self::Host { .. })
    }

    fn look_up(&self, family: Option<Family>, host: &str, port: u16) -> Result<Vec<Address>> {
        let unresolved = |source: io::Error| {
            Error::new("resolve", self, source)
                .with_kind(Kind::Unresolved)
                .with_hint("check the name, or give the address in numbers")
        };
        let mut all: Vec<Address> = Vec::new();
        for address in (host, port).to_socket_addrs().map_err(unresolved)? {
            let address = Address::from(address);
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

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::AnyHost { port } => write!(f, "{EITHER}::{port}"),
            Self::Host { family, host, port } => {
                let prefix = family.map_or(EITHER, Family::name);
                if host.contains(':') {
                    write!(f, "{prefix}:[{host}]:{port}")
                } else {
                    write!(f, "{prefix}:{host}:{port}")
                }
            }
        }
    }
}

fn known_prefixes() -> String {
    let mut known = Vec::new();
    for family in Family::ALL {
        known.extend(family.prefixes().iter().map(|prefix| format!("{prefix}:")));
    }
    known.push(format!("{EITHER}:"));
    known.join(" ")
}

/// What to write in place of a word with neither prefix nor port.
fn without_colon(word: &str) -> String {
    match port_number(word) {
        Ok(port) => format!("no host; write localhost:{port} to connect, :{port} to listen"),
        Err(_) => format!(
            "no prefix and no port; write ./{word} for a socket file, {word}:PORT for a host, or one \
             of {}",
            known_prefixes()
        ),
    }
}

/// What to write in place of `PREFIX://REST`.
fn not_a_url(prefix: &str, is_known: bool, rest: &str) -> String {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let has_port = |host: &str| network(None, host).is_ok();
    let host = match host {
        "" => "HOST:PORT".to_owned(),
        host if has_port(host) => host.to_owned(),
        host => format!("{host}:PORT"),
    };
    match is_known {
        true => format!("an address is no URL; write {prefix}:{host}"),
        false => format!(
            "unknown prefix {prefix:?}, and this is no URL; write tcp:{host} to connect to it by TCP"
        ),
    }
}

/// What to write in place of a word whose prefix is not known.
fn unknown_prefix(prefix: &str, text: &[u8], rest: &[u8]) -> String {
    let (text, rest) = (String::from_utf8_lossy(text), String::from_utf8_lossy(rest));
    let known = known_prefixes();
    if let Some(address) = in_brackets(&text) {
        format!("an IPv6 address goes in brackets: {address}")
    } else if rest.contains('/') {
        format!("unknown prefix {prefix:?}, known are {known}")
    } else if network(None, &rest).is_ok() {
        format!("no prefix {prefix:?}; write tcp:{rest} for TCP, known are {known}")
    } else {
        format!("{rest:?} is no port number, and {prefix:?} no prefix; known are {known}")
    }
}

/// An IPv6 address that was written without brackets as it goes with a port, which its last group
/// may be.
fn in_brackets(text: &str) -> Option<String> {
    let is_address = |host: &str| {
        let ip = host.split('%').next().unwrap_or_default();
        ip.parse::<Ipv6Addr>().is_ok()
    };
    match text.rsplit_once(':') {
        Some((host, port)) if is_address(host) && port_number(port).is_ok() => {
            Some(format!("[{host}]:{port}"))
        }
        _ if is_address(text) => Some(format!("[{text}]:PORT")),
        _ => None,
    }
}

fn utf8(text: &[u8]) -> std::result::Result<&str, String> {
    std::str::from_utf8(text).map_err(|_| "a host is written in UTF-8".to_owned())
}

fn unix(name: &[u8]) -> std::result::Result<Target, String> {
    match UnixName::from_escaped(name)? {
        UnixName::Unnamed => Err("the path is empty".to_owned()),
        name => Ok(Target::Address(Address::Unix(name))),
    }
}

/// Reads `HOST:PORT` or `[HOST]:PORT`.
fn network(family: Option<Family>, text: &str) -> std::result::Result<Target, String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("the bracket is not closed")?;
            (host, port.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.ok_or("there is no port; write HOST:PORT")?;
    if host.contains(':') && !text.starts_with('[') {
        let address = in_brackets(text).unwrap_or_else(|| format!("[{host}]:{port}"));
        return Err(format!("an IPv6 address goes in brackets: {address}"));
    }
    host_and_port(family, host, port_number(port)?)
}

/// Reads a port, which has digits alone.
pub fn port_number(text: &str) -> std::result::Result<u16, String> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(|| format!("the port {text:?} is not a number from 0 to 65535"))
}

fn host_and_port(
    family: Option<Family>,
    host: &str,
    port: u16,
) -> std::result::Result<Target, String> {
    if host.is_empty() {
        return match family {
            None => Ok(Target::AnyHost { port }),
            Some(family) => Err(format!(
                "the host is empty; write {family}:{}:{port} for every {family} address of this machine",
                if family == Family::Inet6 {
                    "[::]"
                } else {
                    "0.0.0.0"
                }
            )),
        };
    }
    if !host.chars().all(is_part_of_word) {
        return Err("the host has white space or an invisible character in it".to_owned());
    }
    // What goes into brackets could not be printed so that it reads back.
    if host.contains(['[', ']']) {
        return Err("the host has a bracket in it".to_owned());
    }
    let address = match (literal(host, port)?, family) {
        (None, _) => {
            return Ok(Target::Host {
                family,
                host: host.to_owned(),
                port,
            });
        }
        (Some(address), None) => address,
        (Some(address), Some(family)) if address.family() == family => address,
        (Some(address), Some(family)) => {
            return Err(format!(
                "{host} is an {} address, not {family}",
                address.family()
            ));
        }
    };
    Ok(Target::Address(address))
}

/// The address that `host` writes in numbers, if it does.
fn literal(host: &str, port: u16) -> std::result::Result<Option<Address>, String> {
    if let Ok(ip) = host.parse() {
        return Ok(Some(SocketAddr::new(ip, port).into()));
    }
    let (ip, scope) = host.split_once('%').unwrap_or((host, ""));
    match ip.parse::<Ipv6Addr>() {
        Ok(ip) => {
            let address = SocketAddrV6::new(ip, port, 0, scope_id(scope)?);
            Ok(Some(Address::Inet6(address)))
        }
        Err(_) if host.contains(':') => Err(format!("{host:?} is not an IPv6 address")),
        Err(_) => Ok(None),
    }
}

/// The number of a scope, which is written as a number or as an interface's name (RFC 4007 §11).
fn scope_id(scope: &str) -> std::result::Result<u32, String> {
    if !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_digit()) {
        return scope
            .parse()
            .map_err(|_| format!("the scope {scope} is too large"));
    }
    nix::net::if_::if_nametoindex(scope).map_err(|_| {
        let known: Vec<String> = nix::net::if_::if_nameindex()
            .map(|all| {
                all.iter()
                    .map(|one| one.name().to_string_lossy().into_owned())
                    .collect()
            })
            .unwrap_or_default();
        format!(
            "there is no interface {scope:?}, known are {}",
            known.join(" ")
        )
    })
}
