//! The standard streams: unbuffered, and blocking even if another program made them non-blocking.

use std::env;
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};

use anstream::{AutoStream, ColorChoice};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::termios::tcgetwinsize;
use sok::error::Error;

/// The standard output, unbuffered: each write is complete when it returns.
pub(crate) fn stdout() -> sok::error::Result<Standard> {
    Standard::of("standard output", io::stdout())
}

/// Flushes the output of other crates.
pub(crate) fn flush() -> io::Result<()> {
    io::stdout().flush()
}

/// Standard error, for output in pieces.
pub(crate) fn stderr() -> sok::error::Result<File> {
    Standard::of("standard error", io::stderr()).map(|standard| standard.0)
}

/// The standard input, unbuffered.
pub(crate) fn stdin() -> sok::error::Result<Standard> {
    Standard::of("standard input", io::stdin())
}

/// A standard stream. Another process that shares it may have made it non-blocking, for all: we
/// wait for it, and leave the flag.
#[derive(Debug)]
pub(crate) struct Standard(File);

impl Standard {
    fn of(name: &str, stream: impl AsFd) -> sok::error::Result<Self> {
        let opened = stream.as_fd().try_clone_to_owned();
        let opened = opened.map_err(|error| Error::new("open", name, error))?;
        Ok(Self(opened.into()))
    }

    fn blocking<T>(
        &mut self,
        ready: PollFlags,
        mut call: impl FnMut(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match call(&mut self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(self.0.as_fd(), ready)], PollTimeout::NONE)?;
                }
                done => return done,
            }
        }
    }
}

impl Read for Standard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.blocking(PollFlags::POLLIN, |file| file.read(buffer))
    }
}

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.blocking(PollFlags::POLLOUT, |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl AsFd for Standard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// An open descriptor of any kind: the standard library opens missing standard streams at the
/// start.
pub(crate) fn any_descriptor() -> impl AsFd {
    io::stderr()
}

/// Whether the standard output is a terminal.
pub(crate) fn shows_output() -> bool {
    io::stdout().is_terminal()
}

/// The columns of the standard output, if it is a terminal: `COLUMNS`, or the size of the terminal.
pub(crate) fn width() -> Option<usize> {
    columns(&io::stdout())
}

/// The same of standard error.
pub(crate) fn columns_of_errors() -> Option<usize> {
    columns(&io::stderr())
}

fn columns(stream: &(impl AsFd + IsTerminal)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let given = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let reported = || tcgetwinsize(stream).ok().map(|size| size.ws_col.into());
    let known = given.or_else(reported).filter(|columns| *columns > 0);
    Some(known.unwrap_or(80))
}

/// Whether standard error is a terminal whose current line can be replaced.
pub(crate) fn replaces_lines() -> bool {
    let is_dumb = env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    io::stderr().is_terminal() && !is_dumb
}

/// Whether the standard input is a terminal.
pub(crate) fn is_typed() -> bool {
    io::stdin().is_terminal()
}

/// What the standard input still holds, if it is a file.
pub(crate) fn left_in_file() -> Option<u64> {
    let mut input = stdin().ok()?.0;
    let file = input.metadata().ok().filter(Metadata::is_file)?;
    let at = input.stream_position().ok()?;
    file.len().checked_sub(at)
}

/// Whether the standard output shows colours, by the rules of clap for the help: `NO_COLOR`,
/// `CLICOLOR_FORCE`, `CLICOLOR`, `TERM`, and whether it is a terminal; see <https://no-color.org> and
/// <https://bixense.com/clicolors/>.
pub(crate) fn shows_colours() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

/// The same of standard error.
pub(crate) fn shows_coloured_errors() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// Whether this process has a terminal that a program can ask a person at, see `tty(4)`.
pub(crate) fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether both ends are terminals.
pub(crate) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}
