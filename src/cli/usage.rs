//! A command line that cannot be read: one line to a person, or an object.

use std::env;
use std::ffi::OsString;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::address::as_one_word;
use super::args::{Cli, Talk};
use super::exit::Exit;
use super::standard;
use super::ui::Ui;
use crate::client::output_error;
use crate::error::{Error, Kind};

/// Ends the program because of what its arguments gave: help that was asked for is printed as it
/// is, and all else is an error like any other.
pub(super) fn refuse(error: &clap::Error) -> ! {
    if asks_for_help(error) {
        show(error);
    }
    // What comes after is the arguments of another program.
    let words: Vec<_> = env::args_os()
        .skip(1)
        .take_while(|word| word != "--")
        .collect();
    let talk = Talk {
        json: words.iter().any(|word| word == "--json"),
        ..Talk::default()
    };
    let error = told(error, &words);
    Ui::new(&talk, false).failed(&error);
    Exit::from(&error).leave()
}

/// Whether it is no mistake but help that was asked for.
fn asks_for_help(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// What is wrong with `words`, as an error of ours.
fn told(error: &clap::Error, words: &[OsString]) -> Error {
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
        ErrorKind::MissingSubcommand => format!("a command is needed: {}", commands().join(", ")),
        _ => cause(
            &error.render().to_string(),
            has_usage,
            as_value(error, command, words),
        ),
    };
    Error::because("usage", "", Kind::Usage, cause).with_hint(help)
}

/// Prints help, and ends the program: with a failure if the help cannot be written.
#[allow(clippy::exit)]
fn show(help: &clap::Error) -> ! {
    let printed = help.print().and_then(|()| standard::flush());
    if let Err(error) = printed {
        let error = output_error(error);
        let talk = Talk::default();
        Ui::new(&talk, false).failed(&error);
        Exit::from(&error).leave()
    }
    std::process::exit(help.exit_code())
}

/// What may have been meant with a word that is taken for an option, and is none.
fn as_value(error: &clap::Error, command: Option<&str>, words: &[OsString]) -> Option<String> {
    let ContextValue::String(argument) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let is_it = |word: &OsString| word.to_str().is_some_and(|word| word.starts_with(argument));
    let at = words.iter().position(is_it)?;
    let before = words.get(at.checked_sub(1)?)?;
    // The port may be the word too many, or the one before it, as in 'call HOST PORT MESSAGE'.
    let mut pairs = words[..=at].windows(2).rev().take(2);
    if let Some(hint) = pairs.find_map(|pair| as_one_word(&pair[0], &pair[1])) {
        return Some(hint);
    }
    let hint = match command {
        _ if before.to_str()?.starts_with("--") => {
            "a value that begins with - is written --OPTION=VALUE"
        }
        Some("wait") => "if it is of a command to run, write -- before that",
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

/// What is wrong, and the tips, out of a message that may go on with the usage.
fn cause(message: &str, has_usage: bool, as_value: Option<String>) -> String {
    let mut rest = message.strip_prefix("error: ").unwrap_or(message);
    // From the last one on, as a part of the command line is quoted before.
    let ends = ["\n\nFor more information", "\n\nUsage: "];
    for end in ends.into_iter().take(1 + usize::from(has_usage)) {
        rest = rest.rfind(end).map_or(rest, |at| &rest[..at]);
    }
    let paragraphs = rest.split("\n\n").map(|paragraph| {
        let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
        lines.join(" ").trim().to_owned()
    });
    let mut told: Vec<String> = paragraphs
        .filter(|text| !text.is_empty() && !text.starts_with("tip: to pass '"))
        .collect();
    told.extend(as_value);
    told.join("; ")
}

/// Reads a command line, its words ended by NUL as in `/proc/pid/cmdline`, and the error that it may
/// be refused with: see [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(line: &[u8]) {
    use std::os::unix::ffi::OsStrExt;

    use clap::Parser;

    let words: Vec<OsString> = line
        .split(|byte| *byte == 0)
        .map(|word| std::ffi::OsStr::from_bytes(word).to_owned())
        .collect();
    let alone = super::parse::named(&words);
    let read = Cli::try_parse_from(std::iter::once("sok".into()).chain(words.iter().cloned()));
    match (alone, read) {
        (Some(alone), Ok(read)) => assert_eq!(format!("{alone:?}"), format!("{read:?}")),
        (Some(alone), Err(error)) => panic!("{alone:?} is refused among all: {error}"),
        (None, Ok(_)) => {}
        (None, Err(error)) if asks_for_help(&error) => {}
        (None, Err(error)) => {
            let told = told(&error, &words);
            let cause = told.cause();
            assert!(!cause.is_empty() && !cause.contains('\n'), "{cause:?}");
        }
    }
}
