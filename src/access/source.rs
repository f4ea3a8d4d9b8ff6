//! Where rules come from: options, and a file that can be read again.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;

use super::entry::{Entry, Verdict};
use super::kind::PeerKind;
use super::list::RuleList;
use super::rule::Rule;
use crate::error::{Error, ErrorKind, Result};

/// The maximum size of a file of rules.
const MOST: u64 = 64 << 20;

/// Where the rules of a server come from.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RuleSource {
    /// Rules that come first.
    pub first: Vec<Entry>,
    /// The file of the others.
    pub file: Option<PathBuf>,
    /// The kinds of peers that the server may have.
    pub kinds: Vec<PeerKind>,
}

impl RuleSource {
    /// Reads the rules; each must be one that the server can check. This may block, as names of users and
    /// groups are looked up.
    ///
    /// A file has one rule a line, `allow RULE` or `deny RULE`; `#` begins a comment.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a rule that is wrong or cannot be checked, with its line in the file, and
    /// what reading the file reports.
    pub fn load(&self) -> Result<RuleList> {
        let mut entries = self.first.clone();
        if let Some(path) = &self.file {
            let text = read(path)?;
            let others = parse(&text, &mut |word| word.parse());
            entries.extend(others.map_err(|wrong| wrong.in_file(path))?);
        }
        let list = RuleList::new(entries);
        let checked = list.check(&self.kinds).map_err(|unfit| {
            let entry = unfit.entry;
            let error = match (entry.line, &self.file) {
                (Some(line), Some(path)) => {
                    let cause = format!("{entry}: {}", unfit.cause);
                    Error::because("rules", place(path, line), ErrorKind::Usage, cause)
                }
                _ => Error::because("rule", entry, ErrorKind::Usage, unfit.cause),
            };
            error.with_hint(unfit.hint)
        });
        checked.map(|()| list)
    }
}

fn place(path: &Path, line: u32) -> String {
    format!("{}:{line}", path.display())
}

/// Reads a regular file: another one could not be read again.
fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| {
        let is_missing = error.kind() == std::io::ErrorKind::NotFound;
        let is_loop = error.raw_os_error() == Some(libc::ELOOP);
        let error = Error::new("rules", path.display(), error);
        match is_missing || is_loop {
            true => error.with_kind(ErrorKind::Usage),
            false => error,
        }
    };
    let refused = |cause: &str| Error::because("rules", path.display(), ErrorKind::Usage, cause);
    // A FIFO would block until somebody opens its other end.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    let file = file.map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(refused("it is not a regular file, which can be read again"));
    }
    let mut text = Vec::new();
    let read = file.take(MOST + 1).read_to_end(&mut text);
    read.map_err(failed)?;
    match text.len() as u64 > MOST {
        true => Err(refused("it has more than 64 MiB")),
        false => Ok(text),
    }
}

/// What is wrong with a line.
#[derive(Debug)]
pub(super) struct Wrong {
    line: u32,
    error: Error,
}

impl Wrong {
    fn in_file(self, path: &Path) -> Error {
        let Self { line, error } = self;
        let cause = match error.address() {
            "" => error.cause(),
            word => format!("{word}: {}", error.cause()),
        };
        let wrapped = Error::because("rules", place(path, line), error.kind(), cause);
        match error.hint() {
            Some(hint) => wrapped.with_hint(hint),
            None => wrapped,
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn into_parts(self) -> (u32, Error) {
        (self.line, self.error)
    }
}

/// The rules in the text of a file, each of whose words `rule` reads.
pub(super) fn parse(
    text: &[u8],
    rule: &mut dyn FnMut(&str) -> Result<Rule>,
) -> std::result::Result<Vec<Entry>, Wrong> {
    let mut entries = Vec::new();
    for (line, text) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let parsed = entry(text, line, rule);
        entries.extend(parsed.map_err(|error| Wrong { line, error })?);
    }
    Ok(entries)
}

/// The rule of a line, if it has one.
fn entry(
    line: &[u8],
    number: u32,
    rule: &mut dyn FnMut(&str) -> Result<Rule>,
) -> Result<Option<Entry>> {
    let wrong = |cause: &str| {
        let error = Error::because("rule", "", ErrorKind::Usage, cause);
        error.with_hint("write allow RULE or deny RULE, one a line")
    };
    let Ok(text) = std::str::from_utf8(line) else {
        return Err(wrong("the line is not UTF-8"));
    };
    let mut words = text.split_ascii_whitespace();
    let mut next = || words.next().filter(|word| !word.starts_with('#'));
    let Some(verdict) = next() else {
        return Ok(None);
    };
    let verdict = match verdict {
        "allow" => Verdict::Allow,
        "deny" => Verdict::Deny,
        other => return Err(wrong(&format!("{other:?} is neither allow nor deny"))),
    };
    let Some(word) = next() else {
        return Err(wrong(&format!("no rule follows {}", verdict.word())));
    };
    if let Some(more) = next() {
        return Err(wrong(&format!("{more:?} follows the rule")));
    }
    let rule = rule(word)?;
    Ok(Some(Entry {
        line: Some(number),
        ..Entry::new(verdict, rule)
    }))
}
