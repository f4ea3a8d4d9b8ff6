//! Parses the command line.

use std::ffi::OsString;
use std::{env, mem};

use clap::{Args, FromArgMatches, Parser};

use super::usage::Refusal;
use super::{Cli, Command, TalkArgs};

/// Reads the arguments of this process.
///
/// Building clap's description of all commands takes most of the time of parsing, so this builds only
/// the description of the command that is named. The full description handles the rest, such as help
/// and errors. With clap's deferred subcommands, a whole `sok call` takes 1/16 more time and 8 more
/// page faults, since clap still describes the nine commands and their global options.
pub(crate) fn command_line() -> Result<Cli, Refusal> {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    named(&words).map_or_else(|| Cli::try_parse().map_err(Refusal::from), Ok)
}

pub(crate) fn named(words: &[OsString]) -> Option<Cli> {
    match words.first()?.to_str()? {
        "serve" => read_one(words, Command::Serve),
        "connect" => read_one(words, Command::Connect),
        "call" => read_one(words, Command::Call),
        "relay" => read_one(words, Command::Relay),
        "wait" => read_one(words, Command::Wait),
        "bench" => read_one(words, Command::Bench),
        "bench-server" => read_one(words, Command::BenchServer),
        "check" => read_one(words, Command::Check),
        "completions" => read_one(words, Command::Completions),
        "tour" => read_one(words, Command::Tour),
        "activate" => read_one(words, Command::Activate),
        "activated" => read_one(words, Command::Activated),
        _ => None,
    }
}

/// Reads the words after the first, which names the command.
fn read_one<A: Args>(words: &[OsString], command: fn(A) -> Command) -> Option<Cli> {
    let mut described = TalkArgs::augment_args(A::augment_args(clap::Command::new("sok")));
    let matches = described.try_get_matches_from_mut(words);
    // Freeing its many parts takes 1/25 of the time of a whole `sok call`.
    if cfg!(not(any(test, fuzzing))) {
        mem::forget(described);
    }
    let mut matches = matches.ok()?;
    let line = Cli {
        talk: TalkArgs::from_arg_matches_mut(&mut matches).ok()?,
        command: command(A::from_arg_matches_mut(&mut matches).ok()?),
    };
    Some(line)
}

/// Parses a command line whose words end with NUL, as in `/proc/pid/cmdline`, and checks the error of
/// a wrong one: see `fuzzing.rs`.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(line: &[u8]) {
    use std::os::unix::ffi::OsStrExt;

    use super::usage::{asks_for_help, usage_error};

    let words: Vec<OsString> = line
        .split(|byte| *byte == 0)
        .map(|word| std::ffi::OsStr::from_bytes(word).to_owned())
        .collect();
    let own = named(&words);
    let read = Cli::try_parse_from(std::iter::once("sok".into()).chain(words.iter().cloned()));
    match (own, read) {
        (Some(own), Ok(read)) => assert_eq!(format!("{own:?}"), format!("{read:?}")),
        (Some(own), Err(error)) => panic!("the full parser refuses {own:?}: {error}"),
        (None, Ok(_)) => {}
        (None, Err(error)) if asks_for_help(&error) => {}
        (None, Err(error)) => {
            let error = usage_error(&error, &words);
            let cause = error.cause();
            assert!(!cause.is_empty() && !cause.contains('\n'), "{cause:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_of_one_command_agrees_with_the_full_parser() {
        let lines = [
            "call ./s.sock hello",
            "call --family inet --host localhost --port 80 hello -q --timeout 2s",
            "call ./s.sock -- --json",
            "serve -v --json :80 --mode 660 --exec cat -q",
            "connect @name --no-half-close --trace",
            "relay :80 ./s.sock --listen @a --listen @b --retry-for 2s",
            "wait ./s.sock :80 --any -- cat --any",
            "bench rtt ./s.sock --size 1KiB --rate 1000 --json",
            "bench --families unix,inet --cpus 0,1 --svg x.svg",
            "check --family inet --family tcp6 --json",
            "tour --lesson 1 --lesson 4 --family unix --pause --json",
            "activate :80 @s --restart -v --fdname a --fdname b -- cat -v",
            "activated --parent 7 --socket 9 --socket 11 --json -- cat --json",
        ];
        for line in lines {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let own = named(&words).expect(line);
            let program = std::iter::once("sok".into());
            let full = Cli::try_parse_from(program.chain(words)).expect(line);
            assert_eq!(format!("{own:?}"), format!("{full:?}"));
        }
    }

    #[test]
    fn the_parser_of_one_command_leaves_help_and_errors_to_the_full_parser() {
        for line in [
            "call --help",
            "call --nothing",
            "--quiet call ./s.sock",
            "help call",
            "kall",
            "call -V",
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert!(named(&words).is_none(), "{line}");
        }
    }
}
