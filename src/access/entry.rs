//! A rule of a list, and what it decides.

use std::fmt;

use super::rule::Rule;

/// What is done with the peers that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// They are served.
    Allow,
    /// They are refused.
    Deny,
}

impl Verdict {
    /// The word for it in a file of rules.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// A rule of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Entry {
    /// What is done with the peers that it matches.
    pub verdict: Verdict,
    /// Whom it matches.
    pub rule: Rule,
    /// Its line in a file, if it is from one.
    pub line: Option<u32>,
}

impl Entry {
    /// A rule that is from no file.
    #[must_use]
    pub const fn new(verdict: Verdict, rule: Rule) -> Self {
        let line = None;
        Self {
            verdict,
            rule,
            line,
        }
    }
}

impl fmt::Display for Entry {
    /// As in a file of rules.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verdict.word(), self.rule)
    }
}
