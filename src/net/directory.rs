//! A directory held open: operations on names in it cannot be redirected.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::libc::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use socket2::SockAddr;

use crate::address::SUN_PATH_MAX;

/// A directory by its descriptor.
#[derive(Debug)]
pub(super) struct Directory {
    file: File,
    /// Its path, if only root and this user can redirect it.
    guarded: Option<PathBuf>,
}

/// The identity of a file, independent of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) const fn of(stat: &FileStat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

impl Directory {
    /// Opens a directory to access its entries, without read permission on it. Only a directory is
    /// opened: a FIFO would wait for its writer.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            file: open(path, flags, Mode::empty())?.into(),
            guarded: None,
        })
    }

    /// The same, and uses its path if nobody else can redirect it.
    pub(super) fn open_by_path(path: &Path) -> io::Result<Self> {
        let mut directory = Self::open(path)?;
        let own = fstat(&directory.file)?;
        let leads_here = |path: &PathBuf| {
            let found = path.metadata();
            found.is_ok_and(|found| (found.dev(), found.ino()) == (own.st_dev, own.st_ino))
        };
        let real = path.canonicalize().ok();
        directory.guarded = real.filter(|path| is_guarded(path) && leads_here(path));
        Ok(directory)
    }

    /// Opens a subdirectory, without following a symbolic link.
    pub(super) fn open_in(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(Self {
            file: openat(self, name, flags, Mode::empty())?.into(),
            guarded: self.guarded.as_ref().map(|path| path.join(name)),
        })
    }

    /// Locks a subdirectory until it is closed, see `flock(2)`.
    pub(super) fn try_lock(&self) -> Result<(), TryLockError> {
        self.file.try_lock()
    }

    /// The status of the directory itself.
    pub(super) fn own_status(&self) -> io::Result<FileStat> {
        Ok(fstat(&self.file)?)
    }

    /// The status of an entry; a symbolic link is not followed.
    pub(super) fn status(&self, name: &OsStr) -> io::Result<Option<FileStat>> {
        match fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(status) => Ok(Some(status)),
            Err(nix::Error::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The identity of an entry, if it exists.
    pub(super) fn identity(&self, name: &OsStr) -> io::Result<Option<Identity>> {
        Ok(self.status(name)?.as_ref().map(Identity::of))
    }

    /// Opens an entry with `O_PATH`, without following a symbolic link.
    pub(super) fn file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(self, name, flags, Mode::empty())?.into())
    }

    /// Removes a file.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(self, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Removes an empty subdirectory.
    pub(super) fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(self, name, UnlinkatFlags::RemoveDir)?)
    }

    /// The name of a socket in it, for `bind(2)` and `connect(2)`. These take no directory
    /// descriptor, so the name is its path, or goes through `/proc`.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is too long, and `Unsupported` if `/proc` is needed but
    /// missing.
    pub(super) fn socket_name(&self, name: &OsStr) -> io::Result<SockAddr> {
        match self.path_of(name) {
            Some(path) => SockAddr::unix(path),
            None => self.through_proc(name),
        }
    }

    /// The path of a socket in it, if nobody else can redirect it and it fits a socket's name.
    pub(super) fn path_of(&self, name: &OsStr) -> Option<PathBuf> {
        let path = self.guarded.as_ref().map(|path| path.join(name));
        path.filter(|path| path.as_os_str().len() <= SUN_PATH_MAX)
    }

    /// The same through the descriptor, whatever the path of the directory.
    pub(super) fn through_proc(&self, name: &OsStr) -> io::Result<SockAddr> {
        let directory = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        if directory.symlink_metadata().is_err() {
            let cause = "a long path, or a directory that others can replace, is reached through \
                         /proc, which is not mounted here";
            return Err(io::Error::new(io::ErrorKind::Unsupported, cause));
        }
        if name.len() > self.longest_name() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "the last part of the path has {} bytes; the limit is {} for a long path, and \
                     in a directory that others can replace",
                    name.len(),
                    self.longest_name()
                ),
            ));
        }
        SockAddr::unix(directory.join(name))
    }

    /// The maximum length of a name in it, whatever its path.
    pub(super) fn longest_name(&self) -> usize {
        let prefix = format!("/proc/self/fd/{}/", self.file.as_raw_fd());
        SUN_PATH_MAX.saturating_sub(prefix.len())
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The parent directory and the last component of a path; `None` for the path of a directory.
pub(super) fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let bytes = path.as_os_str().as_bytes();
    let (directory, name) = match bytes.iter().rposition(|&byte| byte == b'/') {
        None => (&b"."[..], bytes),
        Some(0) => (&b"/"[..], &bytes[1..]),
        Some(slash) => (&bytes[..slash], &bytes[slash + 1..]),
    };
    let is_file = !matches!(name, b"" | b"." | b"..");
    is_file.then(|| {
        (
            Path::new(OsStr::from_bytes(directory)),
            OsStr::from_bytes(name),
        )
    })
}

/// Whether only root and this user can replace a directory or its ancestors.
fn is_guarded(path: &Path) -> bool {
    let own = geteuid().as_raw();
    path.ancestors().all(|step| {
        step.metadata().is_ok_and(|directory| {
            let may_others_write = directory.mode() & 0o022 != 0;
            // In a sticky directory nobody can move another user's file, see unlink(2).
            let is_sticky = directory.mode() & 0o1000 != 0;
            [0, own].contains(&directory.uid()) && (!may_others_write || is_sticky)
        })
    })
}

/// The type of a file in words, if it is not a socket.
pub(super) fn foreign(mode: u32) -> Option<&'static str> {
    match mode & S_IFMT {
        S_IFSOCK => None,
        S_IFDIR => Some("a directory"),
        S_IFLNK => Some("a symbolic link"),
        S_IFREG => Some("a regular file"),
        _ => Some("a device or a pipe"),
    }
}
