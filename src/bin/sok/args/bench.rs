//! What can be typed to measure.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sok::address::Family;

use crate::args::values::{at_least_one, family, message_size, rate, some_duration};
use crate::bench::Role;

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure, one of rtt, throughput and connect [default: all]; or ADDRESS at once
    #[arg(value_name = "MEASURE")]
    pub(crate) measure: Option<OsString>,

    /// The server to measure [default: one of each family, started for it]
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<OsString>,

    /// The families to measure, with commas; the others are compared to the first [default: all
    /// that this machine has, inet first]
    #[arg(long, value_name = "FAMILIES", value_delimiter = ',', value_parser = family)]
    pub(crate) families: Vec<Family>,

    /// The size of a message, such as 4096 or 64KiB [default: 64, for throughput 64KiB]
    #[arg(long, value_name = "SIZE", value_parser = message_size)]
    pub(crate) size: Option<usize>,

    /// How many connections to use at once, a thread each
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one)]
    pub(crate) connections: u64,

    /// How long to measure each family for each measure
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = some_duration)]
    pub(crate) duration: Duration,

    /// Begin N messages (or connections) a second, whatever the server does, and count the time
    /// of each from when it was to begin: a stall is not hidden [default: each when the one before
    /// is done]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// Poll at both ends of rtt and never sleep: what the socket costs without the scheduler. The
    /// ends are placed on two processors, if there are two
    #[arg(long)]
    pub(crate) spin: bool,

    /// Place the client on processor A, and our own server on B
    #[arg(long, value_name = "A[,B]", value_delimiter = ',')]
    pub(crate) cpus: Vec<usize>,

    /// How long the server may take for a reply, or to end
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = some_duration)]
    pub(crate) timeout: Duration,

    /// Print the results as comma-separated values, times in nanoseconds
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,

    /// Draw the results into FILE: a curve of the percentiles and a bar for each family
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Write the times into FILE as an HdrHistogram log, an interval with a tag each
    #[arg(long, value_name = "FILE")]
    pub(crate) hdr: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchServerArgs {
    /// The family to serve, on this machine only
    #[arg(long, value_parser = family)]
    pub(crate) family: Family,

    /// What to do with a connection: echo, sink or accept
    #[arg(long, value_parser = role)]
    pub(crate) role: Role,

    /// Poll, and never sleep
    #[arg(long)]
    pub(crate) spin: bool,

    /// The processor to run on
    #[arg(long, value_name = "N")]
    pub(crate) cpu: Option<usize>,
}

fn role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.name() == text);
    found.ok_or_else(|| "known are echo, sink and accept".to_owned())
}
