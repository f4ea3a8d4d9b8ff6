//! Lossless conversion between [`Address`] and `socket2::SockAddr`.

use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net as unix;
use std::path::Path;

use nix::libc::sockaddr_un;
use nix::sys::socket::{SockaddrStorage, UnixAddr};
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};
use socket2::SockAddr;

use super::directory::{Directory, split};
use crate::address::{Address, Family, SUN_PATH_MAX, SocketName, UnixName};
use crate::error::Error;

/// An address in the kernel's form, valid as long as this value lives.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) name: SockAddr,
    // A path through /proc/self/fd leads through this open directory.
    _directory: Option<Directory>,
}

impl From<SockAddr> for Encoded {
    fn from(name: SockAddr) -> Self {
        Self {
            name,
            _directory: None,
        }
    }
}

/// The kernel's form of `address`.
///
/// # Errors
/// `InvalidInput` for a name that is too long; it states the limit.
pub(super) fn encode(address: &Address) -> io::Result<Encoded> {
    match address.name() {
        SocketName::Inet(v4) => Ok(SockAddr::from(*v4).into()),
        SocketName::Inet6(v6) => Ok(SockAddr::from(*v6).into()),
        SocketName::Unix(UnixName::Path(path)) => encode_path(path),
        SocketName::Unix(UnixName::Abstract(name)) => {
            let mut bytes = vec![0];
            bytes.extend_from_slice(name);
            Ok(SockAddr::unix(OsString::from_vec(bytes))?.into())
        }
        SocketName::Unix(UnixName::Unnamed) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an unnamed socket has no address",
        )),
    }
}

/// The name in the kernel's form.
///
/// # Errors
/// `InvalidData` for a family that this crate does not know.
pub(super) fn decode(name: &SockAddr) -> io::Result<SocketName> {
    if let Some(address) = name.as_socket() {
        return Ok(address.into());
    }
    if let Some(name) = name.as_abstract_namespace() {
        return Ok(UnixName::Abstract(name.to_vec()).into());
    }
    if let Some(path) = name.as_pathname() {
        return Ok(UnixName::Path(path.to_owned()).into());
    }
    if name.is_unnamed() {
        return Ok(UnixName::Unnamed.into());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("an address of the unknown family {}", name.family()),
    ))
}

/// The peer's name of `socket`, for which `accept4(2)` returned `name`.
///
/// # Errors
/// What `getpeername(2)` reports, which is called if `name` is incomplete.
pub(super) fn decode_accepted(
    socket: &socket2::Socket,
    name: Option<SocketAddrAny>,
) -> io::Result<SocketName> {
    /// The length of an unnamed socket's name: only the family.
    const UNNAMED: u32 = 2;
    match name {
        // A name of the full length has no NUL at its end, and `rustix` would panic on it.
        Some(name) if name.address_family() == AddressFamily::UNIX => match name.addr_len() {
            UNNAMED => Ok(UnixName::Unnamed.into()),
            _ => decode(&socket.peer_addr()?),
        },
        Some(name) => Ok(SocketAddr::try_from(name)?.into()),
        None => decode(&socket.peer_addr()?),
    }
}

/// The name of a datagram's sender, to answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SenderName {
    /// As `recvfrom(2)` and `recvmmsg(2)` report it.
    Any(SockaddrStorage),
    /// That of an AF_UNIX socket, as `recvmsg(2)` reports it.
    Unix(UnixAddr),
}

/// In few writes: one for each field would cost as much as the rest of a delivery.
impl Hash for SenderName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(local) = self.as_unix() {
            let path = || local.path().map(|path| path.as_os_str().as_bytes());
            let name = local.as_abstract().or_else(path);
            state.write(name.unwrap_or_default());
        } else if let Self::Any(name) = self {
            if let Some(v4) = name.as_sockaddr_in() {
                state.write_u64(u64::from(v4.ip().to_bits()) << 16 | u64::from(v4.port()));
            } else if let Some(v6) = name.as_sockaddr_in6() {
                state.write_u128(v6.ip().to_bits());
                state.write_u16(v6.port());
            }
        }
    }
}

impl SenderName {
    /// The name that `recvmsg(2)` reported; `None` for one that cannot be answered.
    pub(super) fn of_unix(name: SocketAddrAny) -> Option<Self> {
        // A path that fills `sun_path` has no NUL at its end: the kernel adds one to the name, and
        // takes such a name from nobody.
        if name.addr_len() as usize > size_of::<sockaddr_un>() {
            return None;
        }
        let name = SocketAddrUnix::try_from(name).ok()?;
        let name = match (name.path_bytes(), name.abstract_name()) {
            (Some(path), _) => UnixAddr::new(path),
            (None, Some(name)) => UnixAddr::new_abstract(name),
            (None, None) => return None,
        };
        name.ok().map(Self::Unix)
    }

    fn as_unix(&self) -> Option<&UnixAddr> {
        match self {
            Self::Any(name) => name.as_unix_addr(),
            Self::Unix(name) => Some(name),
        }
    }

    fn as_ip(&self) -> Option<SocketName> {
        let Self::Any(name) = self else {
            return None;
        };
        let v4 = name.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4));
        let v6 = || name.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6));
        v4.map(SocketName::from)
            .or_else(|| v6().map(SocketName::from))
    }
}

/// The name of a datagram's sender, which has none if it is not bound.
pub(super) fn decode_sender(family: Family, sender: Option<&SenderName>) -> SocketName {
    let Some(sender) = sender else {
        return unnamed(family);
    };
    if let Some(ip) = sender.as_ip() {
        return ip;
    }
    let local = sender.as_unix();
    match local.map(|local| (local.path(), local.as_abstract())) {
        Some((Some(path), _)) => UnixName::Path(path.to_owned()).into(),
        Some((None, Some(name))) => UnixName::Abstract(name.to_vec()).into(),
        Some((None, None)) | None => unnamed(family),
    }
}

/// The name of a socket that is not bound.
fn unnamed(family: Family) -> SocketName {
    match family {
        Family::Inet => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into(),
        Family::Inet6 => SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0).into(),
        Family::Unix => UnixName::Unnamed.into(),
    }
}

impl From<unix::SocketAddr> for Address {
    fn from(address: unix::SocketAddr) -> Self {
        let name = match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => UnixName::Path(path.to_owned()),
            (None, Some(name)) => UnixName::Abstract(name.to_vec()),
            (None, None) => UnixName::Unnamed,
        };
        name.into()
    }
}

impl TryFrom<Address> for unix::SocketAddr {
    type Error = Error;

    /// The address as a type of the standard library.
    ///
    /// # Errors
    /// [`Usage`](crate::ErrorKind::Usage) for an address of another family, an empty name, and a
    /// path longer than [`SUN_PATH_MAX`].
    fn try_from(address: Address) -> Result<Self, Error> {
        let converted = match address.name() {
            SocketName::Unix(UnixName::Path(path)) => Self::from_pathname(path),
            SocketName::Unix(UnixName::Abstract(name)) => Self::from_abstract_name(name),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a named AF_UNIX address",
            )),
        };
        converted.map_err(|error| Error::new("address", address, error))
    }
}

/// The kernel's form of a path; if longer than `sun_path`, through its opened directory.
pub(super) fn encode_path(path: &Path) -> io::Result<Encoded> {
    if path.as_os_str().len() <= SUN_PATH_MAX {
        return Ok(SockAddr::unix(path)?.into());
    }
    let Some((directory, file)) = split(path) else {
        return Err(too_long(path, SUN_PATH_MAX));
    };
    let directory = Directory::open(directory)?;
    if file.len() > directory.longest_name() {
        return Err(too_long(path, directory.longest_name()));
    }
    Ok(Encoded {
        name: directory.through_proc(file)?,
        _directory: Some(directory),
    })
}

fn too_long(path: &Path, file_max: usize) -> io::Error {
    let file = path.file_name().unwrap_or_default().as_bytes().len();
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "the path has {} bytes and its last part {file}; \
             the limit is {SUN_PATH_MAX}, or {file_max} for the last part of a longer path",
            path.as_os_str().len()
        ),
    )
}
