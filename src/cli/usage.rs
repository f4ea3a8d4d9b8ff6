//! A command line that cannot be read: one line to a person, or an object.

use std::env;

use clap::CommandFactory;
use clap::error::{ContextKind, ErrorKind};

use super::args::{Cli, Talk};
use super::exit::Exit;
use super::ui::Ui;
use crate::error::{Error, Kind};

/// Ends the program because of what its arguments gave: help that was asked for is printed as it
/// is, and all else is an error like any other.
pub(super) fn refuse(error: &clap::Error) -> ! {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => {}
    }
    // What comes after is the arguments of another program.
    let words: Vec<_> = env::args_os()
        .skip(1)
        .take_while(|word| word != "--")
        .collect();
    let talk = Talk {
        quiet: false,
        verbose: false,
        trace: false,
        json: words.iter().any(|word| word == "--json"),
    };
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
        _ => cause(&error.render().to_string(), has_usage),
    };
    let error = Error::because("usage", "", Kind::Usage, cause).with_hint(help);
    Ui::new(&talk, false).failed(&error);
    Exit::from(&error).leave()
}

fn commands() -> Vec<String> {
    let cli = Cli::command();
    let shown = cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    shown.map(|command| command.get_name().to_owned()).collect()
}

/// What is wrong, and the tips, out of a message that may go on with the usage.
fn cause(message: &str, has_usage: bool) -> String {
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
    // Behind a -- it would be an address or a message, which it is not meant to be.
    let as_value = |text: String| match text.starts_with("tip: to pass '") {
        true if text.starts_with("tip: to pass '--") => None,
        true => Some("a value that begins with - is written --OPTION=VALUE".to_owned()),
        false => Some(text),
    };
    let told: Vec<String> = paragraphs
        .filter(|text| !text.is_empty())
        .filter_map(as_value)
        .collect();
    told.join("; ")
}
