//! Why a socket file cannot be made.

use std::io;

use crate::error::Kind;

/// Why an address cannot be bound: the cause, its kind and what to do.
#[derive(Debug)]
pub(in crate::net) struct Refusal {
    pub(in crate::net) source: io::Error,
    pub(in crate::net) kind: Option<Kind>,
    pub(in crate::net) hint: Option<String>,
}

impl Refusal {
    /// What the kernel reports, with what to do about it.
    pub(super) fn hinted(source: io::Error, hint: &str) -> Self {
        Self {
            hint: Some(hint.to_owned()),
            ..Self::from(source)
        }
    }

    /// What we found ourselves.
    pub(super) fn told(kind: Kind, cause: impl Into<String>, hint: &str) -> Self {
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

/// What an address that somebody else holds is refused with.
pub(in crate::net) fn in_use(holders: &[i32]) -> Refusal {
    let pids: Vec<String> = holders.iter().map(i32::to_string).collect();
    let by = match &pids[..] {
        // Another user's, or of another container.
        [] => String::new(),
        pids => format!(" (pid {})", pids.join(", ")),
    };
    let cause = format!("a live server{by} listens here");
    Refusal::told(Kind::InUse, cause, "stop it, or choose another name")
}
