//! One man page: what clap knows of a command, between the written sections.

use std::error::Error;
use std::path::Path;
use std::{fs, io};

use clap::builder::PossibleValue;
use clap::{Arg, Command};
use clap_mangen::Man;
use sok::address::{Family, Target};

use crate::exit::Exit;
use crate::style::{dressed, line, synopsis};

/// No hyphenation, so that names stay whole, and no wide gaps between words or sentences.
const LAYOUT: &str = ".nh\n.ad l\n.ss 12 0\n";

/// The name and the text of each page.
pub fn pages(cli: &Command, date: &str) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut pages = Vec::new();
    let shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    for command in cli.get_subcommands().filter(shown).chain([cli]) {
        let name = command
            .get_display_name()
            .unwrap_or_else(|| command.get_name());
        pages.push((format!("{name}.1"), of_command(command, name, date)?));
    }
    let version = cli.get_version().unwrap_or_default();
    let title =
        format!(".TH SOK\\-ADDRESS 7 {date} \"sok {version}\" \"Miscellaneous Information\"\n");
    let text = written("sok-address")?.replace(".\\\" ADDRESSES\n", &addresses());
    pages.push(("sok-address.7".to_owned(), title + LAYOUT + &text));
    Ok(pages)
}

/// The written sections of a page.
fn written(name: &str) -> Result<String, Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/man/{name}.roff"));
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn of_command(command: &Command, name: &str, date: &str) -> Result<String, Box<dyn Error>> {
    let version = env!("CARGO_PKG_VERSION");
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .date(date)
        .source(format!("sok {version}"))
        .manual("User Commands");
    let mut text = rendered(|output| man.render_title(output))?;
    text += LAYOUT;
    text += &rendered(|output| man.render_name_section(output))?;
    text += ".SH SYNOPSIS\n";
    text += &synopsis(&command.clone().render_usage().to_string());
    let written = written(name)?;
    let end = written[1..]
        .find("\n.SH ")
        .map_or(written.len(), |at| at + 2);
    let (description, others) = written.split_at(end);
    text += description;
    text += &arguments(command)?;
    if command.has_subcommands() {
        text += &commands(command);
    }
    let help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let (notes, examples) = help.split_once("Examples:\n").unwrap_or((&help, ""));
    if command.has_subcommands() {
        text += &exit_codes();
        text += others;
        return Ok(text);
    }
    // The last section says where to read on.
    let (others, see_also) = others.split_at(others.find(".SH SEE ALSO").unwrap_or(others.len()));
    text += others;
    text += &of_notes(notes);
    text += &of_examples(examples);
    text += see_also;
    Ok(text)
}

fn rendered(render: impl Fn(&mut dyn io::Write) -> io::Result<()>) -> io::Result<String> {
    let mut text = Vec::new();
    render(&mut text)?;
    let text = String::from_utf8_lossy(&text).replace("\\*(Aq", "\\(aq");
    // The first two lines define a string for the apostrophe, which every formatter has a name for.
    let is_kept = |line: &&str| !line.starts_with(".ie") && !line.starts_with(".el");
    Ok(text
        .lines()
        .filter(is_kept)
        .map(|line| line.to_owned() + "\n")
        .collect())
}

/// The arguments, and the options under their headings.
fn arguments(command: &Command) -> Result<String, Box<dyn Error>> {
    let shown: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .collect();
    let mut groups: Vec<(Option<&str>, String)> = Vec::new();
    let positional = |arg: &Arg| arg.is_positional();
    let mut text = String::new();
    if shown.iter().any(|arg| positional(arg)) {
        text += &(".SH ARGUMENTS\n".to_owned() + &options(command, positional)?);
    }
    text += ".SH OPTIONS\n";
    for option in shown.into_iter().filter(|arg| !arg.is_positional()) {
        let heading = option.get_help_heading();
        if groups.iter().all(|(known, _)| *known != heading) {
            let is_of_it = |arg: &Arg| !arg.is_positional() && arg.get_help_heading() == heading;
            groups.push((heading, options(command, is_of_it)?));
        }
    }
    // Those of the command come first, and those of all commands last.
    groups.sort_by_key(|(heading, _)| heading.is_none());
    let has_headings = groups.len() > 1;
    for (heading, options) in groups {
        match heading {
            Some(heading) => text += &format!(".SS {}\n", line(heading)),
            None if has_headings => text += ".SS General options\n",
            None => {}
        }
        text += &options;
    }
    Ok(text)
}

/// The entries of the arguments that `is_wanted`.
fn options(command: &Command, is_wanted: impl Fn(&Arg) -> bool) -> Result<String, Box<dyn Error>> {
    let adjusted = command.clone().mut_args(|arg| {
        if arg.is_hide_set() || !is_wanted(&arg) {
            return arg.hide(true);
        }
        let values = arg.get_possible_values();
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let help = arg.get_long_help().map_or(help, ToString::to_string);
        let names: Vec<&str> = values.iter().map(PossibleValue::get_name).collect();
        let only_names = values.iter().all(|value| value.get_help().is_none());
        let choice = match names.split_last() {
            Some((last, others)) if only_names => format!(": {} or {last}", others.join(", ")),
            _ => String::new(),
        };
        let help = help.trim_end_matches('.').to_owned() + &choice + &default(&arg) + ".";
        let listed = values.iter().filter_map(|value| {
            let help = value.get_help()?;
            Some(format!("\n`{}`\n{help}.", value.get_name()))
        });
        let help = help + &listed.collect::<String>();
        arg.hide_possible_values(true)
            .help_heading(None::<&str>)
            .long_help(help)
    });
    let text = rendered(|output| Man::new(adjusted.clone()).render_options_section(output))?;
    Ok(dressed(text.strip_prefix(".SH OPTIONS\n").unwrap_or(&text)))
}

/// The default of an option that takes a value, as the help writes it.
fn default(arg: &Arg) -> String {
    let values = arg.get_default_values();
    if values.is_empty() || !arg.get_action().takes_values() || arg.is_hide_default_value_set() {
        return String::new();
    }
    let values: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
    format!(" [default: {}]", values.join(" "))
}

fn commands(cli: &Command) -> String {
    let mut text = ".SH COMMANDS\n".to_owned();
    for command in cli
        .get_subcommands()
        .filter(|it| !it.is_hide_set() && it.get_name() != "help")
    {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        text += &format!(
            ".TP\n.BR sok\\-{} (1)\n{}.\n",
            command.get_name(),
            line(&about)
        );
    }
    text
}

fn exit_codes() -> String {
    let mut text = ".SH EXIT STATUS\n".to_owned();
    for exit in Exit::ALL {
        text += &format!(".TP\n.B {}\n{}.\n", exit.code(), line(exit.meaning()));
    }
    text + &format!(".TP\n.BI 128+ n\n{}.\n", line(Exit::Signal(0).meaning()))
}

/// What the help says before its examples: paragraphs, and tables that are indented. The exit codes have
/// their own section, which is written.
fn of_notes(notes: &str) -> String {
    let mut text = String::new();
    let mut names = String::new();
    let mut in_table = false;
    let is_kept = |paragraph: &&str| !paragraph.starts_with("Exit code: ");
    let kept: Vec<&str> = notes.trim().split("\n\n").filter(is_kept).collect();
    for row in kept.join("\n\n").lines() {
        if in_table && !row.is_empty() && !row.starts_with("  ") {
            text += ".PP\n";
        }
        in_table = row.starts_with("  ");
        if row.is_empty() {
            text += ".PP\n";
        } else if let Some(cells) = row.strip_prefix("  ") {
            // A row without a second cell goes on in the next one.
            let (name, meaning) = cells.split_once("  ").unwrap_or((cells, ""));
            names = format!("{names} {name}");
            if !meaning.is_empty() {
                text += &format!(".TP\n.B {}\n{}\n", names.trim(), line(meaning.trim()));
                names.clear();
            }
        } else {
            text += &(line(row) + "\n");
        }
    }
    match text.is_empty() {
        true => text,
        false => ".SH NOTES\n".to_owned() + &text,
    }
}

/// The longest line of an example: with the indentation, a page is 80 columns wide.
const EXAMPLE_WIDTH: usize = 71;

fn of_examples(examples: &str) -> String {
    let mut rows = String::new();
    for row in examples.trim_end().lines() {
        let row = row.strip_prefix("  ").unwrap_or(row);
        let (command, remark) = row.split_once("   ").unwrap_or((row, ""));
        let remark = remark.trim().trim_matches(['(', ')']);
        if !remark.is_empty() {
            rows += &format!("# {}\n", verbatim(remark));
        }
        rows += &(verbatim(&in_lines(command)).replace('\n', "\n    ") + "\n");
    }
    match rows.is_empty() {
        true => rows,
        false => format!(".SH EXAMPLES\n.nf\n{rows}.fi\n"),
    }
}

/// A long command in several lines, broken before an option.
fn in_lines(command: &str) -> String {
    if command.len() <= EXAMPLE_WIDTH {
        return command.to_owned();
    }
    let fits = |at: &usize| *at + 2 <= EXAMPLE_WIDTH;
    let place = command
        .match_indices(" -")
        .map(|(at, _)| at)
        .filter(fits)
        .last();
    place.map_or_else(
        || command.to_owned(),
        |at| format!("{} \\\n{}", &command[..at], in_lines(&command[at + 1..])),
    )
}

/// Text that is copied: each character is the one that is typed.
fn verbatim(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let text = text.replace('\'', "\\(aq").replace('`', "\\(ga");
    text.replace('~', "\\(ti").replace('^', "\\(ha")
}

/// The words of an address, as the help lists them.
fn addresses() -> String {
    let of_families = Family::ALL.iter().flat_map(|family| family.words());
    let mut text = String::new();
    for (words, meaning) in of_families.chain(&Target::WORDS) {
        let words: Vec<String> = words
            .split(", ")
            .map(|word| format!("\\fB{}\\fR", line(word)))
            .collect();
        text += &format!(".TP\n{}\n{}.\n", words.join(", "), line(meaning));
    }
    text
}
