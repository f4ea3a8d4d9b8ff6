//! The words of the command line, read.

use std::ffi::OsString;
use std::{env, mem};

use clap::{Args, FromArgMatches, Parser};

use super::usage::Refusal;
use super::{Cli, Command, TalkArgs};

/// Reads the arguments of this process.
///
/// To describe all commands is most of what it costs to read a command line, so only the one that
/// is asked for is described. What cannot be read so, help and errors among it, is for the
/// description of all. With clap's deferred subcommands a whole `sok call` takes 1/16 more time and 8
/// more page faults: the nine commands and their global options are described all the same.
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
        "tour" => read_one(words, Command::Tour),
        _ => None,
    }
}

/// Reads the words after the first, which names the command.
fn read_one<A: Args>(words: &[OsString], command: fn(A) -> Command) -> Option<Cli> {
    let mut described = TalkArgs::augment_args(A::augment_args(clap::Command::new("sok")));
    let matches = described.try_get_matches_from_mut(words);
    // To free its many parts is 1/25 of the time of a whole `sok call`, which reads one line.
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

/// Reads a command line, its words ended by NUL as in `/proc/pid/cmdline`, and the error that it may
/// be refused with: see `fuzzing.rs`.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(line: &[u8]) {
    use std::os::unix::ffi::OsStrExt;

    use super::usage::{asks_for_help, told};

    let words: Vec<OsString> = line
        .split(|byte| *byte == 0)
        .map(|word| std::ffi::OsStr::from_bytes(word).to_owned())
        .collect();
    let alone = named(&words);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_alone_as_it_is_among_all() {
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
        ];
        for line in lines {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let alone = named(&words).expect(line);
            let program = std::iter::once("sok".into());
            let among_all = Cli::try_parse_from(program.chain(words)).expect(line);
            assert_eq!(format!("{alone:?}"), format!("{among_all:?}"));
        }
    }

    #[test]
    fn what_no_command_reads_alone_is_left_to_the_description_of_all() {
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
