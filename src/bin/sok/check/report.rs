//! The result of a check of the host.

use std::borrow::Cow;

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
    /// Its name: `create`, `half-close`, `datagram`, `datagram empty message`.
    pub(crate) name: Cow<'static, str>,
    /// Its outcome.
    pub(crate) outcome: Verdict,
    /// Details worth knowing: a name that the kernel chose, an address.
    pub(crate) found: Option<String>,
    /// What a table shows of a test whose result is a value.
    #[serde(skip)]
    pub(crate) shown: Option<String>,
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
    fn new(name: impl Into<Cow<'static, str>>, outcome: Verdict) -> Self {
        Self {
            name: name.into(),
            outcome,
            found: None,
            shown: None,
            reason: None,
            hint: None,
        }
    }

    pub(super) fn works(name: impl Into<Cow<'static, str>>, found: Option<String>) -> Self {
        Self {
            found,
            ..Self::new(name, Verdict::Works)
        }
    }

    pub(super) fn value(name: impl Into<Cow<'static, str>>, shown: String, found: String) -> Self {
        Self {
            found: Some(found),
            shown: Some(shown),
            ..Self::new(name, Verdict::Works)
        }
    }

    pub(super) fn fails(
        name: impl Into<Cow<'static, str>>,
        reason: String,
        hint: Option<String>,
    ) -> Self {
        Self {
            reason: Some(reason),
            hint,
            ..Self::new(name, Verdict::Fails)
        }
    }

    pub(super) fn untried(name: impl Into<Cow<'static, str>>, reason: String) -> Self {
        Self {
            reason: Some(reason),
            ..Self::new(name, Verdict::Untried)
        }
    }

    pub(super) fn absent(name: impl Into<Cow<'static, str>>, reason: &str) -> Self {
        Self {
            reason: Some(reason.to_owned()),
            ..Self::new(name, Verdict::Absent)
        }
    }
}
