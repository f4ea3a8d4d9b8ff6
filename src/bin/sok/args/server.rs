//! What can be typed to a server, the relay among them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{CONNECTION, EXCHANGE, FramingArg, FramingArgs, MESSAGES, TcpArgs};
use crate::args::address::AddressArgs;
use crate::args::values::{at_least_one, duration, mode, size, some_time, threads};

const LISTENING: &str = "The listening socket";

#[derive(Debug, Args)]
#[command(mut_arg("port", |port| port.help("The port; 0 lets the kernel choose one")))]
pub(crate) struct ServeArgs {
    /// Where to listen
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<OsString>,

    #[command(flatten)]
    pub(crate) parts: AddressArgs,

    #[command(flatten)]
    pub(crate) services: ServiceArgs,

    #[command(flatten)]
    pub(crate) framing: FramingArgs<FramingArg>,

    /// Memory for the unfinished messages and unsent replies of all clients together; a client that
    /// needs more is cut off [default: 256MiB, or two of the largest message; a quarter
    /// of the memory at most]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = MESSAGES)]
    pub(crate) max_memory: Option<usize>,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    /// Give up a client when nothing passes, either way, for this time
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = EXCHANGE)]
    pub(crate) idle_timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) listen: ListenArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is answered, one of")]
pub(crate) struct ServiceArgs {
    /// Answer each message with itself (default)
    #[arg(long)]
    pub(crate) echo: bool,

    /// Answer each message with itself and TEXT after it
    #[arg(long, value_name = "TEXT")]
    pub(crate) suffix: Option<OsString>,

    /// Take everything and answer nothing
    #[arg(long)]
    pub(crate) discard: bool,

    /// Send FILE to each client
    #[arg(long, value_name = "FILE")]
    pub(crate) send: Option<PathBuf>,

    /// Run CMD for each client, a pipe as its input and one as its output; takes the rest of the
    /// line. See below
    #[arg(long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) exec: Option<Vec<OsString>>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// How many clients are served at once, as far as `ulimit -n` allows; the others wait in the
    /// backlog [default: 65536, more than one TCP peer has ports; one for each 64KiB of memory at
    /// most]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) max_connections: Option<u64>,

    /// Serve one client after another: the next one waits in the backlog
    #[arg(long, conflicts_with = "max_connections")]
    pub(crate) one_at_a_time: bool,

    /// Serve one connection, then exit with its result
    #[arg(long, conflicts_with = "exit_after")]
    pub(crate) once: bool,

    /// Serve N connections, then exit with the result of the first that failed
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) exit_after: Option<u64>,

    /// How long a stop (SIGTERM, SIGINT, SIGHUP) waits for the clients under way; a second one ends it
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(crate) grace: Duration,

    /// How many threads serve [default: 1 to answer, one a processor to relay]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = LISTENING)]
pub(crate) struct ListenArgs {
    /// How many clients may wait to be accepted
    #[arg(long, value_name = "N", default_value = "4096")]
    pub(crate) backlog: u32,

    /// Take only IPv6 clients on `[::]`, not IPv4 too
    #[arg(long)]
    pub(crate) v6only: bool,

    /// The permission bits of the socket file; to connect takes the right to write [default: 600]
    #[arg(long, value_name = "OCTAL", value_parser = mode)]
    pub(crate) mode: Option<u32>,

    /// The owner of the socket file, by name or number
    #[arg(long, value_name = "USER[:GROUP]")]
    pub(crate) owner: Option<String>,

    #[command(flatten)]
    pub(crate) tcp: TcpArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RelayArgs {
    /// Where to listen
    #[arg(value_name = "LISTEN")]
    pub(crate) listen_on: OsString,

    /// Where to connect to, for each client anew
    #[arg(value_name = "TARGET")]
    pub(crate) target: OsString,

    /// Another address to listen on, in the same process; repeatable
    #[arg(long, value_name = "ADDRESS", help_heading = LISTENING)]
    pub(crate) listen: Vec<OsString>,

    /// Let a client wait for this time while nobody is at the target
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = CONNECTION)]
    pub(crate) retry_for: Option<Duration>,

    /// Give up connecting to the target after this time
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = CONNECTION)]
    pub(crate) connect_timeout: Option<Duration>,

    /// Give up a connection when nothing passes, either way, for this time
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = EXCHANGE)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Give up a connection when one side has ended and nothing passes the other way for this time
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = EXCHANGE)]
    pub(crate) half_close_timeout: Option<Duration>,

    /// Our own end towards the target, an address of the same family; with a port or a name there is
    /// one connection at a time
    #[arg(long, value_name = "ADDRESS", help_heading = CONNECTION)]
    pub(crate) source: Option<OsString>,

    /// Memory for what all peers together do not take at once; a connection that needs more is cut off
    /// [default: 256MiB; a quarter of the memory at most]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = EXCHANGE)]
    pub(crate) max_memory: Option<usize>,

    /// Show the traffic, as hex or text on standard error, or as hex at the end of FILE, which SIGHUP
    /// opens anew; it is then copied. A reader that falls more than 16 MiB behind misses traffic,
    /// and the dump says how much
    #[arg(long, value_name = "hex|text|FILE", help_heading = EXCHANGE)]
    pub(crate) dump: Option<OsString>,

    /// Copy all bytes, splice none: to compare
    #[arg(long, help_heading = EXCHANGE)]
    pub(crate) copy: bool,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) socket: ListenArgs,
}
