//! Probes the name for a new socket file.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use crate::address::UnixName;
use crate::error::ErrorKind;
use crate::net::directory::{Directory, Identity, foreign};
use crate::net::faults::{Refusal, in_use};
use crate::net::holder::processes_at;

/// What a name in a directory stands for.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    /// A socket that no process has open.
    Dead(Identity),
    /// A socket in use, and its processes if the kernel reports them.
    Live(Vec<i32>),
    /// Something else, in words.
    NotASocket(&'static str),
}

impl Found {
    /// Returns it if a socket may replace it, otherwise the refusal.
    pub(super) fn free(self) -> Result<Self, Refusal> {
        match self {
            Self::Nothing | Self::Dead(_) => Ok(self),
            Self::Live(holders) => Err(in_use(&holders)),
            Self::NotASocket(what) => {
                let cause = format!("this is {what}, not a socket; it was not replaced");
                Err(Refusal::told(
                    ErrorKind::Other,
                    cause,
                    "choose another path",
                ))
            }
        }
    }
}

/// A datagram socket, whose `connect(2)` tests whether a name is in use, without disturbing a
/// server.
fn probe_socket() -> io::Result<socket2::Socket> {
    socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::DGRAM, None)
}

/// What `name` in a directory is; `path` is its path. Probes with a datagram socket, which disturbs
/// no server and works for sockets that do not listen.
pub(super) fn probe(directory: &Directory, name: &OsStr, path: &Path) -> Result<Found, Refusal> {
    let status = match directory.status(name) {
        Ok(Some(status)) => status,
        Ok(None) => return Ok(Found::Nothing),
        Err(error) => return Err(unsearchable(error)),
    };
    if let Some(what) = foreign(status.st_mode) {
        return Ok(Found::NotASocket(what));
    }
    let address = directory.socket_name(name)?;
    let live = || Found::Live(processes_at(&UnixName::Path(path.to_owned()).into()));
    match probe_socket()?.connect(&address) {
        Ok(()) => Ok(live()),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Ok(Found::Dead(Identity::of(&status))),
            io::ErrorKind::NotFound => Ok(Found::Nothing),
            io::ErrorKind::PermissionDenied => {
                let hint =
                    "the socket file belongs to another user, and may be live; choose another path";
                Err(Refusal::hinted(error, hint))
            }
            // EPROTOTYPE: a live socket of another type, such as a stream socket.
            _ => Ok(live()),
        },
    }
}

/// The error for a directory that cannot be searched or opened.
pub(super) fn unsearchable(error: io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Refusal::hinted(
            error,
            "this needs search permission on the directories of the path",
        ),
        _ => error.into(),
    }
}
