//! Where `relay --dump` shows the traffic.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc::PIPE_BUF;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::ui::{self, Ui};
use crate::error::{Error, Kind, Result};
use crate::service::{Dump, DumpStyle};

/// How long whoever reads the dump may hold up a piece of what passes.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// What somebody may read while it is written. Who takes no whole piece within [`PATIENCE`] misses
/// what comes until he reads again: the relay would stop meanwhile, and hear no signal.
struct Watched {
    output: File,
    /// How much it takes without a wait once it has room.
    takes: usize,
    is_stalled: bool,
    /// Whether the last piece was left out in its midst.
    is_cut: bool,
}

impl Watched {
    fn new(output: File) -> Self {
        let unblocked = ui::unblocked(&output);
        let is_file = output.metadata().is_ok_and(|output| output.is_file());
        let takes = match is_file || unblocked.is_some() {
            true => usize::MAX,
            // As a pipe does, see pipe(7).
            false => PIPE_BUF,
        };
        Self {
            output: unblocked.unwrap_or(output),
            takes,
            is_stalled: false,
            is_cut: false,
        }
    }

    fn write_by(&mut self, deadline: Instant, bytes: &[u8]) -> io::Result<usize> {
        let patience = deadline.saturating_duration_since(Instant::now());
        let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
        let mut room = [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
        let has_room = poll(&mut room, patience)? > 0;
        let written = match has_room {
            true => self.output.write(&bytes[..bytes.len().min(self.takes)]),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_stalled = true;
                Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads it"))
            }
            written => written,
        }
    }

    fn write_piece(&mut self, piece: &[u8]) -> io::Result<()> {
        let began = Instant::now();
        // Who has not read the last piece must have made room for the next one.
        let mut deadline = match self.is_stalled {
            true => began,
            false => began + PATIENCE,
        };
        let mut rest = piece;
        while !rest.is_empty() {
            match self.write_by(deadline, rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => (rest, deadline) = (&rest[count..], began + PATIENCE),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_cut |= rest.len() < piece.len();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        ui::alone(|| {
            if self.is_cut {
                self.write_piece(b"\n")?;
                self.is_cut = false;
            }
            self.write_piece(bytes)?;
            self.is_stalled = false;
            Ok(())
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
