//! Where `relay --dump` shows the traffic.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc::PIPE_BUF;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::ui::{self, Ui};
use crate::error::{Error, Kind, Result};
use crate::service::{Dump, DumpStyle};

/// How long whoever reads the dump may hold up what passes, in milliseconds.
const PATIENCE: u16 = 1000;

/// The dump that `word` asks for: a style, or a file.
pub(super) fn dump(word: &OsStr, talks_json: bool, ui: Ui) -> Result<Dump> {
    let style = match word.to_str() {
        Some("hex") => Some(DumpStyle::Hex),
        Some("text") => Some(DumpStyle::Text),
        _ => None,
    };
    let dump = match style {
        Some(_) if talks_json => {
            let cause = "with --json each line on standard error is an object";
            return Err(Error::because("dump", word.display(), Kind::Usage, cause)
                .with_hint("give a FILE to --dump"));
        }
        Some(style) => {
            let name = "standard error".to_owned();
            Dump::new(style, name, Watched::new(ui::stderr()?))
        }
        None => {
            let name = Path::new(word).display().to_string();
            // What an earlier relay has shown stays.
            let mut options = OpenOptions::new();
            // What passes is for nobody else, as the socket file is not.
            let opened = options.append(true).create(true).mode(0o600).open(word);
            let opened = opened.map_err(|error| {
                let kind = match error.kind() {
                    io::ErrorKind::PermissionDenied => Kind::Denied,
                    _ => Kind::Other,
                };
                Error::new("open", &name, error)
                    .with_kind(kind)
                    .with_hint("give --dump a file that may be written to, or hex, or text")
            })?;
            Dump::new(DumpStyle::Hex, name, Watched::new(opened))
        }
    };
    ui.note("the traffic is shown, so all of it is copied");
    Ok(dump)
}

/// What somebody may read while it is written. Who does not for [`PATIENCE`] misses what is written
/// until he reads again: the relay would stop meanwhile, and hear no signal.
struct Watched<T> {
    output: T,
    is_stalled: bool,
}

impl<T> Watched<T> {
    const fn new(output: T) -> Self {
        let is_stalled = false;
        Self { output, is_stalled }
    }
}

impl<T: Write + AsFd> Write for Watched<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let patience = if self.is_stalled { 0 } else { PATIENCE };
        let mut room = [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
        self.is_stalled = poll(&mut room, PollTimeout::from(patience))? == 0;
        if self.is_stalled {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads it"));
        }
        // A pipe with room takes so many at once, see pipe(7).
        self.output.write(&bytes[..bytes.len().min(PIPE_BUF)])
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        ui::alone(|| {
            while !bytes.is_empty() {
                match self.write(bytes) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(count) => bytes = &bytes[count..],
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
