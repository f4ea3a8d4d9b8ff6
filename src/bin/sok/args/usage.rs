//! Usage errors and help: the reasons to run no command.

use std::ffi::OsString;
use std::{env, io};

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind as ClapKind};
use sok::error::{Error, ErrorKind};

use super::Cli;
use super::address::as_one_word;
use super::observe::asks_for_objects;
use crate::exit::Exit;

/// Why no command runs.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// `--help` or `--version` was given, or no argument at all.
    Help(Help),
    /// The arguments are wrong; `json` prints the error as an object.
    Usage { error: Error, json: bool },
}

/// A help text.
#[derive(Debug)]
pub(crate) struct Help(clap::Error);

impl Help {
    /// Prints it, to the standard output if it was requested.
    pub(crate) fn print(&self) -> io::Result<()> {
        self.0.print()
    }

    /// The exit code of the program after it.
    pub(crate) fn exit(&self) -> Exit {
        match self.0.exit_code() {
            0 => Exit::Done,
            _ => Exit::Usage,
        }
    }
}

impl From<clap::Error> for Refusal {
    /// The refusal for the arguments of this process.
    fn from(error: clap::Error) -> Self {
        if asks_for_help(&error) {
            return Self::Help(Help(error));
        }
        // The words after `--` are arguments of another program.
        let words: Vec<_> = env::args_os()
            .skip(1)
            .take_while(|word| word != "--")
            .collect();
        Self::Usage {
            error: usage_error(&error, &words),
            json: asks_for_objects(&words),
        }
    }
}

/// Whether help was requested, as opposed to an error.
pub(super) fn asks_for_help(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ClapKind::DisplayHelp
            | ClapKind::DisplayVersion
            | ClapKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// What is wrong with `words`, as a `sok` error.
pub(super) fn usage_error(error: &clap::Error, words: &[OsString]) -> Error {
    let command = words
        .iter()
        .filter_map(|word| word.to_str())
        .find(|word| !word.starts_with('-'))
        .filter(|word| Cli::command().find_subcommand(word).is_some());
    let help = command.map_or_else(
        || "see 'sok --help'".to_owned(),
        |command| format!("see 'sok {command} --help'"),
    );
    let has_usage = error.get(ContextKind::Usage).is_some();
    let cause = match error.kind() {
        ClapKind::MissingSubcommand => format!("no command given: {}", commands().join(", ")),
        _ => cause(
            &error.render().to_string(),
            has_usage,
            as_value(error, command, words),
        ),
    };
    Error::because("usage", "", ErrorKind::Usage, cause).with_hint(help)
}

/// A hint for a value that clap takes for an unknown option.
fn as_value(error: &clap::Error, command: Option<&str>, words: &[OsString]) -> Option<String> {
    let ContextValue::String(argument) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    if error.kind() != ClapKind::UnknownArgument {
        return None;
    }
    let is_it = |word: &OsString| word.to_str().is_some_and(|word| word.starts_with(argument));
    let at = words.iter().position(is_it)?;
    let before = words.get(at.checked_sub(1)?)?;
    // The port may be the extra word, or the word before it, as in 'call HOST PORT MESSAGE'.
    let mut pairs = words[..=at].windows(2).rev().take(2);
    if let Some(hint) = pairs.find_map(|pair| as_one_word(&pair[0], &pair[1])) {
        return Some(hint);
    }
    let hint = match command {
        _ if before.to_str()?.starts_with("--") => {
            "write a value that begins with - as --OPTION=VALUE"
        }
        Some("wait" | "activate") => {
            "if it belongs to the command to run, write -- before the command"
        }
        Some("call") => "if it is the message, write -- before the address",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn commands() -> Vec<String> {
    let cli = Cli::command();
    let shown = cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    shown.map(|command| command.get_name().to_owned()).collect()
}

/// The cause and the tips from a clap message, without the usage that may follow.
///
/// They are cut out of clap's text: its `KindFormatter` names no argument, and a formatter of our
/// own would have to word each kind of error again.
fn cause(message: &str, has_usage: bool, as_value: Option<String>) -> String {
    let mut rest = message.strip_prefix("error: ").unwrap_or(message);
    // Cut at the last one: the message may quote the command line before it.
    let ends = ["\n\nFor more information", "\n\nUsage: "];
    for end in ends.into_iter().take(1 + usize::from(has_usage)) {
        rest = rest.rfind(end).map_or(rest, |at| &rest[..at]);
    }
    let paragraphs = rest.split("\n\n").map(|paragraph| {
        let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
        lines.join(" ").trim().to_owned()
    });
    let mut texts: Vec<String> = paragraphs
        .filter(|text| !text.is_empty() && !text.starts_with("tip: to pass '"))
        .collect();
    texts.extend(as_value);
    texts.join("; ")
}
