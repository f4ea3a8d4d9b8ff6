//! The output of `relay --dump`.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc::PIPE_BUF;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sok::error::{Error, ErrorKind, Result};
use sok::service::{Dump, DumpSink, DumpStyle};

use super::standard;
use super::talk;
use super::ui::Ui;

/// Whether `word` is a file, not a style.
pub(crate) fn is_file(word: &OsStr) -> bool {
    style(word).is_none()
}

fn style(word: &OsStr) -> Option<DumpStyle> {
    match word.to_str() {
        Some("hex") => Some(DumpStyle::Hex),
        Some("text") => Some(DumpStyle::Text),
        _ => None,
    }
}

/// The dump for `word`.
pub(crate) fn dump(word: &OsStr, ui: Ui) -> Result<Dump> {
    let dump = match style(word) {
        Some(_) if ui.logs_objects() => {
            let cause = "with --json or --log json, each line on standard error must be an object";
            return Err(
                Error::because("dump", word.display(), ErrorKind::Usage, cause)
                    .with_hint("give a FILE to --dump"),
            );
        }
        Some(style) => {
            let name = "standard error".to_owned();
            Dump::start(style, name, AmongTalk::new(standard::stderr()?))
        }
        None => {
            let path = PathBuf::from(word);
            let name = path.display().to_string();
            let file = open(&path).map_err(|error| {
                let kind = match error.kind() {
                    io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                    _ => ErrorKind::Other,
                };
                Error::new("open", &name, error)
                    .with_kind(kind)
                    .with_hint("give --dump a writable file, or hex, or text")
            })?;
            Dump::start(DumpStyle::Hex, name, DumpFile { path, file })
        }
    }?;
    ui.note("--dump disables splicing: all data is copied");
    Ok(dump)
}

/// Keeps the earlier contents, and is readable only by the owner, like the socket file.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}

/// A file, or a named pipe.
struct DumpFile {
    path: PathBuf,
    file: File,
}

impl Write for DumpFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DumpSink for DumpFile {
    fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        Ok(())
    }
}

/// Standard error, shared with reports. It is locked only while a write does not block, since the
/// server threads report too.
struct AmongTalk {
    output: File,
    /// How much it takes at once without blocking, once it has room.
    takes: usize,
}

impl AmongTalk {
    fn new(output: File) -> Self {
        let unblocked = talk::unblocked(&output);
        let is_file = output.metadata().is_ok_and(|output| output.is_file());
        // As for a pipe, see pipe(7).
        let takes = if is_file { usize::MAX } else { PIPE_BUF };
        Self {
            output: unblocked.unwrap_or(output),
            takes,
        }
    }

    fn has_room(&self, patience: PollTimeout) -> io::Result<bool> {
        let mut room = [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
        Ok(poll(&mut room, patience)? > 0)
    }
}

impl Write for AmongTalk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut takes = bytes.len().min(self.takes);
        if takes < bytes.len() {
            // Whole lines, since reports may come in between.
            let newline = bytes[..takes].iter().rposition(|byte| *byte == b'\n');
            takes = newline.map_or(takes, |at| at + 1);
        }
        loop {
            let written = talk::undisturbed(|| match self.has_room(PollTimeout::ZERO)? {
                true => self.output.write(&bytes[..takes]),
                false => Err(io::ErrorKind::WouldBlock.into()),
            });
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.has_room(PollTimeout::NONE)?;
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl DumpSink for AmongTalk {
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}
