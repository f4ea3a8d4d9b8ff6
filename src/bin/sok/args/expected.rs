//! What may follow on an incomplete command line, by the description that parses a complete one.

use clap::{Arg, ArgAction, Command, CommandFactory};
use sok::address::{Family, SocketType};

use super::Cli;
use crate::completions::Choice;

/// What a word may be.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// The length of the part of the word that comes before the value, such as `--svg=`.
    pub(crate) before: usize,
    pub(crate) choices: Vec<Choice>,
    pub(crate) kind: Option<Kind>,
}

/// What else a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Address,
    /// The path of a socket file, without escapes.
    SocketFile,
    File,
    /// A part of another command, which begins with this word.
    Command(usize),
}

/// What `word` may be, after `words`, which do not have the name of the program.
pub(crate) fn expected(words: &[String], word: &str) -> Expected {
    let mut cli = Cli::command();
    cli.build();
    let mut at = Position::new(&cli);
    for (place, word) in words.iter().enumerate() {
        if !at.pass(place, word) {
            return Expected::default();
        }
    }
    at.expects(word)
}

/// A place on the command line.
#[derive(Debug)]
struct Position<'a> {
    command: &'a Command,
    /// The option whose value follows.
    open: Option<&'a Arg>,
    given: Vec<&'a Arg>,
    /// The number of arguments that are no options.
    values: usize,
    only_values: bool,
    /// Where another command begins.
    program: Option<usize>,
}

impl<'a> Position<'a> {
    const fn new(command: &'a Command) -> Self {
        Self {
            command,
            open: None,
            given: Vec::new(),
            values: 0,
            only_values: false,
            program: None,
        }
    }

    /// Goes past a word; false if it cannot be there.
    fn pass(&mut self, place: usize, word: &str) -> bool {
        if self.program.is_some() || self.open.take().is_some() {
            return true;
        }
        if !self.only_values && word == "--" {
            self.only_values = true;
            let last = self.last().filter(|last| !last.is_hide_set());
            self.program = last.map(|_| place + 1);
        } else if !self.only_values && word.len() > 1 && word.starts_with('-') {
            let name = word.split('=').next().unwrap_or(word);
            let Some(option) = self.option(name) else {
                return false;
            };
            self.given.push(option);
            if takes_value(option) && !word.contains('=') {
                self.open = Some(option);
                // The rest of the line is its value.
                self.program = option.is_allow_hyphen_values_set().then_some(place + 1);
            }
        } else if self.command.has_subcommands() {
            let Some(command) = self.command.find_subcommand(word) else {
                return false;
            };
            self.command = command;
            self.given.clear();
        } else {
            self.values += 1;
        }
        true
    }

    fn option(&self, name: &str) -> Option<&'a Arg> {
        let is_it = |arg: &&Arg| match (name.strip_prefix("--"), name.strip_prefix('-')) {
            (Some(long), _) => arg.get_long() == Some(long),
            (None, Some(short)) => arg.get_short().is_some_and(|own| short == own.to_string()),
            _ => false,
        };
        self.command.get_arguments().find(is_it)
    }

    /// The argument that begins after `--`.
    fn last(&self) -> Option<&'a Arg> {
        self.command.get_positionals().find(|arg| arg.is_last_set())
    }

    fn expects(&self, word: &str) -> Expected {
        if let Some(program) = self.program {
            return Expected {
                kind: Some(Kind::Command(program)),
                ..Expected::default()
            };
        }
        if let Some(option) = self.open {
            return value(option, word, 0);
        }
        if !self.only_values && word.starts_with('-') {
            let Some((name, given)) = word.split_once('=') else {
                return self.options();
            };
            let option = self.option(name).filter(|option| takes_value(option));
            let before = word.len() - given.len();
            return option.map_or_else(Expected::default, |option| value(option, given, before));
        }
        if self.command.has_subcommands() {
            let commands = self
                .command
                .get_subcommands()
                .filter(|it| !it.is_hide_set());
            let choice =
                |command: &Command| Choice::new(command.get_name(), meaning(command.get_about()));
            return Expected {
                choices: commands.map(choice).collect(),
                ..Expected::default()
            };
        }
        let places: Vec<&Arg> = self
            .command
            .get_positionals()
            .filter(|arg| !arg.is_last_set())
            .collect();
        let repeated = places.last().filter(|last| takes_several(last));
        let place = places.get(self.values).or(repeated);
        place.map_or_else(Expected::default, |place| value(place, word, 0))
    }

    /// The options that may be added.
    fn options(&self) -> Expected {
        let excludes = |one: &Arg, other: &Arg| {
            let conflicts = self.command.get_arg_conflicts_with(one);
            conflicts.iter().any(|it| it.get_id() == other.get_id())
        };
        let may_follow = |option: &&Arg| {
            let repeats = matches!(option.get_action(), ArgAction::Append);
            self.given.iter().all(|given| {
                let is_same = given.get_id() == option.get_id();
                (repeats || !is_same) && !excludes(given, option) && !excludes(option, given)
            })
        };
        let options = self
            .command
            .get_opts_and_flags()
            .filter(|it| !it.is_hide_set());
        let choice = |option: &Arg| {
            let name = option.get_long()?;
            Some(Choice::new(format!("--{name}"), meaning(option.get_help())))
        };
        Expected {
            choices: options.filter(may_follow).filter_map(choice).collect(),
            ..Expected::default()
        }
    }
}

trait Flags {
    fn get_opts_and_flags(&self) -> impl Iterator<Item = &Arg>;
}

impl Flags for Command {
    fn get_opts_and_flags(&self) -> impl Iterator<Item = &Arg> {
        self.get_arguments().filter(|arg| !arg.is_positional())
    }
}

fn takes_value(option: &Arg) -> bool {
    option.get_action().takes_values()
}

fn takes_several(place: &Arg) -> bool {
    place
        .get_num_args()
        .is_some_and(|range| range.max_values() > 1)
}

/// The first part of a help text.
fn meaning(help: Option<&impl ToString>) -> String {
    let help = help.map(ToString::to_string).unwrap_or_default();
    let ends = [". ", "; ", ": ", " [default", "\n"];
    let end = ends.iter().filter_map(|end| help.find(end)).min();
    help[..end.unwrap_or(help.len())].to_owned()
}

/// What the value of an argument may be; `word` has come of it.
fn value(arg: &Arg, word: &str, before: usize) -> Expected {
    let listed = match arg.get_value_delimiter() {
        Some(delimiter) => word
            .rfind(delimiter)
            .map_or(0, |at| at + delimiter.len_utf8()),
        None => 0,
    };
    let (choices, kind) = by_name(arg);
    Expected {
        before: before + listed,
        choices,
        kind,
    }
}

/// The values of an argument, by the name of its value.
fn by_name(arg: &Arg) -> (Vec<Choice>, Option<Kind>) {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let choices = possible.iter().filter(|it| !it.is_hide_set());
        let choices = choices.map(|it| Choice::new(it.get_name(), meaning(it.get_help())));
        return (choices.collect(), None);
    }
    let of = |words: &[&str]| words.iter().map(|word| Choice::new(*word, "")).collect();
    let name = arg.get_value_names().and_then(|names| names.first());
    match name.map_or("", |name| name.as_str()) {
        "ADDRESS" | "LISTEN" | "TARGET" => (Vec::new(), Some(Kind::Address)),
        "PATH" => (Vec::new(), Some(Kind::SocketFile)),
        "FILE" => (Vec::new(), Some(Kind::File)),
        "hex|text|FILE" => (of(&["hex", "text"]), Some(Kind::File)),
        "MEASURE" => (of(&["rtt", "throughput", "connect"]), Some(Kind::Address)),
        "FAMILY" | "FAMILIES" => (of(&Family::ALL.map(Family::name)), None),
        "TYPE" | "TYPES" => (of(&SocketType::ALL.map(SocketType::name)), None),
        "DURATION|off" => (of(&["off"]), None),
        "RULE" => (of(&["any", "uid:", "gid:"]), None),
        "NAME" if arg.get_id() == "stop_signal" => {
            (of(&["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"]), None)
        }
        "NAME" if arg.get_id() == "congestion" => (of(&["auto", "reno", "cubic", "bbr"]), None),
        _ => (Vec::new(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(line: &str) -> Vec<String> {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let word = words.pop().unwrap();
        let expected = expected(&words, &word);
        let start = &word[expected.before..];
        let choices = expected.choices.into_iter().map(|choice| choice.value);
        choices.filter(|value| value.starts_with(start)).collect()
    }

    fn kind(line: &str) -> Option<Kind> {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let word = words.pop().unwrap();
        expected(&words, &word).kind
    }

    #[test]
    fn commands_options_and_values_are_offered() {
        assert_eq!(offered("se"), ["serve"]);
        assert_eq!(offered("-q serve --suf"), ["--suffix"]);
        assert_eq!(offered("serve --type se"), ["seqpacket"]);
        assert_eq!(offered("serve --type=se"), ["seqpacket"]);
        assert_eq!(offered("bench --families unix,inet"), ["inet", "inet6"]);
        assert_eq!(offered("relay a b --descriptors p"), ["pass"]);
        assert_eq!(offered("help se"), ["serve"]);
        assert_eq!(offered("help serve "), [""; 0]);
        assert!(!offered("").contains(&"activated".to_owned()));
        assert!(!offered("help ").contains(&"activated".to_owned()));
        assert!(offered("nonsense --").is_empty());
    }

    #[test]
    fn an_option_that_cannot_be_added_is_not_offered() {
        assert_eq!(offered("call --lines 1 --line"), [""; 0]);
        assert_eq!(offered("call --lines 1 --byt"), [""; 0]);
        assert_eq!(offered("call --until x --unti"), ["--until"]);
    }

    #[test]
    fn addresses_files_and_commands_are_expected_at_their_places() {
        let at = |line| kind(line);
        assert_eq!(at("call "), Some(Kind::Address));
        assert_eq!(at("call x "), None);
        assert_eq!(at("relay x y "), Some(Kind::Address));
        assert_eq!(at("relay --listen "), Some(Kind::Address));
        assert_eq!(at("serve --send "), Some(Kind::File));
        assert_eq!(at("serve --path "), Some(Kind::SocketFile));
        assert_eq!(at("bench --svg="), Some(Kind::File));
        assert_eq!(at("wait x -- "), Some(Kind::Command(3)));
        assert_eq!(at("wait x -- ls -"), Some(Kind::Command(3)));
        assert_eq!(at("serve x --exec "), Some(Kind::Command(3)));
        assert_eq!(at("serve x --exec cat --"), Some(Kind::Command(3)));
        assert_eq!(at("call -- "), Some(Kind::Address));
    }

    /// A new name of a value needs a decision here.
    #[test]
    fn each_value_is_known_to_have_completions_or_none() {
        let none = [
            "A[,B]",
            "DURATION",
            "GROUP[%IFACE]",
            "HOST",
            "MESSAGE",
            "N",
            "NAME",
            "OCTAL",
            "PID",
            "PORT",
            "SIZE",
            "TEXT",
            "USER[:GROUP]",
            "WORD",
            "CMD",
            "COMMAND",
        ];
        let mut cli = Cli::command();
        cli.build();
        for command in cli.get_subcommands().filter(|it| !it.is_hide_set()) {
            for arg in command.get_arguments().filter(|arg| takes_value(arg)) {
                let name = arg.get_value_names().unwrap()[0].as_str();
                let (choices, kind) = by_name(arg);
                let has = kind.is_some() || !choices.is_empty();
                assert!(
                    has || none.contains(&name),
                    "{}: {name}",
                    command.get_name()
                );
            }
        }
    }
}
