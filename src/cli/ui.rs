//! All that the program prints: data to standard output, talk to standard error.
#![allow(clippy::print_stderr)]

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal, Read, StderrLock, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::termios::tcgetwinsize;
use serde::Serialize;
use serde_json::Value;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use super::args::Talk;
use super::exit::Exit;
use super::json::{object, visible};
use super::reports::Reports;
use super::table::{BAR, bar};
use crate::client::output_error;
use crate::error::{Error, Kind};
use crate::loops::{Connection, Traffic};
use crate::measure::Progress;
use crate::net::{CALL_TARGET, Credentials, Listener, Peer};
use crate::service::{Register, Totals};

/// How the program talks, as its options say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    quiet: bool,
    json: bool,
}

impl Ui {
    /// Sets up what is reported; `warnings` for a command that goes on after a failure.
    pub(crate) fn new(talk: &Talk, warnings: bool) -> Self {
        let ui = Self {
            quiet: talk.quiet,
            json: talk.json,
        };
        let level = match (talk.quiet, talk.verbose) {
            (true, _) => LevelFilter::OFF,
            (_, true) => LevelFilter::INFO,
            (_, false) if warnings => LevelFilter::WARN,
            (_, false) => LevelFilter::OFF,
        };
        let calls = if talk.trace {
            LevelFilter::TRACE
        } else {
            LevelFilter::OFF
        };
        if warnings {
            // Only the first set-up in one process holds, of the reports too.
            let unblocked = OnceLock::new();
            let _ = SERVER.set(Server { ui, unblocked });
        }
        if level != LevelFilter::OFF || talk.trace {
            let targets = Targets::new()
                .with_target("sok", level)
                .with_target(CALL_TARGET, calls);
            let reports =
                tracing_subscriber::registry().with(Reports::new(talk.json).with_filter(targets));
            let _ = tracing::subscriber::set_global_default(reports);
        }
        ui
    }

    /// Whether results are asked for as objects.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// The progress of a measurement, shown where a person watches.
    pub(crate) fn progress(self) -> ProgressLine {
        let watched = !self.quiet && !self.json && io::stderr().is_terminal();
        ProgressLine(watched.then(Instant::now))
    }

    /// Says that clients can connect now.
    pub(crate) fn listening(self, listener: &Listener) {
        if self.quiet {
            return;
        }
        let address = listener.local();
        if self.json {
            let family = address.family().name();
            let event = serde_json::json!({
                "event": "listening", "address": address.to_string(), "family": family,
                "also": listener.also_takes().map(|family| family.name()),
            });
            return talk(object(event));
        }
        match listener.also_takes() {
            Some(family) => talk(format!("listening on {address} (dual-stack: {family} too)")),
            None => talk(format!("listening on {address}")),
        }
    }

    /// Tells something that is worth knowing, unless nothing is to be told.
    pub(crate) fn note(self, text: &str) {
        if self.quiet {
            return;
        }
        talk(self.noted(text));
    }

    fn noted(self, text: &str) -> String {
        match self.json {
            true => object(serde_json::json!({ "event": "note", "message": text })),
            false => format!("sok: {text}"),
        }
    }

    /// Prints the totals and the open connections, which somebody asked for.
    pub(crate) fn register(self, register: &Register) {
        let (totals, open) = register.snapshot();
        let Totals {
            connections,
            failed,
            traffic,
        } = totals;
        if self.json {
            let open: Vec<_> = open.iter().map(|connection| describe(connection)).collect();
            let event = serde_json::json!({
                "event": "totals", "connections": connections, "failed": failed,
                "received": traffic.received, "sent": traffic.sent, "open": open,
            });
            return talk(object(event));
        }
        talk(format!(
            "sok: totals connections={connections} open={} failed={failed} received={} sent={}",
            open.len(),
            traffic.received,
            traffic.sent
        ));
        for connection in open {
            let Traffic { received, sent } = connection.traffic();
            let to = connection
                .forwarded_to()
                .map_or_else(String::new, |to| format!(" forwarded_to={to}"));
            let named = |Credentials { pid, uid, gid }| format!(" pid={pid} uid={uid} gid={gid}");
            let Peer {
                address,
                credentials,
            } = connection.peer();
            let process = credentials.map_or_else(String::new, named);
            talk(format!(
                "sok: open connection={} peer={address}{process}{to} received={received} sent={sent} seconds={:.3}",
                connection.id(),
                connection.age().as_secs_f64()
            ));
        }
    }

    /// Prints the result of a command to standard output: one JSON object, or `text`.
    pub(crate) fn result(
        self,
        result: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> crate::error::Result<()> {
        let printed = match self.json {
            true => {
                visible(&serde_json::to_string(result).map_err(|e| output_error(e.into()))?) + "\n"
            }
            false => text(),
        };
        stdout()?
            .write_all(printed.as_bytes())
            .map_err(output_error)
    }

    /// Prints an error, unless it says that nobody reads the output any more.
    pub(crate) fn failed(self, error: &Error) {
        if error.kind() == Kind::OutputClosed {
            return;
        }
        if self.json {
            let event = serde_json::json!({
                "event": "error", "operation": error.operation(), "address": error.address(),
                "cause": error.cause(), "hint": error.hint(), "exit": Exit::from(error).code(),
            });
            return talk(object(event));
        }
        talk(format!("sok: {error}"));
    }
}

/// How far a measurement is, on a line that goes when it is done; since when, if it is shown.
///
/// It is ours, as the crates for it estimate with powers: to load the library of mathematics is a
/// tenth of the time of a whole `sok call`.
pub(crate) struct ProgressLine(Option<Instant>);

impl ProgressLine {
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn show(&mut self, now: Progress<'_>) {
        let Some(began) = self.0 else { return };
        let share = now.done as f64 / now.all.max(1) as f64;
        let left = match now.done {
            0 => String::new(),
            _ => format!(
                ", {:.0}s left",
                began.elapsed().as_secs_f64() * (1.0 - share) / share
            ),
        };
        let (bar, percent) = (bar(share, 1.0), share * 100.0);
        let what = format!("{} over {}{left}", now.measure, now.address.family());
        same_line(&format!("{bar:BAR$} {percent:3.0}%  {what}"));
    }

    pub(crate) fn clear(&mut self) {
        if self.0.take().is_some() {
            same_line("");
        }
    }
}

/// Puts `text` in place of what stands on the terminal's line.
fn same_line(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
}

/// An open connection in JSON.
fn describe(connection: &Connection) -> Value {
    let (Traffic { received, sent }, process) =
        (connection.traffic(), connection.peer().credentials);
    serde_json::json!({
        "connection": connection.id(), "peer": connection.peer().address.to_string(),
        "pid": process.map(|p| p.pid), "uid": process.map(|p| p.uid), "gid": process.map(|p| p.gid),
        "forwarded_to": connection.forwarded_to().map(ToString::to_string),
        "received": received, "sent": sent,
        "seconds": connection.age().as_secs_f64(),
    })
}

/// How a server talks. It leaves out what nobody reads, in place of waiting until somebody does: it
/// would stop serving meanwhile, and hear no signal.
#[derive(Debug)]
struct Server {
    ui: Ui,
    /// Standard error, if a write to it need not wait. It is opened with the first line: a server
    /// may first close what it has inherited.
    unblocked: OnceLock<Option<File>>,
}

static SERVER: OnceLock<Server> = OnceLock::new();
/// The lines that were left out and not yet told of.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
/// Whether the last line was left out in its midst.
static CUT: AtomicBool = AtomicBool::new(false);

/// One line to standard error, in one write, as others may share what that is; a terminal that is
/// gone is no reason to fail.
pub(super) fn talk(line: String) {
    let mut stderr = io::stderr().lock();
    let Some(server) = SERVER.get() else {
        let _ = stderr.write_all((line + "\n").as_bytes());
        return;
    };
    let left_out = LEFT_OUT.swap(0, Ordering::Relaxed);
    let mut text = String::new();
    if CUT.swap(false, Ordering::Relaxed) {
        text.push('\n');
    }
    if left_out > 0 {
        let note = format!("lines left out, as nobody read them: {left_out}");
        text += &(server.ui.noted(&note) + "\n");
    }
    text += &(line + "\n");
    if !server.write(&mut stderr, text.as_bytes()) {
        LEFT_OUT.fetch_add(left_out + 1, Ordering::Relaxed);
    }
}

impl Server {
    /// Writes all of it, or says that somebody would have to read first.
    fn write(&self, stderr: &mut StderrLock<'_>, bytes: &[u8]) -> bool {
        let anew = self.unblocked.get_or_init(|| unblocked(&io::stderr()));
        if let Some(mut output) = anew.as_ref() {
            let count = output.write(bytes).unwrap_or_default();
            CUT.store((1..bytes.len()).contains(&count), Ordering::Relaxed);
            return count == bytes.len();
        }
        // A pipe with room takes `PIPE_BUF` bytes at once, see pipe(7): a line, but for a long list.
        let mut room = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        let has_room = poll(&mut room, PollTimeout::ZERO) != Ok(0);
        has_room && stderr.write_all(bytes).is_ok()
    }
}

/// A terminal or a pipe, opened anew so that a write to it need not wait. A terminal that has room
/// for a little would else wait for the rest; and the flag is not set for all who share it.
pub(super) fn unblocked(output: &impl AsFd) -> Option<File> {
    let path = format!("/proc/self/fd/{}", output.as_fd().as_raw_fd());
    let kind = std::fs::metadata(&path).ok()?.file_type();
    if !kind.is_char_device() && !kind.is_fifo() {
        return None;
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut options = File::options();
    options.write(true).custom_flags(flags).open(path).ok()
}

/// Tells a person at the prompt something.
pub(crate) fn tell(line: &str) {
    talk(format!("sok: {line}"));
}

/// Writes the prompt of a conversation whose input is no terminal.
pub(crate) fn prompt(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}

/// The standard output, unbuffered: what is written to it is there.
pub(crate) fn stdout() -> crate::error::Result<Standard> {
    Standard::of("standard output", io::stdout())
}

/// Writes what another crate has printed and is not written yet.
pub(crate) fn flush() -> io::Result<()> {
    io::stdout().flush()
}

/// Standard error, for what comes in pieces.
pub(crate) fn stderr() -> crate::error::Result<File> {
    Standard::of("standard error", io::stderr()).map(|standard| standard.0)
}

/// Writes to standard error with no line of talk in between.
pub(crate) fn alone<T>(write: impl FnOnce() -> T) -> T {
    let _turn = io::stderr().lock();
    write()
}

/// The standard input, unbuffered.
pub(crate) fn stdin() -> crate::error::Result<Standard> {
    Standard::of("standard input", io::stdin())
}

/// A standard stream. Whoever shares it may have made it non-blocking, which holds for all who
/// do: it is waited for, and left as it is.
#[derive(Debug)]
pub(crate) struct Standard(File);

impl Standard {
    fn of(name: &str, stream: impl AsFd) -> crate::error::Result<Self> {
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

/// An open descriptor, whatever it is of: the standard library opens the standard streams that a
/// process was started without.
pub(super) fn any_descriptor() -> impl AsFd {
    io::stderr()
}

/// Whether the standard output is a terminal.
pub(crate) fn shows_output() -> bool {
    io::stdout().is_terminal()
}

/// How many columns the standard output has, if it is a terminal: `COLUMNS`, or what the terminal
/// says.
pub(crate) fn width() -> Option<usize> {
    if !shows_output() {
        return None;
    }
    let given = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let told = || {
        tcgetwinsize(io::stdout())
            .ok()
            .map(|size| size.ws_col.into())
    };
    let known = given.or_else(told).filter(|columns| *columns > 0);
    Some(known.unwrap_or(80))
}

/// Whether the standard output is a terminal that shows colours, and nobody has switched them off;
/// see <https://no-color.org>.
pub(crate) fn shows_colours() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
    shows_output() && !is_set("NO_COLOR") && !is_dumb
}

/// Whether a person sits at both ends.
pub(crate) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}
