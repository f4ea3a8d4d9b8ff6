//! The completions of the shells: scripts that ask this program for the words that may follow, so that
//! one place knows them for all shells, and a word never runs as code.

mod address;
mod line;

pub(crate) use self::address::{addresses, socket_files};
pub(crate) use self::line::Line;

/// The scripts, each for one shell.
pub(crate) const BASH: &str = include_str!("sok.bash");
pub(crate) const FISH: &str = include_str!("sok.fish");
pub(crate) const ZSH: &str = include_str!("sok.zsh");

/// A word that may follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) value: String,
    /// A few words for a menu, or nothing.
    pub(crate) meaning: String,
}

impl Choice {
    pub(crate) fn new(value: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            meaning: meaning.into(),
        }
    }

    /// Whether nothing is added to the word: it is not the beginning of an address or a path.
    pub(crate) fn is_complete(&self) -> bool {
        !self.value.ends_with(['/', ':', '=', '@'])
    }
}
