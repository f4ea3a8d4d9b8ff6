//! The arguments of `bench`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sok::address::{Family, SocketType};

use super::ProgressArgs;
use crate::args::values::{at_least_one, family, message_size, rate, socket_type, some_duration};
use crate::bench::Role;

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure: rtt, throughput or connect [default: all]; can be left out before ADDRESS
    #[arg(value_name = "MEASURE")]
    pub(crate) measure: Option<OsString>,

    /// The server to measure [default: one server for each family, started by sok]
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<OsString>,

    /// The families to measure, separated by commas; the others are compared with the first
    /// [default: all that this machine has, inet first]
    #[arg(long, value_name = "FAMILIES", value_delimiter = ',', value_parser = family)]
    pub(crate) families: Vec<Family>,

    /// The socket types to measure, separated by commas, on each family that has them: stream,
    /// seqpacket or datagram [default: stream]
    #[arg(long = "type", value_name = "TYPES", value_delimiter = ',', value_parser = socket_type)]
    pub(crate) types: Vec<SocketType>,

    /// The size of a message, such as 4096 or 64KiB [default: 64, or 64KiB for throughput; 32KiB
    /// where UDP is measured]
    #[arg(long, value_name = "SIZE", value_parser = message_size)]
    pub(crate) size: Option<usize>,

    /// The number of concurrent connections, one thread each
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one)]
    pub(crate) connections: u64,

    /// The time to measure each family, for each measure
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = some_duration)]
    pub(crate) duration: Duration,

    /// Start N messages (or connections) per second, however slow the server is, and time each from
    /// its scheduled start, so that a stall is not hidden [default: start each when the previous one
    /// is complete]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// Poll at both ends of rtt and never sleep, to measure the socket without the scheduler. The
    /// ends run on two processors, if there are two
    #[arg(long)]
    pub(crate) spin: bool,

    /// Run the client on processor A, and sok's own server on B
    #[arg(long, value_name = "A[,B]", value_delimiter = ',')]
    pub(crate) cpus: Vec<usize>,

    /// The time limit for a reply, and for the server to end. A datagram whose reply takes a fifth of
    /// it is lost, and five lost in a row end the run
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = some_duration)]
    pub(crate) timeout: Duration,

    /// Print the results as comma-separated values, times in nanoseconds
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,

    /// Draw a chart to FILE, with a percentile curve and a bar for each family
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Write the times to FILE as an HdrHistogram log, with one tagged interval for each
    #[arg(long, value_name = "FILE")]
    pub(crate) hdr: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BenchServerArgs {
    /// The family to serve on, on this machine only
    #[arg(long, value_parser = family)]
    pub(crate) family: Family,

    /// The type of its socket
    #[arg(long = "type", default_value_t, value_parser = socket_type)]
    pub(crate) socket_type: SocketType,

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
    found.ok_or_else(|| "known roles are echo, sink and accept".to_owned())
}
