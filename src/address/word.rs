//! The typed and printed form of a target.

use std::ffi::OsStr;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use super::descriptor::{self, DescriptorName};
use super::target::Target;
use super::unix::write_escaped;
use super::{Address, Family, SocketType, UnixName};
use crate::error::{Error, ErrorKind, Result};
use crate::escape::{is_part_of_word, is_visible};

/// The prefixes for either network family, as the name resolves.
const EITHER: [(&str, SocketType); 2] =
    [("tcp", SocketType::Stream), ("udp", SocketType::Datagram)];

/// The prefix of a name in `family`, or in either.
fn prefix_of(family: Option<Family>, socket_type: SocketType) -> &'static str {
    let either = EITHER.iter().find(|(_, known)| *known == socket_type);
    match family {
        Some(family) => family.prefix(socket_type),
        // No word means such a socket: an error that shows it names the type.
        None => either.map_or_else(|| socket_type.name(), |(prefix, _)| prefix),
    }
}

/// What the prefix of an address says.
#[derive(Debug, Clone, Copy)]
struct Scheme {
    /// The family, or either network family.
    family: Option<Family>,
    socket_type: SocketType,
}

impl Scheme {
    /// What a word without a prefix means.
    const NONE: Self = Self {
        family: None,
        socket_type: SocketType::Stream,
    };

    fn from_prefix(prefix: &str) -> Option<Self> {
        if let Some((family, socket_type)) = Family::from_prefix(prefix) {
            let family = Some(family);
            return Some(Self {
                family,
                socket_type,
            });
        }
        let either = EITHER.iter().find(|(known, _)| *known == prefix);
        either.map(|(_, socket_type)| Self {
            socket_type: *socket_type,
            ..Self::NONE
        })
    }

    fn is_local(self) -> bool {
        self.family.is_some_and(|family| !family.is_network())
    }

    fn prefix(self) -> &'static str {
        prefix_of(self.family, self.socket_type)
    }
}

/// Refuses a type that the family lacks, or both network families.
fn require(family: Option<Family>, socket_type: SocketType) -> std::result::Result<(), String> {
    let types = EITHER.map(|(_, known)| known);
    match family {
        Some(family) => family.require(socket_type).map_err(|error| error.cause()),
        None if types.contains(&socket_type) => Ok(()),
        None => Err(socket_type.missing_in("a host", &types)),
    }
}

impl Target {
    /// The words of no single family, each with its meaning, as help lists them: those of a host, and
    /// of an inherited socket.
    pub const WORDS: [(&str, &str); 4] = [
        (
            "tcp:localhost:8082, localhost:8082",
            "AF_INET or AF_INET6, as the name resolves; stream: TCP",
        ),
        ("udp:localhost:53", "the same; datagram: UDP"),
        (":8082, udp::53", "every address, dual-stack (to listen)"),
        (
            "fd:3, fd:NAME",
            "an inherited socket: number, or name in LISTEN_FDNAMES",
        ),
    ];

    /// Parses an address, which need not be UTF-8.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`]: it names the wrong part, and the known forms.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self> {
        let text = text.as_ref().as_bytes();
        read(text).map_err(|cause| {
            let mut shown = String::new();
            // Writing to a String cannot fail.
            let _ = write_escaped(text, is_visible, &mut shown);
            Error::because("address", format!("\"{shown}\""), ErrorKind::Usage, cause)
        })
    }

    /// A target of `family` and `socket_type` from its parts, as `--host` and `--port` give them.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`], as [`Target::parse`].
    pub fn network(
        family: Option<Family>,
        socket_type: SocketType,
        host: &str,
        port: u16,
    ) -> Result<Self> {
        let scheme = Scheme {
            family,
            socket_type,
        };
        let target = require(family, socket_type).and_then(|()| host_and_port(scheme, host, port));
        target.map_err(|cause| {
            let prefix = scheme.prefix();
            let shown = format!("{prefix}:{host}:{port}");
            Error::because("address", shown, ErrorKind::Usage, cause)
        })
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
            Self::Inherited(name) => name.fmt(f),
            Self::AnyHost { socket_type, port } => {
                write!(f, "{}::{port}", prefix_of(None, *socket_type))
            }
            Self::Host {
                family,
                socket_type,
                host,
                port,
            } => {
                let prefix = prefix_of(*family, *socket_type);
                if host.contains(':') {
                    write!(f, "{prefix}:[{host}]:{port}")
                } else {
                    write!(f, "{prefix}:{host}:{port}")
                }
            }
        }
    }
}

/// The target of a word, or what is wrong with it.
fn read(text: &[u8]) -> std::result::Result<Target, String> {
    match text.first() {
        None => return Err("the address is empty".to_owned()),
        Some(b'/' | b'.' | b'@') => return unix(SocketType::Stream, text),
        Some(b'[') => return network(Scheme::NONE, utf8(text)?),
        Some(_) => {}
    }
    let Some(colon) = text.iter().position(|&byte| byte == b':') else {
        return Err(without_colon(&String::from_utf8_lossy(text)));
    };
    let (prefix, rest) = (utf8(&text[..colon])?, &text[colon + 1..]);
    if prefix == descriptor::PREFIX {
        let name = String::from_utf8_lossy(rest);
        return DescriptorName::read(&name).map(Target::Inherited);
    }
    let scheme = Scheme::from_prefix(prefix);
    if !scheme.is_some_and(Scheme::is_local)
        && let Some(url) = rest.strip_prefix(b"//")
    {
        let url = String::from_utf8_lossy(url);
        return Err(not_a_url(prefix, scheme.is_some(), &url));
    }
    match scheme {
        Some(scheme) if scheme.is_local() => unix(scheme.socket_type, rest),
        Some(scheme) => network(scheme, utf8(rest)?),
        None if rest.iter().all(|byte| byte.is_ascii_digit()) => network(Scheme::NONE, utf8(text)?),
        None => Err(unknown_prefix(prefix, text, rest)),
    }
}

fn known_prefixes() -> String {
    let mut known = Vec::new();
    for family in Family::ALL {
        known.extend(
            family
                .prefixes()
                .iter()
                .map(|(prefix, _)| format!("{prefix}:")),
        );
    }
    let others = EITHER.iter().map(|(prefix, _)| *prefix);
    let others = others.chain([descriptor::PREFIX]);
    known.extend(others.map(|prefix| format!("{prefix}:")));
    known.join(" ")
}

/// The correction for a word with neither prefix nor port.
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

/// The correction for `PREFIX://REST`.
fn not_a_url(prefix: &str, is_known: bool, rest: &str) -> String {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let has_port = |host: &str| network(Scheme::NONE, host).is_ok();
    let host = match host {
        "" => "HOST:PORT".to_owned(),
        host if has_port(host) => host.to_owned(),
        host => format!("{host}:PORT"),
    };
    match is_known {
        true => format!("an address is not a URL; write {prefix}:{host}"),
        false => format!(
            "unknown prefix {prefix:?}, and an address is not a URL; write tcp:{host} for TCP"
        ),
    }
}

/// The correction for a word with an unknown prefix.
fn unknown_prefix(prefix: &str, text: &[u8], rest: &[u8]) -> String {
    let (text, rest) = (String::from_utf8_lossy(text), String::from_utf8_lossy(rest));
    let known = known_prefixes();
    if let Some(address) = in_brackets(&text) {
        format!("write an IPv6 address in brackets: {address}")
    } else if rest.contains('/') {
        format!("unknown prefix {prefix:?}; known prefixes are {known}")
    } else if network(Scheme::NONE, &rest).is_ok() {
        format!(
            "unknown prefix {prefix:?}; write tcp:{rest} for TCP, udp:{rest} for UDP; known prefixes \
             are {known}"
        )
    } else {
        format!(
            "{rest:?} is not a port number, and {prefix:?} not a prefix; known prefixes are {known}"
        )
    }
}

/// An IPv6 address without brackets, in the form with brackets and a port, which its last group may
/// be.
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
    std::str::from_utf8(text).map_err(|_| "the host is not valid UTF-8".to_owned())
}

fn unix(socket_type: SocketType, name: &[u8]) -> std::result::Result<Target, String> {
    match UnixName::from_escaped(name).map_err(|error| error.to_string())? {
        UnixName::Unnamed => Err("the path is empty".to_owned()),
        name => with_type(name.into(), socket_type),
    }
}

/// The target at `address`, with this type.
fn with_type(address: Address, socket_type: SocketType) -> std::result::Result<Target, String> {
    let typed = address.with_type(socket_type);
    typed.map(Target::Address).map_err(|error| error.cause())
}

/// Reads `HOST:PORT` or `[HOST]:PORT`.
fn network(scheme: Scheme, text: &str) -> std::result::Result<Target, String> {
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
    let port = port.ok_or("the port is missing; write HOST:PORT")?;
    if host.contains(':') && !text.starts_with('[') {
        let address = in_brackets(text).unwrap_or_else(|| format!("[{host}]:{port}"));
        return Err(format!("write an IPv6 address in brackets: {address}"));
    }
    host_and_port(scheme, host, port_number(port)?)
}

/// Reads a port, which has only digits.
pub(super) fn port_number(text: &str) -> std::result::Result<u16, String> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(|| format!("the port {text:?} is not a number from 0 to 65535"))
}

fn host_and_port(scheme: Scheme, host: &str, port: u16) -> std::result::Result<Target, String> {
    let Scheme {
        family,
        socket_type,
    } = scheme;
    if host.is_empty() {
        return match family {
            None => Ok(Target::AnyHost { socket_type, port }),
            Some(family) => Err(format!(
                "the host is empty; write {}:{}:{port} for every {family} address of this machine",
                scheme.prefix(),
                if family == Family::Inet6 {
                    "[::]"
                } else {
                    "0.0.0.0"
                }
            )),
        };
    }
    if !host.chars().all(is_part_of_word) {
        return Err("the host contains white space or an invisible character".to_owned());
    }
    // A bracket in a host could not be printed so that it parses again.
    if host.contains(['[', ']']) {
        return Err("the host contains a bracket".to_owned());
    }
    let address = match (literal(host, port)?, family) {
        (None, _) => {
            return Ok(Target::Host {
                family,
                socket_type,
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
    with_type(address, socket_type)
}

/// The literal IP address of `host`, if it is one.
fn literal(host: &str, port: u16) -> std::result::Result<Option<Address>, String> {
    if let Ok(ip) = host.parse() {
        return Ok(Some(SocketAddr::new(ip, port).into()));
    }
    let (ip, scope) = host.split_once('%').unwrap_or((host, ""));
    match ip.parse::<Ipv6Addr>() {
        Ok(ip) => {
            let address = SocketAddrV6::new(ip, port, 0, scope_id(scope)?);
            Ok(Some(address.into()))
        }
        Err(_) if host.contains(':') => Err(format!("{host:?} is not an IPv6 address")),
        Err(_) => Ok(None),
    }
}

/// The number of a scope, given as a number or an interface name (RFC 4007 §11).
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
            "no interface {scope:?}; the interfaces are {}",
            known.join(" ")
        )
    })
}
