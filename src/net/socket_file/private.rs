//! A directory of our own beside the name that a socket file is to get.

use std::ffi::{OsStr, OsString};
use std::fs::TryLockError;
use std::io;
use std::path::Path;

use nix::libc::S_ISGID;
use nix::sys::stat::{FileStat, Mode, mkdirat};
use nix::unistd::geteuid;

use super::probe::{Found, probe};
use crate::error::ErrorKind;
use crate::net::directory::{Directory, Identity};
use crate::net::faults::Refusal;

/// The name in it of the socket to be published.
const SOCKET: &str = "s";

/// How often it is made again if it has gone by the time that it is locked.
const TRIES: u32 = 100;

/// A directory that only we can change, however the one it is in is changed.
///
/// There is one for each name, locked as long as it is used: of several servers that find the same
/// dead file one replaces it, and the others are refused at once. Nobody who may only read the
/// directory can hold the lock. What a killed process leaves of it, the next one takes over.
#[derive(Debug)]
pub(super) struct Private<'a> {
    parent: &'a Directory,
    name: OsString,
    directory: Directory,
    /// Whether what is in it is not ours to remove.
    stays: bool,
}

impl<'a> Private<'a> {
    /// Makes it in `parent` for a socket file `name`, or takes over what a killed process left.
    pub(super) fn beside(parent: &'a Directory, name: &OsStr) -> Result<Self, Refusal> {
        let mut own = OsString::from(".sok-");
        own.push(name);
        for _ in 0..TRIES {
            match mkdirat(parent, own.as_os_str(), Mode::S_IRWXU) {
                Ok(()) | Err(nix::Error::EEXIST) => {}
                Err(errno) => return Err(made_nowhere(errno.into())),
            }
            let directory = match parent.open_in(&own) {
                Ok(directory) => directory,
                // Whoever had it is done with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if is_short(&error) => {
                    let _ = parent.remove_directory(&own);
                    return Err(error.into());
                }
                Err(_) => return Err(in_the_way(&own)),
            };
            let status = directory.own_status()?;
            if !is_private(&status) {
                return Err(in_the_way(&own));
            }
            // A file system without locks has only the names.
            if let Err(TryLockError::WouldBlock) = directory.try_lock() {
                return Err(starting());
            }
            if parent.identity(&own)? == Some(Identity::of(&status)) {
                let private = Self {
                    parent,
                    name: own,
                    directory,
                    stays: true,
                };
                return private.emptied();
            }
        }
        Err(in_the_way(&own))
    }

    /// Removes the socket that a killed process left in it.
    fn emptied(mut self) -> Result<Self, Refusal> {
        match probe(&self.directory, Self::socket(), Path::new(&self.name))? {
            Found::Nothing => {}
            Found::Dead(_) => self.directory.remove(Self::socket())?,
            Found::Live(_) | Found::NotASocket(_) => return Err(in_the_way(&self.name)),
        }
        self.stays = false;
        Ok(self)
    }

    /// The name in it of the socket to be published.
    pub(super) fn socket() -> &'static OsStr {
        OsStr::new(SOCKET)
    }

    pub(super) const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Leaves what is in it.
    pub(super) fn keep(&mut self) {
        self.stays = true;
    }
}

impl Drop for Private<'_> {
    fn drop(&mut self) {
        // What cannot be removed now, the next one takes over.
        if !self.stays {
            let _ = self.directory.remove(Self::socket());
        }
        let _ = self.parent.remove_directory(&self.name);
    }
}

/// Whether nobody but us can change a directory.
fn is_private(status: &FileStat) -> bool {
    // In a set-group-ID directory each new one is one too.
    let mode = status.st_mode & 0o7777 & !S_ISGID;
    status.st_uid == geteuid().as_raw() && mode == Mode::S_IRWXU.bits()
}

/// Whether it is we who have no room for one more open file.
fn is_short(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(nix::Error::from_raw);
    matches!(
        errno,
        Some(nix::Error::EMFILE | nix::Error::ENFILE | nix::Error::ENOMEM)
    )
}

/// The failure to make it.
fn made_nowhere(error: io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Refusal::hinted(error, "choose a directory that you may write to")
        }
        io::ErrorKind::ReadOnlyFilesystem => Refusal::hinted(error, "choose a writable directory"),
        _ => error.into(),
    }
}

fn starting() -> Refusal {
    let cause = "another process is binding this address";
    Refusal::told(ErrorKind::InUse, cause, "try again, or choose another name")
}

fn in_the_way(name: &OsStr) -> Refusal {
    let cause = format!(
        "{} exists and is not an empty directory of this user with mode 700",
        name.display()
    );
    let hint = "remove it, or choose a directory that only you may write to";
    Refusal::told(ErrorKind::Denied, cause, hint)
}
