//! The life of a socket file: probe, bind a temporary name, publish, unlink.
//!
//! A file appears under its name only when its server accepts, with its mode and owner. A live
//! socket is never taken, a dead one is replaced, and what is no socket stays; see `unix(7)`.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::holder::holders;
use super::listener::ListenOptions;
use super::sockaddr::encode_path;
use super::socket::Socket;
use super::{family, listener::Owner};
use crate::address::{Address, Family, UnixName};
use crate::error::Kind;

/// A socket file of ours, which is removed when this value is dropped, if it is still ours.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Whether it is left behind after all.
    stays: bool,
}

/// What a path holds.
#[derive(Debug)]
enum Found {
    Nothing,
    /// A socket that nobody listens on, with its inode.
    Dead(u64),
    /// A socket in use, and by whom where the kernel tells.
    Live(Vec<i32>),
    /// Something else, in words.
    Foreign(&'static str),
}

/// Why a socket file cannot be made: cause, kind and way out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) source: io::Error,
    pub(super) kind: Option<Kind>,
    pub(super) hint: Option<String>,
}

impl Refusal {
    fn hinted(source: io::Error, hint: &str) -> Self {
        Self {
            hint: Some(hint.to_owned()),
            ..Self::from(source)
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(source: io::Error) -> Self {
        Self {
            source,
            kind: None,
            hint: None,
        }
    }
}

impl SocketFile {
    /// Binds `socket` beside `path`, sets the file's rights, listens, and renames it to `path`.
    pub(super) fn publish(
        socket: &Socket,
        path: &Path,
        options: &ListenOptions,
    ) -> Result<Self, Refusal> {
        // A name that no client could connect to is refused before anything is made.
        encode_path(path)?;
        let directory = directory_of(path);
        let _turn = turn(directory);
        let found = probe(path)?.free()?;
        let shown = Address::Unix(UnixName::Path(path.to_owned()));
        let made = tempfile::Builder::new()
            .prefix(".sok-")
            .make_in(directory, |name| {
                socket.bind(&encode_path(name)?.name, &shown)
            })
            .map_err(|error| made_nowhere(without_path(error)))?;
        let temporary = made.into_temp_path();
        set_rights(&temporary, options)?;
        socket.listen(options.backlog)?;
        let mut file = Self::of(&temporary, path)?;
        file.take_name(&temporary, &found)?;
        if matches!(found, Found::Nothing) {
            // Renamed: there is nothing left under the temporary name, and nothing to remove.
            let _ = temporary.keep();
        }
        file.stays = !options.remove_file;
        Ok(file)
    }

    /// Binds `socket` to `path` and listens, with nothing done about a file that is there.
    pub(super) fn make(
        socket: &Socket,
        path: &Path,
        options: &ListenOptions,
    ) -> Result<Self, Refusal> {
        socket.bind(
            &encode_path(path)?.name,
            &Address::Unix(UnixName::Path(path.to_owned())),
        )?;
        let mut file = Self::of(path, path)?;
        set_rights(path, options)?;
        socket.listen(options.backlog)?;
        file.stays = !options.remove_file;
        Ok(file)
    }

    /// Binds a client's own end to `path`, which its peer sees as its address.
    pub(super) fn bind(socket: &Socket, path: &Path) -> Result<Self, Refusal> {
        let _turn = turn(directory_of(path));
        if let Found::Dead(_) = probe(path)?.free()? {
            fs::remove_file(path)?;
        }
        socket.bind(
            &encode_path(path)?.name,
            &Address::Unix(UnixName::Path(path.to_owned())),
        )?;
        Ok(Self::of(path, path)?)
    }

    fn of(made: &Path, path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(made)?;
        Ok(Self {
            path: std::path::absolute(path)?,
            device: metadata.dev(),
            inode: metadata.ino(),
            stays: false,
        })
    }

    /// Leaves the file where it is.
    pub(super) fn keep(mut self) {
        // No file has an empty path: there is nothing to remove.
        self.path = PathBuf::new();
    }

    /// Renames `temporary` to the final name in one step, unless somebody took the name meanwhile.
    fn take_name(&self, temporary: &Path, found: &Found) -> Result<(), Refusal> {
        let flags = match found {
            Found::Dead(_) => RenameFlags::RENAME_EXCHANGE,
            Found::Nothing | Found::Live(_) | Found::Foreign(_) => RenameFlags::RENAME_NOREPLACE,
        };
        let rename = || renameat2(AT_FDCWD, temporary, AT_FDCWD, &self.path, flags);
        match rename() {
            Ok(()) => {}
            // A file system without these flags: the plain rename, with its short race.
            Err(nix::Error::EINVAL | nix::Error::ENOSYS) => {
                return Ok(fs::rename(temporary, &self.path)?);
            }
            Err(nix::Error::EEXIST) => return Err(taken_meanwhile(&self.path)),
            // The sticky bit, see unlink(2): a directory that all may write to, as /tmp.
            Err(errno @ nix::Error::EPERM) => {
                let hint =
                    "the dead socket file is another user's; remove it, or choose another path";
                return Err(Refusal::hinted(errno.into(), hint));
            }
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
        match found {
            Found::Dead(inode) if fs::symlink_metadata(temporary)?.ino() != *inode => {
                // Not the dead file that was probed: give the name back to who took it.
                rename().map_err(io::Error::from)?;
                Err(taken_meanwhile(&self.path))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours =
            |metadata: &fs::Metadata| metadata.dev() == self.device && metadata.ino() == self.inode;
        if !self.stays && fs::symlink_metadata(&self.path).is_ok_and(|metadata| ours(&metadata)) {
            // A file that cannot be removed now is a dead one, which the next server replaces.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Found {
    /// The same if a socket may be bound in its place, else why not.
    fn free(self) -> Result<Self, Refusal> {
        match self {
            Self::Nothing | Self::Dead(_) => Ok(self),
            Self::Live(holders) => Err(in_use(&holders)),
            Self::Foreign(what) => Err(Refusal {
                source: io::Error::other(format!(
                    "this is {what}, not a socket; it stays as it is"
                )),
                kind: Some(Kind::Other),
                hint: Some("choose another path".to_owned()),
            }),
        }
    }
}

/// What an address held by somebody else is refused with.
pub(super) fn in_use(holders: &[i32]) -> Refusal {
    let pids: Vec<String> = holders.iter().map(i32::to_string).collect();
    let by = match &pids[..] {
        // Another user's, or of another container.
        [] => String::new(),
        pids => format!(" (pid {})", pids.join(", ")),
    };
    Refusal {
        source: io::Error::other(format!("a live server{by} listens here")),
        kind: Some(Kind::InUse),
        hint: Some("stop it, or choose another name".to_owned()),
    }
}

fn taken_meanwhile(path: &Path) -> Refusal {
    match probe(path).map(Found::free) {
        Ok(Err(refusal)) => refusal,
        Ok(Ok(_)) | Err(_) => in_use(&[]),
    }
}

/// Gives a new socket file the mode and the owner that are asked for.
fn set_rights(file: &Path, options: &ListenOptions) -> Result<(), Refusal> {
    fs::set_permissions(file, Permissions::from_mode(options.mode))?;
    let Some(Owner { user, group }) = options.owner else {
        return Ok(());
    };
    chown(file, user, group).map_err(|error| {
        let hint = "only root may give a file to another user, and to a group only its members";
        Refusal::hinted(error, hint)
    })
}

/// Why there is no file in the directory.
fn made_nowhere(error: io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Refusal::hinted(error, "choose a directory that you may write to")
        }
        _ => error.into(),
    }
}

pub(super) fn directory_of(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new("."))
}

/// How often a turn is asked for, a [`TURN_PAUSE`] apart.
const TURN_TRIES: u32 = 100;
const TURN_PAUSE: Duration = Duration::from_millis(10);

/// Our turn in a directory, by `flock(2)` as long as the value lives: of several servers that find
/// the same dead file, one replaces it, and the next finds that one live.
///
/// A lock that somebody keeps is not about socket files: after a second we go on without it.
fn turn(directory: &Path) -> Option<File> {
    let lock = File::open(directory).ok()?;
    for _ in 0..TURN_TRIES {
        match lock.try_lock() {
            Ok(()) => return Some(lock),
            Err(TryLockError::WouldBlock) => thread::sleep(TURN_PAUSE),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// What is at `path`. A datagram socket asks: it disturbs nobody, and is told apart from whatever
/// holds the name, be it a client's own end that does not listen.
fn probe(path: &Path) -> Result<Found, Refusal> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Refusal::hinted(
                error,
                "the directories on the way must be searchable",
            ));
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(what) = foreign(&metadata) {
        return Ok(Found::Foreign(what));
    }
    let name = encode_path(path)?;
    match family::question(Family::Unix)?.connect(&name.name) {
        Ok(()) => Ok(Found::Live(Vec::new())),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Ok(Found::Dead(metadata.ino())),
            io::ErrorKind::NotFound => Ok(Found::Nothing),
            io::ErrorKind::PermissionDenied => {
                let hint =
                    "the socket file there is another user's, who may serve; choose another path";
                Err(Refusal::hinted(error, hint))
            }
            // EPROTOTYPE: a live socket of another type, as a stream socket is.
            _ => Ok(Found::Live(holders(&UnixName::Path(path.to_owned())))),
        },
    }
}

/// What a file is in words, if it is no socket.
pub(super) fn foreign(metadata: &fs::Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_socket() {
        None
    } else if kind.is_dir() {
        Some("a directory")
    } else if kind.is_symlink() {
        Some("a symbolic link")
    } else if kind.is_file() {
        Some("a regular file")
    } else {
        Some("a device or a pipe")
    }
}

/// The error alone: `tempfile` puts its temporary path before it.
fn without_path(error: io::Error) -> io::Error {
    match error.get_ref().and_then(std::error::Error::source) {
        Some(source) => source
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
            .map_or_else(
                || io::Error::new(error.kind(), source.to_string()),
                io::Error::from_raw_os_error,
            ),
        None => error,
    }
}
