//! The file of `--announce`: the addresses of a server while clients can connect.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sok::error::{Error, ErrorKind, Result};
use tempfile::{Builder, NamedTempFile};

/// A file that is not published yet, in the directory of its path.
#[derive(Debug)]
pub(crate) struct Announcement {
    path: PathBuf,
    file: NamedTempFile,
}

impl Announcement {
    /// Creates the file.
    ///
    /// # Errors
    /// If it cannot be created, or if `path` is anything that is no regular file: it would be replaced.
    pub(crate) fn prepare(path: &Path) -> Result<Self> {
        if let Ok(found) = fs::symlink_metadata(path)
            && !found.is_file()
        {
            let cause = "this is not a regular file, and would be replaced";
            let error = Error::because("announce", path.display(), ErrorKind::Usage, cause);
            return Err(error.with_hint("give the path of a regular file, or of none"));
        }
        let directory = match path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory,
            _ => Path::new("."),
        };
        // As for every file: the umask says who may read it.
        let readable = Permissions::from_mode(0o666);
        let mut named = Builder::new();
        let made = named.prefix(".sok-announce-").permissions(readable);
        // Without the path of the temporary file.
        let file = made.tempfile_in(directory).map_err(|error| {
            failed(path, error.kind().into())
                .with_hint("give a path in a directory that exists and is writable")
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Writes the file, and gives it its name.
    pub(crate) fn publish(mut self, content: &str) -> Result<Announced> {
        let written = self.file.write_all(content.as_bytes());
        written.map_err(|error| failed(&self.path, error))?;
        let path = self.path;
        let published = self.file.persist(&path);
        let published = published.map_err(|error| failed(&path, error.error))?;
        let of = published.metadata().map_err(|error| failed(&path, error))?;
        Ok(Announced {
            path,
            identity: (of.dev(), of.ino()),
        })
    }
}

/// A published file, removed on drop if no other one has replaced it.
#[derive(Debug)]
pub(crate) struct Announced {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for Announced {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            // A file that stays names a server that has gone, as after a kill.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A missing directory is not a missing server.
fn failed(path: &Path, error: io::Error) -> Error {
    let error = Error::new("announce", path.display(), error);
    match error.kind() {
        ErrorKind::Denied => error,
        _ => error.with_kind(ErrorKind::Other),
    }
}
