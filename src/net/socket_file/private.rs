//! A private directory beside the final name of a socket file.

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

/// The number of attempts if it is removed before it is locked.
const TRIES: u32 = 100;

/// A directory that only this user can change, whoever can change its parent.
///
/// There is one for each name, locked while in use: of several servers that find the same stale
/// file one replaces it, and the others are refused at once. A user who can only read the parent
/// cannot hold the lock. The next process takes over what a killed one left.
#[derive(Debug)]
pub(super) struct Private<'a> {
    parent: &'a Directory,
    name: OsString,
    directory: Directory,
    /// Whether drop keeps its contents, which are not ours.
    stays: bool,
}

impl<'a> Private<'a> {
    /// Creates it in `parent` for the socket file `name`, or takes over that of a killed process.
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
                // Its holder has just removed it.
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
            // Without locks on the file system, only the name protects it.
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

    /// Keeps its contents on drop.
    pub(super) fn keep(&mut self) {
        self.stays = true;
    }
}

impl Drop for Private<'_> {
    fn drop(&mut self) {
        // The next process takes over what cannot be removed.
        if !self.stays {
            let _ = self.directory.remove(Self::socket());
        }
        let _ = self.parent.remove_directory(&self.name);
    }
}

/// Whether only this user can change a directory.
fn is_private(status: &FileStat) -> bool {
    // A new directory inherits the set-group-ID bit.
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

/// The error for a failed creation.
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
