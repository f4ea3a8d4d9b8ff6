//! The result of a check of the host.

use serde::Serialize;
use sok::address::AddressKind;

/// The result for this host, with a column for each checked kind of address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HostReport {
    /// Whether every column works.
    pub(crate) works: bool,
    /// The columns, in the order of [`AddressKind::ALL`].
    pub(crate) columns: Vec<Column>,
}

/// The result for one kind of address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Column {
    /// The family: `inet`, `inet6`, `unix`.
    pub(crate) family: &'static str,
    /// The form: the family, or `unix path` and `unix abstract`.
    pub(crate) form: &'static str,
    /// Whether no test fails.
    pub(crate) works: bool,
    /// A cell for each feature, the same in every column.
    pub(crate) cells: Vec<Cell>,
}

/// The test of one feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Cell {
    /// Its name: `create`, `bind`, `half-close`.
    pub(crate) name: &'static str,
    /// Its outcome.
    pub(crate) outcome: Verdict,
    /// Details worth knowing: a name that the kernel chose, an address.
    pub(crate) found: Option<String>,
    /// Why it failed, or was not tried.
    pub(crate) reason: Option<String>,
    /// The remedy for a failure, if known.
    pub(crate) hint: Option<String>,
}

/// The outcome of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It works.
    Works,
    /// It fails.
    Fails,
    /// This host cannot test it.
    Untried,
    /// The kind of address lacks it.
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
