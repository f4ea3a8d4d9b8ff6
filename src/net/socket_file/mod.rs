//! The life of a socket file: probe, bind in a private directory, publish, unlink.
//!
//! A file appears under its name only when its server accepts, with its mode and owner. A live
//! socket is never replaced, a stale one is, and any other file stays; see `unix(7)`.
//!
//! Another user may own the directory and replace its entries at any moment. So it is opened once,
//! steps that need a stable name run in a [`Private`] directory in it, and the published file is
//! checked to be our socket.

mod private;
mod probe;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::fcntl::{AtFlags, RenameFlags, renameat, renameat2};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmod, fchmodat, fstat};
use nix::unistd::{Gid, Uid, fchownat, linkat};

use self::private::Private;
use self::probe::{Found, probe, unsearchable};
use super::directory::{Directory, Identity, foreign, split};
use super::faults::Refusal;
use super::options::{ListenOptions, Owner};
use super::sockaddr::encode_path;
use super::socket::Socket;
use crate::address::UnixName;
use crate::error::ErrorKind;

/// Our socket file, removed on drop if it is still ours.
#[derive(Debug)]
pub struct SocketFile {
    directory: Directory,
    name: OsString,
    identity: Identity,
    /// Whether drop keeps it.
    stays: bool,
}

impl SocketFile {
    /// Binds `socket` beside `path`, sets the file's rights, listens, and renames it to `path`.
    pub(super) fn publish(
        socket: &Socket,
        path: &Path,
        options: &ListenOptions,
    ) -> Result<Self, Refusal> {
        // Refuse a name that no client could connect to before creating anything.
        encode_path(path)?;
        let (directory, name) = place(path)?;
        let in_place = options.bind_in_place || !socket.socket_type().has_connection();
        if in_place && directory.path_of(name).is_some() {
            return Self::bind_directly(socket, path, options);
        }
        let found = || match options.reuse_address {
            true => probe(&directory, name, path)?.free(),
            false => Ok(Found::Nothing),
        };
        // Refuse before creating anything; probe again under the lock.
        found()?;
        let mut private = Private::beside(&directory, name)?;
        let found = found()?;
        let own = Private::socket();
        let address = private.directory().socket_name(own)?;
        let shown = socket.typed(UnixName::Path(path.to_owned()).into())?;
        socket.bind_by(&shown, |socket| {
            match options.reuse_address || directory.status(name)?.is_none() {
                true => socket.bind(&address),
                false => Err(nix::Error::EADDRINUSE.into()),
            }
        })?;
        let file = private.directory().file(own)?;
        let identity = bound_file(&fstat(&file)?)?;
        set_rights(&file, private.directory(), options)?;
        if socket.socket_type().has_connection() {
            socket.listen(options.backlog)?;
        }
        take_name(&mut private, &directory, name, &found).map_err(|fault| match fault {
            BindFault::Taken if options.reuse_address => taken_meanwhile(&directory, name, path),
            BindFault::Taken => nix::Error::EADDRINUSE.into(),
            BindFault::Refused(refusal) => refusal,
        })?;
        if directory.identity(name)? != Some(identity) {
            return Err(taken_meanwhile(&directory, name, path));
        }
        drop(private);
        Ok(Self {
            name: name.to_owned(),
            directory,
            identity,
            stays: !options.remove_file,
        })
    }

    /// Binds a client's socket to `path`, directly, as its peer sees that name as the address. It
    /// is given no rights.
    ///
    /// It is created in and removed from the open directory, wherever the path leads later: if
    /// another user can replace that directory, the peer sees a path through `/proc`.
    pub(super) fn bind(socket: &Socket, path: &Path) -> Result<Self, Refusal> {
        encode_path(path)?;
        let (directory, name) = place(path)?;
        if !socket.socket_type().has_connection() && directory.path_of(name).is_none() {
            let cause = "no server could answer to this name: others can replace its directory, or \
                         the path is too long";
            let hint = "choose another directory; without a name, the kernel gives one";
            return Err(Refusal::told(ErrorKind::Other, cause, hint));
        }
        let address = directory.socket_name(name)?;
        let probed = || probe(&directory, name, path)?.free();
        let private = match probed()? {
            Found::Dead(_) => Some(Private::beside(&directory, name)?),
            _ => None,
        };
        if private.is_some()
            && let Found::Dead(_) = probed()?
        {
            directory.remove(name).map_err(another_users)?;
        }
        let shown = socket.typed(UnixName::Path(path.to_owned()).into())?;
        socket
            .bind(&address, &shown)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => taken_meanwhile(&directory, name, path),
                _ => error.into(),
            })?;
        let identity = match directory.status(name)? {
            Some(status) => bound_file(&status)?,
            None => return Err(replaced()),
        };
        drop(private);
        Ok(Self {
            name: name.to_owned(),
            directory,
            identity,
            stays: false,
        })
    }

    /// Binds a server's socket to `path`, directly, in a directory where nobody else can replace it: a
    /// renamed file would not have that name for a program that inherits the socket, nor for the peers
    /// of a datagram server, who see it as the sender of the answers. Until the rights are set, the
    /// file has those that the umask leaves of them.
    fn bind_directly(
        socket: &Socket,
        path: &Path,
        options: &ListenOptions,
    ) -> Result<Self, Refusal> {
        // Linux gives the file the mode of the socket.
        fchmod(socket, Mode::from_bits_truncate(options.mode))?;
        let mut bound = Self::bind(socket, path)?;
        let file = bound.directory.file(&bound.name)?;
        if bound_file(&fstat(&file)?)? != bound.identity {
            return Err(replaced());
        }
        set_rights(&file, &bound.directory, options)?;
        if socket.socket_type().has_connection() {
            socket.listen(options.backlog)?;
        }
        bound.stays = !options.remove_file;
        Ok(bound)
    }

    /// Whether it is still in its place.
    pub(super) fn is_in_place(&self) -> bool {
        let found = self.directory.identity(&self.name);
        found.is_ok_and(|found| found == Some(self.identity))
    }

    /// Keeps the file on drop.
    pub(super) fn keep(mut self) {
        self.stays = true;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.stays && self.is_in_place() {
            // A file that cannot be removed becomes stale, and the next server replaces it.
            let _ = self.directory.remove(&self.name);
        }
    }
}

/// The directory of a socket file, and its name there.
fn place(path: &Path) -> Result<(Directory, &OsStr), Refusal> {
    let Some((directory, name)) = split(path) else {
        let cause = "this is a directory, not a socket";
        return Err(Refusal::told(
            ErrorKind::Other,
            cause,
            "give the path of a file in it",
        ));
    };
    let directory = Directory::open_by_path(directory).map_err(unsearchable)?;
    Ok((directory, name))
}

/// The identity of the file that a socket was just bound to, if it is a socket.
fn bound_file(status: &FileStat) -> Result<Identity, Refusal> {
    match foreign(status.st_mode) {
        None => Ok(Identity::of(status)),
        Some(_) => Err(replaced()),
    }
}

/// Sets the requested mode and owner of a new socket file through its descriptor, so that a file
/// swapped in under its name does not get them.
fn set_rights(file: &File, private: &Directory, options: &ListenOptions) -> Result<(), Refusal> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    match fs::symlink_metadata(&path) {
        Ok(_) => fs::set_permissions(&path, Permissions::from_mode(options.mode))?,
        // Without /proc nobody else can change the directory, or there would be no socket in it.
        Err(_) => {
            let mode = Mode::from_bits_truncate(options.mode);
            fchmodat(
                private,
                Private::socket(),
                mode,
                FchmodatFlags::FollowSymlink,
            )?;
        }
    }
    let Some(Owner { user, group }) = options.owner else {
        return Ok(());
    };
    let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
    fchownat(file, "", user, group, AtFlags::AT_EMPTY_PATH).map_err(|errno| {
        let hint =
            "only root may change the owner, and only a member of the group may set the group";
        Refusal::hinted(errno.into(), hint)
    })
}

/// Why a socket did not get its name.
enum BindFault {
    /// It is in use.
    Taken,
    Refused(Refusal),
}

impl<E: Into<io::Error>> From<E> for BindFault {
    fn from(error: E) -> Self {
        Self::Refused(error.into().into())
    }
}

/// Moves the private socket to its name atomically, unless the name has been taken meanwhile.
fn take_name(
    private: &mut Private<'_>,
    directory: &Directory,
    name: &OsStr,
    found: &Found,
) -> Result<(), BindFault> {
    let own = Private::socket();
    let from = private.directory();
    match found {
        Found::Dead(dead) => {
            let flags = RenameFlags::RENAME_EXCHANGE;
            let exchange = || renameat2(from, own, directory, name, flags);
            match exchange() {
                Ok(()) if from.identity(own)? == Some(*dead) => Ok(()),
                Ok(()) => {
                    // Not the stale file that was probed: give the name back to its owner.
                    if let Err(errno) = exchange() {
                        private.keep();
                        return Err(errno.into());
                    }
                    Err(BindFault::Taken)
                }
                Err(errno) if is_unknown(errno) && directory.identity(name)? == Some(*dead) => {
                    renameat(from, own, directory, name)
                        .map_err(|errno| BindFault::Refused(another_users(errno.into())))
                }
                Err(nix::Error::ENOENT) => Err(BindFault::Taken),
                Err(errno) => Err(BindFault::Refused(another_users(errno.into()))),
            }
        }
        Found::Nothing | Found::Live(_) | Found::NotASocket(_) => {
            let flags = RenameFlags::RENAME_NOREPLACE;
            let done = match renameat2(from, own, directory, name, flags) {
                Err(errno) if is_unknown(errno) => {
                    linkat(from, own, directory, name, AtFlags::empty())
                }
                done => done,
            };
            match done {
                Err(nix::Error::EEXIST) => Err(BindFault::Taken),
                // A file system without links either.
                Err(errno) if is_unknown(errno) && directory.status(name)?.is_none() => {
                    Ok(renameat(from, own, directory, name)?)
                }
                done => Ok(done?),
            }
        }
    }
}

/// Whether the file system or a system call filter does not support a call.
const fn is_unknown(errno: nix::Error) -> bool {
    use nix::Error as E;
    matches!(errno, E::EINVAL | E::ENOSYS | E::EPERM | E::EOPNOTSUPP)
}

/// The error for a stale file that cannot be replaced. `EPERM` means a sticky directory, such as
/// /tmp, see unlink(2).
fn another_users(error: io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let hint =
                "the stale socket file belongs to another user; remove it, or choose another path";
            Refusal::hinted(error, hint)
        }
        _ => error.into(),
    }
}

/// The refusal of a name taken meanwhile.
fn taken_meanwhile(directory: &Directory, name: &OsStr, path: &Path) -> Refusal {
    match probe(directory, name, path).map(Found::free) {
        Ok(Err(refusal)) => refusal,
        Ok(Ok(_)) | Err(_) => replaced(),
    }
}

fn replaced() -> Refusal {
    let cause = "another process replaced the new socket file";
    Refusal::told(
        ErrorKind::InUse,
        cause,
        "choose a directory that only you may write to",
    )
}
