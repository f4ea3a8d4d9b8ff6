//! Errors: operation, address, cause, and hint.

use std::fmt::{self, Write};
use std::io;

use crate::escape::{escape, is_visible};

/// The result of every fallible call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of an error, which determines the program's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request can never work (a port of 99999).
    Usage,
    /// No server: refused, no such file, a stale socket file.
    NoServer,
    /// Permission denied.
    Denied,
    /// The address is in use by a live socket.
    InUse,
    /// The connection broke: reset, or closed with data unsent or a reply incomplete.
    Broken,
    /// The name did not resolve.
    Unresolved,
    /// A time limit expired.
    TimedOut,
    /// A program to run cannot be executed.
    CannotRun,
    /// A program to run was not found.
    NoProgram,
    /// The reader of our output has closed it.
    OutputClosed,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// The kind of an operating system error, unless the family overrides it.
    fn of(source: &io::Error) -> Self {
        use io::ErrorKind as E;
        match source.kind() {
            E::ConnectionRefused | E::NotFound => Self::NoServer,
            E::PermissionDenied => Self::Denied,
            E::AddrInUse => Self::InUse,
            E::ConnectionReset | E::ConnectionAborted | E::BrokenPipe | E::UnexpectedEof => {
                Self::Broken
            }
            E::TimedOut => Self::TimedOut,
            E::InvalidInput if source.raw_os_error().is_none() => Self::Usage,
            _ => Self::Other,
        }
    }
}

/// An error, displayed on one line as `operation address: cause; hint`, with control and invisible
/// characters written as `\xNN`.
///
/// ```
/// use sok::{Address, Error};
/// let address: Address = "unix:/run/x.sock".parse()?;
/// let refused = std::io::Error::from_raw_os_error(111);
/// let error = Error::new("connect", &address, refused).with_hint("start the server");
/// assert_eq!(
///     error.to_string(),
///     "connect unix:/run/x.sock: Connection refused; start the server"
/// );
/// # Ok::<(), Error>(())
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    operation: &'static str,
    address: String,
    kind: ErrorKind,
    source: io::Error,
    hint: Option<String>,
}

impl Error {
    /// `operation` on `address` failed with `source`, which determines the [`ErrorKind`].
    pub fn new(
        operation: &'static str,
        address: impl fmt::Display,
        source: impl Into<io::Error>,
    ) -> Self {
        let source = source.into();
        Self(Box::new(Inner {
            operation,
            address: address.to_string(),
            kind: ErrorKind::of(&source),
            hint: limit_hint(&source).map(str::to_owned),
            source,
        }))
    }

    /// An error found by this crate, described by `cause`.
    pub fn because(
        operation: &'static str,
        address: impl fmt::Display,
        kind: ErrorKind,
        cause: impl Into<String>,
    ) -> Self {
        Self::new(operation, address, io::Error::other(cause.into())).with_kind(kind)
    }

    /// The same error with another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same error with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The cause as an error of the standard library.
    #[must_use]
    pub fn io_error(&self) -> &io::Error {
        &self.0.source
    }

    /// The operating system's error number, see `errno(3)`, if the cause has one.
    #[must_use]
    pub fn os_error(&self) -> Option<i32> {
        self.0.source.raw_os_error()
    }

    /// The operation that failed: `connect`, `bind`, `receive`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The address as typed or resolved, in full form.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// The hint, if any.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The cause in words, without the error number that the standard library appends.
    #[must_use]
    pub fn cause(&self) -> String {
        let text = self.0.source.to_string();
        match (self.0.source.raw_os_error(), text.rfind(" (os error")) {
            (Some(_), Some(end)) => text[..end].to_owned(),
            _ => text,
        }
    }
}

/// The limit to raise, if `source` means that one was reached, in any operation.
fn limit_hint(source: &io::Error) -> Option<&'static str> {
    match source.raw_os_error().map(nix::Error::from_raw) {
        Some(nix::Error::EMFILE) => Some("raise the open file limit (ulimit -n)"),
        Some(nix::Error::ENFILE) => Some("raise the system's open file limit (fs.file-max)"),
        _ => None,
    }
}

/// A copy of the error: by number, otherwise by kind.
pub(crate) fn copied(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => error.kind().into(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = OneLine(f);
        line.write_str(self.0.operation)?;
        if !self.0.address.is_empty() {
            write!(line, " {}", self.0.address)?;
        }
        write!(line, ": {}", self.cause())?;
        match &self.0.hint {
            Some(hint) => write!(line, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// A writer that escapes to one line of visible text.
struct OneLine<'a, W>(&'a mut W);

impl<W: Write> Write for OneLine<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(text.as_bytes(), is_visible, self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} [{:?}]", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // Display already contains the cause, so the chain continues after it.
        self.0.source.source()
    }
}

impl From<Error> for io::Error {
    /// The whole error as one of the standard library, of the kind of the cause.
    fn from(error: Error) -> Self {
        Self::new(error.0.source.kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use nix::Error as E;

    use super::*;

    #[test]
    fn the_kind_of_a_failure_follows_from_its_number() {
        for (errno, kind) in [
            (E::ECONNREFUSED, ErrorKind::NoServer),
            (E::ENOENT, ErrorKind::NoServer),
            (E::EACCES, ErrorKind::Denied),
            (E::EPERM, ErrorKind::Denied),
            (E::EADDRINUSE, ErrorKind::InUse),
            (E::ECONNRESET, ErrorKind::Broken),
            (E::ECONNABORTED, ErrorKind::Broken),
            (E::EPIPE, ErrorKind::Broken),
            (E::ETIMEDOUT, ErrorKind::TimedOut),
            // EINVAL concerns an argument of a system call, not what the user typed.
            (E::EINVAL, ErrorKind::Other),
            (E::EMFILE, ErrorKind::Other),
            (E::ENOMEM, ErrorKind::Other),
            (E::EAGAIN, ErrorKind::Other),
            (E::EHOSTUNREACH, ErrorKind::Other),
            (E::ENETUNREACH, ErrorKind::Other),
            (E::EADDRNOTAVAIL, ErrorKind::Other),
            (E::ENOTCONN, ErrorKind::Other),
        ] {
            assert_eq!(ErrorKind::of(&errno.into()), kind, "{errno}");
        }
        for (found, kind) in [
            (io::ErrorKind::UnexpectedEof, ErrorKind::Broken),
            (io::ErrorKind::InvalidInput, ErrorKind::Usage),
            (io::ErrorKind::InvalidData, ErrorKind::Other),
        ] {
            assert_eq!(ErrorKind::of(&found.into()), kind, "{found}");
        }
    }

    #[test]
    fn a_chain_of_causes_says_nothing_twice() {
        let refused = Error::new("connect", "inet:127.0.0.1:1", E::ECONNREFUSED);
        assert!(std::error::Error::source(&refused).is_none());
        let wrapped = io::Error::from(refused);
        assert_eq!(wrapped.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(
            wrapped.to_string(),
            "connect inet:127.0.0.1:1: Connection refused"
        );
    }

    #[test]
    fn a_limit_that_was_reached_is_named() {
        let shown = |errno: E| Error::new("connect", "inet:127.0.0.1:1", errno).to_string();
        assert_eq!(
            shown(E::EMFILE),
            "connect inet:127.0.0.1:1: Too many open files; \
             raise the open file limit (ulimit -n)"
        );
        assert!(shown(E::ENFILE).ends_with("(fs.file-max)"));
        assert!(!shown(E::EIO).contains(';'));
    }
}
