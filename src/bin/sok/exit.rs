//! The exit codes, in one place.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use sok::error::{Error, ErrorKind};
use tokio::signal::unix::SignalKind;

/// An exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Failure,
    Usage,
    NoServer,
    Denied,
    InUse,
    Broken,
    Unresolved,
    TimedOut,
    CannotRun,
    NoProgram,
    /// Killed by a signal, as a shell reports it.
    Signal(u8),
    /// The exit code of a program that was run.
    Program(u8),
}

impl Exit {
    /// Killed by SIGINT, which Ctrl-C sends.
    pub(crate) const INTERRUPTED: Self = Self::Signal(2);

    /// The documented codes, in the order of the table.
    pub(crate) const ALL: [Self; 11] = [
        Self::Done,
        Self::Failure,
        Self::Usage,
        Self::NoServer,
        Self::Denied,
        Self::InUse,
        Self::Broken,
        Self::Unresolved,
        Self::TimedOut,
        Self::CannotRun,
        Self::NoProgram,
    ];

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NoServer => 3,
            Self::Denied => 4,
            Self::InUse => 5,
            Self::Broken => 6,
            Self::Unresolved => 7,
            Self::TimedOut => 124,
            Self::CannotRun => 126,
            Self::NoProgram => 127,
            Self::Signal(number) => 128_u8.saturating_add(number),
            Self::Program(code) => code,
        }
    }

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "success, and no data was lost",
            Self::Failure => "any other failure",
            Self::Usage => "usage error",
            Self::NoServer => "no server: refused, no such file, stale socket file",
            Self::Denied => "permission denied",
            Self::InUse => "address in use",
            Self::Broken => {
                "the connection broke: reset, closed with unsent data or an incomplete reply, or cut off"
            }
            Self::Unresolved => "the name did not resolve",
            Self::TimedOut => "timed out",
            Self::CannotRun => "the command to run cannot be executed",
            Self::NoProgram => "the command to run was not found",
            Self::Signal(_) => "killed by signal n",
            Self::Program(_) => "that of the program",
        }
    }

    /// Killed by `signal`.
    pub(crate) fn of_signal(signal: SignalKind) -> Self {
        Self::Signal(u8::try_from(signal.as_raw_value()).unwrap_or_default())
    }

    /// That of a program with this status, as a shell reports it.
    pub(crate) fn of_program(status: ExitStatus) -> Self {
        let number = |number: i32| u8::try_from(number).unwrap_or_default();
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Program(number(code)),
            (None, signal) => Self::Signal(number(signal.unwrap_or_default())),
        }
    }

    /// Ends the process, even while one of its threads reads the standard input.
    #[allow(clippy::exit)]
    pub(crate) fn leave(self) -> ! {
        std::process::exit(self.code().into())
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error.kind() {
            // The reader of our output has seen enough.
            ErrorKind::OutputClosed => Self::Done,
            ErrorKind::Usage => Self::Usage,
            ErrorKind::NoServer => Self::NoServer,
            ErrorKind::Denied => Self::Denied,
            ErrorKind::InUse => Self::InUse,
            ErrorKind::Broken => Self::Broken,
            ErrorKind::Unresolved => Self::Unresolved,
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::CannotRun => Self::CannotRun,
            ErrorKind::NoProgram => Self::NoProgram,
            _ => Self::Failure,
        }
    }
}

/// The table of all codes, as `--help` shows it.
pub(crate) struct Table;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for exit in Exit::ALL {
            writeln!(f, "  {:<5} {}", exit.code(), exit.meaning())?;
        }
        write!(f, "  {:<5} {}", "128+n", Exit::Signal(0).meaning())
    }
}
