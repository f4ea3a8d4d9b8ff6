//! `sok completions`: the script for a shell, and the answers to it.
//!
//! The first line of an answer is its kind: `words`, `files` if files may follow too, or `command` with
//! the place of the command that completes the rest. Each other line is a word; bash gets it quoted,
//! the others get its meaning after a tab.

use std::io::Write;

use sok::client::output_error;
use sok::error::Result;

use crate::args::{CompletionsArgs, Expected, Kind, ShellArg, expected};
use crate::completions::{Choice, Line, addresses, socket_files};
use crate::exit::Exit;
use crate::output::standard;

pub(crate) fn run(args: &CompletionsArgs) -> Result<Exit> {
    let text = match args.words.is_empty() {
        true => args.shell.script().to_owned(),
        false => answer(args).unwrap_or_default(),
    };
    let mut output = standard::stdout()?;
    output.write_all(text.as_bytes()).map_err(output_error)?;
    Ok(Exit::Done)
}

/// The answer, unless there is none for a word that is not text.
fn answer(args: &CompletionsArgs) -> Option<String> {
    let words: Option<Vec<&str>> = args.words.iter().map(|word| word.to_str()).collect();
    let words = words?;
    match (args.shell, words.as_slice()) {
        (ShellArg::Bash, [line, replaced]) => Some(for_bash(&Line::read(line, replaced))),
        (ShellArg::Bash, _) => None,
        (_, [words @ .., word]) => {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let expected = expected(&words, word);
            let mut text = first_line(&expected, word, |place| (place + 1).to_string());
            for Choice { value, meaning } in fitting(expected, word) {
                text += &format!("{value}\t{meaning}\n");
            }
            Some(text)
        }
        (_, []) => None,
    }
}

fn for_bash(line: &Line) -> String {
    if line.is_redirection {
        return "files\n".to_owned();
    }
    let words = line.words.get(1..).unwrap_or_default();
    let expected = expected(words, &line.word);
    // Bash counts words otherwise, but can find the one before the command.
    let boundary = |place: usize| words[place - 1].clone();
    let mut text = first_line(&expected, &line.word, boundary);
    for choice in fitting(expected, &line.word) {
        let is_complete = choice.is_complete();
        if let Some(part) = line.replacement(&choice.value, is_complete) {
            text += &(part + "\n");
        }
    }
    text
}

fn first_line(expected: &Expected, word: &str, place: impl Fn(usize) -> String) -> String {
    let value = word.get(expected.before..).unwrap_or_default();
    match expected.kind {
        Some(Kind::Command(begin)) => format!("command {}\n", place(begin)),
        Some(Kind::File) => "files\n".to_owned(),
        // The shell knows the home of a user.
        Some(Kind::Address | Kind::SocketFile) if value.starts_with('~') => "files\n".to_owned(),
        _ => "words\n".to_owned(),
    }
}

/// The words that begin with `word`.
fn fitting(expected: Expected, word: &str) -> Vec<Choice> {
    let (before, value) = word.split_at_checked(expected.before).unwrap_or(("", word));
    if word.contains(char::is_control) {
        return Vec::new();
    }
    let mut all = expected.choices;
    all.extend(match expected.kind {
        Some(Kind::Address) => addresses(value),
        Some(Kind::SocketFile) => socket_files(value),
        _ => Vec::new(),
    });
    all.retain(|choice| choice.value.starts_with(value));
    for choice in &mut all {
        choice.value.insert_str(0, before);
    }
    all
}
