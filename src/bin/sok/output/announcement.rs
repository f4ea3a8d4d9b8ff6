//! The file of `--announce`: the addresses of a server while clients can connect.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use sok::address::Address;
use sok::error::{Error, ErrorKind, Result};
use tempfile::Builder;

use super::result_file::file_error;

/// No file of addresses is larger.
const MOST: u64 = 1 << 20;

/// A file that is not published yet.
#[derive(Debug)]
pub(crate) struct Announcement {
    path: PathBuf,
}

impl Announcement {
    /// Checks that the file can be created, and that it replaces nothing but what a server has announced.
    /// Nothing is created yet: a signal may still end the process at once.
    ///
    /// # Errors
    /// If its directory is missing or cannot be written to, or if anything would be replaced.
    pub(crate) fn prepare(path: &Path) -> Result<Self> {
        find_replaced(path)?;
        // The error of a path that is no directory, too.
        let directory = directory(path).join(".");
        let access = AccessFlags::W_OK | AccessFlags::X_OK;
        let writable = faccessat(AT_FDCWD, &directory, access, AtFlags::AT_EACCESS);
        writable.map_err(|error| not_created(path, error.into()))?;
        let path = path.to_owned();
        Ok(Self { path })
    }

    /// Writes the file, and gives it its name.
    pub(crate) fn publish(self, content: &str) -> Result<Announced> {
        let path = self.path;
        // The error itself, without the path of the temporary file.
        let mut number = None;
        let create = |temporary: &Path| {
            // As for every file: the umask says who may read it.
            let created = File::create_new(temporary);
            number = created.as_ref().err().and_then(io::Error::raw_os_error);
            created
        };
        // It is removed on every error.
        let made = Builder::new()
            .prefix(".sok-announce-")
            .make_in(directory(&path), create);
        let file = made.map_err(|error| {
            let error = number.map_or(error, io::Error::from_raw_os_error);
            not_created(&path, error)
        })?;
        let written = file.as_file().write_all(content.as_bytes());
        written.map_err(|error| failed(&path, error))?;
        // The server's socket may have this path by now.
        let published = match find_replaced(&path)? {
            None => file.persist_noclobber(&path),
            Some(_) => file.persist(&path),
        };
        let file = published.map_err(|error| failed(&path, error.error))?;
        Ok(Announced { path, file })
    }
}

/// A published file, removed on drop if no other one has replaced it.
#[derive(Debug)]
pub(crate) struct Announced {
    path: PathBuf,
    /// While it is open, no other file has its number.
    file: File,
}

impl Drop for Announced {
    fn drop(&mut self) {
        let number = |of: Metadata| (of.dev(), of.ino());
        let own = self.file.metadata().map(number).ok();
        if own.is_some() && own == fs::symlink_metadata(&self.path).map(number).ok() {
            // A file that stays names a server that has gone, as after a kill.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Finds the file that would be replaced, if there is one.
///
/// # Errors
/// If it is no regular file, or one of something other than addresses.
fn find_replaced(path: &Path) -> Result<Option<Metadata>> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(None);
    };
    let refused = |cause| {
        let error = Error::because("announce", path.display(), ErrorKind::Usage, cause);
        Err(error.with_hint("give the path of a file that does not exist yet"))
    };
    if !found.is_file() {
        return refused("this is not a regular file, and would be replaced");
    }
    let mut content = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut content));
    let is_address = |line: &str| {
        let address = line.parse::<Address>();
        address.is_ok_and(|address| address.to_string() == line)
    };
    match read.is_ok() && found.len() < MOST && content.lines().all(is_address) {
        true => Ok(Some(found)),
        false => refused("this file has something other than addresses, and would be replaced"),
    }
}

/// The directory of a file.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

fn not_created(path: &Path, error: io::Error) -> Error {
    failed(path, error).with_hint("give a path in a directory that exists and is writable")
}

fn failed(path: &Path, error: io::Error) -> Error {
    file_error("announce", path, error)
}
