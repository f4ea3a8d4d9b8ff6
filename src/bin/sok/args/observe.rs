//! The arguments that say how a server shows what it does.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use sok::address::Target;
use sok::error::Result;

use super::{Command, OBSERVATION};

/// The status and the log of a server.
#[derive(Debug, Args)]
#[command(next_help_heading = OBSERVATION)]
pub(crate) struct ObserveArgs {
    /// Serve the status over HTTP at this address, a socket file (mode 600) or a port of TCP: / is an
    /// object in JSON, /metrics is for Prometheus, /healthz is 503 once the server stops
    #[arg(long, value_name = "ADDRESS")]
    status: Option<OsString>,

    /// The format of the log on standard error: text, or one JSON object per line with its time
    /// [default: text, and json with --json]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) log: Option<LogArg>,
}

impl ObserveArgs {
    /// Where the status is to be served, if anywhere.
    pub(crate) fn target(&self) -> Result<Option<Target>> {
        self.status.as_ref().map(Target::parse).transpose()
    }
}

/// The format of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogArg {
    /// Lines of text
    Text,
    /// An object per line
    Json,
}

impl Command {
    /// The format of the log, if the command takes it and it was given.
    pub(crate) const fn log(&self) -> Option<LogArg> {
        match self {
            Self::Serve(args) => args.observe.log,
            Self::Relay(args) => args.observe.log,
            _ => None,
        }
    }
}

/// Whether `words`, which may be no valid command line, ask for objects on standard error.
pub(super) fn asks_for_objects(words: &[OsString]) -> bool {
    let mut formats = words.iter().enumerate().filter_map(|(place, word)| {
        let word = word.to_str()?;
        let value = match word == "--log" {
            true => words.get(place + 1)?.to_str()?,
            false => word.strip_prefix("--log=")?,
        };
        LogArg::from_str(value, false).ok()
    });
    match formats.next_back() {
        Some(format) => format == LogArg::Json,
        None => words.iter().any(|word| word == "--json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_format_decides_how_an_error_of_usage_is_printed() {
        for (line, wanted) in [
            ("serve --json", true),
            ("serve --log json", true),
            ("serve --log=json --nothing", true),
            ("serve --json --log text", false),
            ("serve --log=text --log json", true),
            ("serve --log", false),
            ("serve --json --log yaml", true),
            ("serve json", false),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(asks_for_objects(&words), wanted, "{line}");
        }
    }
}
