//! Version 2: binary.

use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;

use crc::{CRC_32_ISCSI, Crc};
use ppp::v2::{
    Addresses, Builder, Command, Header, IPv4, IPv6, Protocol, Type, TypeLengthValue,
    TypeLengthValues, Unix, Version,
};

use super::fault::{HeaderFault, LONGEST_HEADER};
use super::proxied::Proxied;
use crate::address::{Address, SocketName, SocketType, UnixName};
use crate::net::peer::{Credentials, Peer};

/// The beginning of every header.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The length of the part that every header has, in bytes: the signature, the version and command,
/// the family and protocol, and the length of the rest.
pub(super) const FIXED: usize = 16;

/// The size of a name in an AF_UNIX header, as of `sun_path`; see `unix(7)`.
const SUN_PATH: usize = 108;

/// CRC32c, as of RFC 9260, appendix A.
static CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// The TLV with the process of an AF_UNIX client. The protocol has none, so it is one of the range
/// for applications (0xE0 to 0xEF); its value is [`TAG`], and the process, user and group as three
/// 32-bit numbers, big-endian.
const PROCESS: u8 = 0xE5;

/// Distinguishes the value of sok from those of other applications.
const TAG: [u8; 4] = *b"sok1";

/// The length of a header, by its first [`FIXED`] bytes.
///
/// # Errors
/// If it is not version 2, or too long.
pub(super) fn length(fixed: &[u8; FIXED]) -> Result<usize, HeaderFault> {
    let [.., version, _, high, low] = *fixed;
    if version >> 4 != 2 {
        return invalid(format!("version {}", version >> 4));
    }
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    match length > LONGEST_HEADER {
        true => Err(HeaderFault::TooLong(length)),
        false => Ok(length),
    }
}

/// The connection that a header describes; `None` for one of the proxy itself, and without
/// addresses.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Proxied>, HeaderFault> {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else {
        return Err(HeaderFault::Cut(bytes.len()));
    };
    match bytes.len().cmp(&length(fixed)?) {
        std::cmp::Ordering::Less => return Err(HeaderFault::Cut(bytes.len())),
        std::cmp::Ordering::Greater => return Err(HeaderFault::Trailing),
        std::cmp::Ordering::Equal => {}
    }
    let [.., command, family, _, _] = *fixed;
    // Not left to the crate, which checks the family of this command too.
    if command & 0x0F == Command::Local as u8 {
        // The rest means nothing, and may be anything.
        let is_without_addresses = family >> 4 == 0;
        return if is_without_addresses {
            own(bytes)
        } else {
            Ok(None)
        };
    }
    let header = Header::try_from(bytes).map_err(|error| HeaderFault::Binary(cause(&error)))?;
    let (source, destination) = match header.addresses {
        Addresses::Unspecified => return own(bytes),
        Addresses::IPv4(ends) => (
            name(ends.source_address, ends.source_port),
            name(ends.destination_address, ends.destination_port),
        ),
        Addresses::IPv6(ends) => (
            name(ends.source_address, ends.source_port),
            name(ends.destination_address, ends.destination_port),
        ),
        Addresses::Unix(ends) => (local_name(&ends.source), local_name(&ends.destination)),
    };
    let credentials = extensions(bytes, header.tlvs())?;
    let socket_type = match header.protocol {
        Protocol::Stream => SocketType::Stream,
        Protocol::Datagram => SocketType::Datagram,
        Protocol::Unspecified => return Ok(None),
    };
    let address = |name| Address::new(name, socket_type);
    let (Ok(source), Ok(destination)) = (address(source), address(destination)) else {
        return invalid("no such socket type in its family".to_owned());
    };
    let mut peer = Peer::new(source);
    peer.credentials = credentials.filter(|_| peer.address.family().facts().peer_is_process);
    Ok(Some(Proxied::new(peer, destination)))
}

fn invalid<T>(cause: String) -> Result<T, HeaderFault> {
    Err(HeaderFault::Binary(cause))
}

fn cause(error: &ppp::v2::ParseError) -> String {
    use ppp::v2::ParseError as E;
    match error {
        E::Command(command) => format!("command {command}"),
        E::AddressFamily(family) => format!("family {}", family >> 4),
        E::Protocol(protocol) => format!("protocol {protocol}"),
        E::InvalidAddresses(length, needed) => {
            format!("{length} bytes for addresses of {needed}")
        }
        E::InvalidTLV(kind, length) => format!("TLV {kind:#04x} of {length} bytes ends after it"),
        E::Leftovers(_) => "a TLV without a length".to_owned(),
        other => other.to_string(),
    }
}

/// A header without addresses: its length may count some all the same, so that what follows may not
/// be a list of TLVs. A checksum is checked if it is one.
fn own(bytes: &[u8]) -> Result<Option<Proxied>, HeaderFault> {
    match extensions(bytes, TypeLengthValues::from(&bytes[FIXED..])) {
        Err(HeaderFault::Checksum) => Err(HeaderFault::Checksum),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Checks the checksum in `values`, the end of `header`, if there is one, and returns the process
/// of the client, if they have it.
fn extensions(
    header: &[u8],
    values: TypeLengthValues<'_>,
) -> Result<Option<Credentials>, HeaderFault> {
    let mut at = header.len() - values.as_bytes().len();
    let mut credentials = None;
    for value in values {
        let TypeLengthValue { kind, value } =
            value.map_err(|error| HeaderFault::Binary(cause(&error)))?;
        at += 3;
        if kind == u8::from(Type::CRC32C) {
            let Ok(sum) = <[u8; 4]>::try_from(&*value) else {
                return invalid(format!("a checksum of {} bytes", value.len()));
            };
            if u32::from_be_bytes(sum) != checksum(header, at) {
                return Err(HeaderFault::Checksum);
            }
        } else if kind == PROCESS {
            credentials = process(&value).or(credentials);
        }
        at += value.len();
    }
    Ok(credentials)
}

/// The checksum of `header`, whose own 4 bytes are at `at` and count as 0.
fn checksum(header: &[u8], at: usize) -> u32 {
    let mut digest = CRC32C.digest();
    digest.update(&header[..at]);
    digest.update(&[0; 4]);
    digest.update(&header[at + 4..]);
    digest.finalize()
}

/// The process in a [`PROCESS`] TLV of sok.
fn process(value: &[u8]) -> Option<Credentials> {
    let numbers = value.strip_prefix(&TAG)?.as_chunks();
    let ([pid, uid, gid], []) = numbers else {
        return None;
    };
    Some(Credentials {
        pid: i32::from_be_bytes(*pid),
        uid: u32::from_be_bytes(*uid),
        gid: u32::from_be_bytes(*gid),
    })
}

fn name(ip: impl Into<IpAddr>, port: u16) -> SocketName {
    std::net::SocketAddr::new(ip.into(), port).into()
}

/// The name in an AF_UNIX header: as in `sun_path`, but with NUL bytes up to the end, as there is no
/// length; they are no part of an abstract name.
fn local_name(sun_path: &[u8; SUN_PATH]) -> SocketName {
    let name = match sun_path {
        [0, name @ ..] => {
            let length = name
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            match length {
                0 => Ok(UnixName::Unnamed),
                _ => UnixName::abstract_name(&name[..length]),
            }
        }
        path => UnixName::path(path.split(|byte| *byte == 0).next().unwrap_or_default()),
    };
    // Neither fails: the path is not empty, and the name not too long.
    name.unwrap_or(UnixName::Unnamed).into()
}

/// The header of a connection: without addresses if its ends are of different families.
pub(super) fn format(proxied: &Proxied) -> Vec<u8> {
    let Proxied { peer, destination } = proxied;
    let protocol = match peer.address.socket_type().has_connection() {
        true => Protocol::Stream,
        false => Protocol::Datagram,
    };
    let local = (peer.address.as_unix(), destination.as_unix());
    let addresses = match (proxied.as_ip(), local) {
        (Some([(IpAddr::V4(from), port), (IpAddr::V4(to), to_port)]), _) => {
            Addresses::IPv4(IPv4::new(from, to, port, to_port))
        }
        (Some([(IpAddr::V6(from), port), (IpAddr::V6(to), to_port)]), _) => {
            Addresses::IPv6(IPv6::new(from, to, port, to_port))
        }
        (_, (Some(from), Some(to))) => Addresses::Unix(Unix::new(sun_path(from), sun_path(to))),
        _ => Addresses::Unspecified,
    };
    let protocol = match addresses {
        Addresses::Unspecified => Protocol::Unspecified,
        _ => protocol,
    };
    let header = Builder::with_addresses(Version::Two | Command::Proxy, protocol, addresses);
    let header = match peer.credentials {
        Some(Credentials { pid, uid, gid }) => {
            let numbers = [pid.to_be_bytes(), uid.to_be_bytes(), gid.to_be_bytes()];
            let value = [TAG.as_slice(), numbers.as_flattened()].concat();
            header.write_tlv(PROCESS, &value)
        }
        None => Ok(header),
    };
    let header = header.and_then(|header| header.write_tlv(Type::CRC32C, &[0; 4])?.build());
    let mut header = header.expect("it is shorter than 64 KiB");
    let at = header.len() - 4;
    let sum = checksum(&header, at);
    header[at..].copy_from_slice(&sum.to_be_bytes());
    header
}

/// The name as [`local_name`] reads it; a path that is too long is left out.
fn sun_path(name: &UnixName) -> [u8; SUN_PATH] {
    let mut field = [0; SUN_PATH];
    let (at, bytes) = match name {
        UnixName::Path(path) => (0, path.as_os_str().as_bytes()),
        UnixName::Abstract(name) => (1, &**name),
        UnixName::Unnamed => (0, &[][..]),
    };
    if let Some(place) = field[at..].get_mut(..bytes.len()) {
        place.copy_from_slice(bytes);
    }
    field
}
