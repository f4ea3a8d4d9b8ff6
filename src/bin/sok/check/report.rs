//! What a check of the host found.

use serde::Serialize;
use sok::address::AddressKind;

/// What this host does, a column for each form of address that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HostReport {
    /// Whether every column works.
    pub(crate) works: bool,
    /// The columns, in the order of [`AddressKind::ALL`].
    pub(crate) columns: Vec<Column>,
}

/// What one form of address does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Column {
    /// The family: `inet`, `inet6`, `unix`.
    pub(crate) family: &'static str,
    /// The form: the family, or `unix path` and `unix abstract`.
    pub(crate) form: &'static str,
    /// Whether nothing that was tried fails.
    pub(crate) works: bool,
    /// One cell for each thing that a socket may do, the same in every column.
    pub(crate) cells: Vec<Cell>,
}

/// One thing that a socket of a form does, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Cell {
    /// What it is: `create`, `bind`, `half-close`.
    pub(crate) name: &'static str,
    /// How the try ended.
    pub(crate) outcome: Verdict,
    /// What was found that is worth knowing: a name that the kernel chose, an address.
    pub(crate) found: Option<String>,
    /// Why it fails, or why it was not tried.
    pub(crate) reason: Option<String>,
    /// What to do about a failure, if that is known.
    pub(crate) hint: Option<String>,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It was tried, and works.
    Works,
    /// It was tried, and does not work.
    Fails,
    /// This host has nothing to try it with.
    Untried,
    /// The form of address does not have it.
    Absent,
}

impl Column {
    pub(super) fn new(kind: AddressKind, cells: Vec<Cell>) -> Self {
        Self {
            family: kind.family().name(),
            form: kind.name(),
            works: cells.iter().all(|cell| cell.outcome != Verdict::Fails),
            cells,
        }
    }
}

impl Cell {
    pub(super) const fn works(name: &'static str, found: Option<String>) -> Self {
        Self {
            name,
            outcome: Verdict::Works,
            found,
            reason: None,
            hint: None,
        }
    }

    pub(super) const fn fails(name: &'static str, reason: String, hint: Option<String>) -> Self {
        Self {
            name,
            outcome: Verdict::Fails,
            found: None,
            reason: Some(reason),
            hint,
        }
    }

    pub(super) const fn untried(name: &'static str, reason: String) -> Self {
        Self {
            name,
            outcome: Verdict::Untried,
            found: None,
            reason: Some(reason),
            hint: None,
        }
    }

    pub(super) fn absent(name: &'static str, reason: &str) -> Self {
        Self {
            name,
            outcome: Verdict::Absent,
            found: None,
            reason: Some(reason.to_owned()),
            hint: None,
        }
    }
}
