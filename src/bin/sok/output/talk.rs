//! Lines on standard error; a server leaves out lines that are not read.
#![allow(clippy::print_stderr)]

use std::fs::File;
use std::io::{self, StderrLock, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{getpgrp, tcgetpgrp};

use super::json::object;

/// The output of a server. It leaves out lines that are not read instead of blocking: while
/// blocked, it would neither serve nor handle signals.
#[derive(Debug)]
struct WithoutBlocking {
    json: bool,
    /// Standard error, if it can be written without blocking. It is opened with the first line: a
    /// server may first close inherited descriptors.
    unblocked: OnceLock<Option<File>>,
}

static SERVER: OnceLock<WithoutBlocking> = OnceLock::new();
/// The lines that were left out since the last note.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
/// Whether the last line was left out partially.
static CUT: AtomicBool = AtomicBool::new(false);

/// Whether the current line of the terminal is a [`ReplacedLine`].
static REPLACED: AtomicBool = AtomicBool::new(false);
/// Erases it.
const ERASE: &str = "\r\x1b[K";

/// Writes one line to standard error, in one write, since other processes may share it; a terminal
/// that is gone is not an error.
pub(crate) fn talk(line: String) {
    let mut stderr = io::stderr().lock();
    let mut text = erased().to_owned();
    let Some(server) = SERVER.get() else {
        let _ = stderr.write_all((text + &line + "\n").as_bytes());
        return;
    };
    let left_out = LEFT_OUT.swap(0, Ordering::Relaxed);
    if CUT.swap(false, Ordering::Relaxed) {
        text.push('\n');
    }
    if left_out > 0 {
        let note = format!("lines left out because nothing read them: {left_out}");
        text += &(noted(server.json, &note) + "\n");
    }
    text += &(line + "\n");
    if !server.write(&mut stderr, text.as_bytes()) {
        LEFT_OUT.fetch_add(left_out + 1, Ordering::Relaxed);
    }
}

impl WithoutBlocking {
    /// Writes all of it, or fails if it would block.
    fn write(&self, stderr: &mut StderrLock<'_>, bytes: &[u8]) -> bool {
        let reopened = self.unblocked.get_or_init(|| unblocked(&io::stderr()));
        if let Some(mut output) = reopened.as_ref() {
            let count = output.write(bytes).unwrap_or_default();
            CUT.store((1..bytes.len()).contains(&count), Ordering::Relaxed);
            return count == bytes.len();
        }
        // A pipe with room takes `PIPE_BUF` bytes at once, see pipe(7): a line, except for a long
        // list.
        has_room(stderr) && stderr.write_all(bytes).is_ok()
    }
}

/// Whether a short write to `stderr` would not block.
fn has_room(stderr: &StderrLock<'_>) -> bool {
    let mut room = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    poll(&mut room, PollTimeout::ZERO) != Ok(0)
}

/// A terminal or a pipe, opened again for writing without blocking. Otherwise a terminal with
/// little room would block; and the flag must not be set for all processes that share it.
pub(crate) fn unblocked(output: &impl AsFd) -> Option<File> {
    let path = format!("/proc/self/fd/{}", output.as_fd().as_raw_fd());
    let kind = std::fs::metadata(&path).ok()?.file_type();
    if !kind.is_char_device() && !kind.is_fifo() {
        return None;
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut options = File::options();
    options.write(true).custom_flags(flags).open(path).ok()
}

/// Prints a message for a user at the prompt.
pub(crate) fn tell(line: &str) {
    talk(format!("sok: {line}"));
}

/// From now on, this process prints as a server.
pub(crate) fn as_server(json: bool) {
    let unblocked = OnceLock::new();
    // Only the first call in a process has an effect.
    let _ = SERVER.set(WithoutBlocking { json, unblocked });
}

/// A note as a line, or as an object.
pub(crate) fn noted(json: bool, text: &str) -> String {
    match json {
        true => object(serde_json::json!({ "event": "note", "message": text })),
        false => format!("sok: {text}"),
    }
}

/// Writes the prompt of a conversation whose input is not a terminal.
pub(crate) fn prompt(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}

/// What erases the [`ReplacedLine`] of the terminal, if there is one.
fn erased() -> &'static str {
    match REPLACED.swap(false, Ordering::Relaxed) {
        true => ERASE,
        false => "",
    }
}

/// A line of standard error that is replaced again and again; other lines erase it. What would block
/// is left out. It is erased at the end.
#[derive(Debug)]
pub(crate) struct ReplacedLine(Option<File>);

impl ReplacedLine {
    pub(crate) fn new() -> Self {
        Self(unblocked(&io::stderr()))
    }

    /// Whether it is on the terminal now.
    #[allow(clippy::unused_self)]
    pub(crate) fn is_shown(&self) -> bool {
        REPLACED.load(Ordering::Relaxed)
    }

    /// Replaces it with `text`, which must not be wider than the terminal. A program in the background
    /// would write into the line of the shell.
    pub(crate) fn show(&mut self, text: &str) {
        let stderr = io::stderr().lock();
        if is_in_foreground(&stderr) {
            REPLACED.store(true, Ordering::Relaxed);
            self.write(stderr, &format!("{ERASE}{text}"));
        }
    }

    /// Erases it.
    pub(crate) fn clear(&mut self) {
        let stderr = io::stderr().lock();
        self.write(stderr, erased());
    }

    /// Leaves it on the terminal; what follows begins a new line.
    pub(crate) fn leave(&mut self) {
        let stderr = io::stderr().lock();
        if REPLACED.swap(false, Ordering::Relaxed) {
            self.write(stderr, "\n");
        }
    }

    fn write(&mut self, mut stderr: StderrLock<'_>, text: &str) {
        let _ = match &mut self.0 {
            Some(unblocked) => unblocked.write_all(text.as_bytes()),
            None if has_room(&stderr) => stderr.write_all(text.as_bytes()),
            None => Ok(()),
        };
    }
}

impl Drop for ReplacedLine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Whether this process may write to the terminal on standard error: it is in the foreground, or
/// there is no such terminal.
fn is_in_foreground(stderr: &StderrLock<'_>) -> bool {
    tcgetpgrp(stderr).map_or(true, |group| group == getpgrp())
}

/// Writes to standard error, with no other line in between.
pub(crate) fn undisturbed<T>(write: impl FnOnce() -> T) -> T {
    let _turn = io::stderr().lock();
    write()
}
