//! Why an address cannot be bound or connected to.

use std::io;

use crate::address::Address;
use crate::error::{Error, ErrorKind};

/// Why an address cannot be bound: cause, kind and hint.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) source: io::Error,
    pub(super) kind: Option<ErrorKind>,
    pub(super) hint: Option<String>,
}

impl Refusal {
    /// An error from the kernel, with a hint.
    pub(super) fn hinted(source: io::Error, hint: &str) -> Self {
        Self {
            hint: Some(hint.to_owned()),
            ..Self::from(source)
        }
    }

    /// An error found by this crate.
    pub(super) fn told(kind: ErrorKind, cause: impl Into<String>, hint: &str) -> Self {
        Self {
            source: io::Error::other(cause.into()),
            kind: Some(kind),
            hint: Some(hint.to_owned()),
        }
    }
}

impl<E: Into<io::Error>> From<E> for Refusal {
    fn from(source: E) -> Self {
        Self {
            source: source.into(),
            kind: None,
            hint: None,
        }
    }
}

/// The error for an address in use.
pub(super) fn in_use(holders: &[i32]) -> Refusal {
    let pids: Vec<String> = holders.iter().map(i32::to_string).collect();
    let by = match &pids[..] {
        // Of another user, or in another container.
        [] => String::new(),
        pids => format!(" (pid {})", pids.join(", ")),
    };
    let cause = format!("a live server{by} listens here");
    Refusal::told(ErrorKind::InUse, cause, "stop it, or choose another name")
}

/// Whether an address could not be bound because this machine does not have it.
pub(super) fn is_missing_address(error: &Error) -> bool {
    matches!(
        error.os_error().map(nix::Error::from_raw),
        Some(nix::Error::EADDRNOTAVAIL | nix::Error::EAFNOSUPPORT)
    )
}

/// The error of a bind: a missing directory is not a missing server.
pub(super) fn bind_error(address: &Address, refusal: Refusal) -> Error {
    let mut error = Error::new("bind", address, refusal.source);
    if error.kind() == ErrorKind::NoServer {
        error = error
            .with_kind(ErrorKind::Other)
            .with_hint("create the directory first");
    }
    if let Some(kind) = refusal.kind {
        error = error.with_kind(kind);
    }
    match refusal.hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The error for a connect that timed out; `full` if the backlog was the cause.
pub(super) fn no_answer(address: &Address, full: bool) -> Error {
    let cause = match full {
        true => "the backlog of the server stayed full until the time limit",
        false => "no answer within the time limit",
    };
    Error::because("connect", address, ErrorKind::TimedOut, cause)
}
