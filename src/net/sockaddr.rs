//! [`Address`] to and from `socket2::SockAddr`, both ways, with nothing lost.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use socket2::SockAddr;

use crate::address::{Address, SUN_PATH_MAX, UnixName};

/// An address as the kernel takes it, valid as long as this value lives.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) name: SockAddr,
    // A path through /proc/self/fd leads through this open directory.
    _directory: Option<File>,
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
/// `InvalidInput` for a name that no form of the address can hold; it states the limit.
pub(super) fn encode(address: &Address) -> io::Result<Encoded> {
    match address {
        Address::Inet(v4) => Ok(SockAddr::from(*v4).into()),
        Address::Inet6(v6) => Ok(SockAddr::from(*v6).into()),
        Address::Unix(UnixName::Path(path)) => encode_path(path),
        Address::Unix(UnixName::Abstract(name)) => {
            let mut bytes = vec![0];
            bytes.extend_from_slice(name);
            Ok(SockAddr::unix(OsString::from_vec(bytes))?.into())
        }
        Address::Unix(UnixName::Unnamed) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an unnamed socket cannot be addressed",
        )),
    }
}

/// The address that the kernel's form stands for.
///
/// # Errors
/// `InvalidData` for a family that this crate does not know.
pub(super) fn decode(name: &SockAddr) -> io::Result<Address> {
    if let Some(address) = name.as_socket() {
        return Ok(address.into());
    }
    if let Some(name) = name.as_abstract_namespace() {
        return Ok(Address::Unix(UnixName::Abstract(name.to_vec())));
    }
    if let Some(path) = name.as_pathname() {
        return Ok(Address::Unix(UnixName::Path(path.to_owned())));
    }
    if name.is_unnamed() {
        return Ok(Address::Unix(UnixName::Unnamed));
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("an address of the unknown family {}", name.family()),
    ))
}

/// The kernel's form of a path; one longer than `sun_path` goes through its opened directory.
pub(super) fn encode_path(path: &Path) -> io::Result<Encoded> {
    if path.as_os_str().len() <= SUN_PATH_MAX {
        return Ok(SockAddr::unix(path)?.into());
    }
    let Some(file) = path.file_name() else {
        return Err(too_long(path, SUN_PATH_MAX));
    };
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_PATH | OFlag::O_DIRECTORY).bits())
        .open(parent.unwrap_or_else(|| Path::new(".")))?;
    let short = short_path(&directory, file);
    if short.as_os_str().len() > SUN_PATH_MAX {
        return Err(too_long(
            path,
            SUN_PATH_MAX - (short.as_os_str().len() - file.len()),
        ));
    }
    Ok(Encoded {
        name: SockAddr::unix(short)?,
        _directory: Some(directory),
    })
}

fn short_path(directory: &File, file: &OsStr) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    path.push(file);
    path
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
