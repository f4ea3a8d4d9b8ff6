//! Why a peer is refused.

use std::fmt;

use super::entry::Entry;
use super::rule::Rule;

/// Why a peer is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// This rule is the first that matches it.
    Denied(Entry),
    /// There are rules that allow, and no rule matches it.
    NotAllowed,
    /// A rule would decide, but cannot be checked.
    Unchecked {
        /// The rule.
        rule: Rule,
        /// Why it cannot be checked.
        cause: String,
    },
    /// As many connections of it are open as it may have.
    TooMany {
        /// Who counts as one peer.
        peer: String,
        /// How many it may have.
        most: usize,
    },
    /// A PROXY header is required, and this is why there is no valid one.
    Header(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(entry) => entry.fmt(f),
            Self::NotAllowed => f.write_str("no rule allows it"),
            Self::Unchecked { rule, cause } => write!(f, "{rule} cannot be checked: {cause}"),
            Self::Header(cause) => f.write_str(cause),
            Self::TooMany { peer, most: 1 } => write!(f, "{peer} has 1 open connection"),
            Self::TooMany { peer, most } => write!(f, "{peer} has {most} open connections"),
        }
    }
}
