//! The result files, opened before the measurement.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use sok::error::{Error, ErrorKind, Result};

/// A file to write; if it was created and nothing was written, it is removed on drop.
#[derive(Debug)]
pub(crate) struct ResultFile {
    path: PathBuf,
    file: File,
    made: bool,
}

impl ResultFile {
    /// Opens `path` and keeps its contents.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let made = OpenOptions::new().write(true).create_new(true).open(path);
        let opened = match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // The target of a link, which may not exist, is not ours to remove.
                let there = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(path);
                there.map(|file| (file, false))
            }
            made => made.map(|file| (file, true)),
        };
        match opened {
            Ok((file, made)) => Ok(Self {
                path: path.to_owned(),
                file,
                made,
            }),
            Err(error) => {
                let hint = "give a writable file in a directory that exists";
                Err(write_error(path, error).with_hint(hint))
            }
        }
    }

    /// Replaces its contents.
    pub(crate) fn write(mut self, content: &[u8]) -> Result<()> {
        let replace = |file: &mut File| -> io::Result<()> {
            // A device has no length and cannot seek.
            if file.metadata()?.is_file() {
                file.set_len(0)?;
                file.rewind()?;
            }
            file.write_all(content)
        };
        replace(&mut self.file).map_err(|error| write_error(&self.path, error))?;
        self.made = false;
        Ok(())
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        if self.made {
            // It is empty; leaving it does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn write_error(path: &Path, error: io::Error) -> Error {
    file_error("write", path, error)
}

/// The error of a file to write: a missing directory is not a missing server.
pub(super) fn file_error(operation: &'static str, path: &Path, error: io::Error) -> Error {
    let error = Error::new(operation, path.display(), error);
    match error.kind() {
        ErrorKind::Denied => error,
        _ => error.with_kind(ErrorKind::Other),
    }
}
