//! The command line: what can be typed, and its help. Nothing here does I/O.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::address::AddressParts;
use super::values::{at_least_one, duration, mode, size, threads};
use crate::loops::Framing;

const ADDRESSES: &str = "\
ADDRESS is the same word in every command:
  unix:/tmp/s.sock, /tmp/s.sock, ./s.sock   AF_UNIX, a socket file
  unix:@name, @name                         AF_UNIX, an abstract name (Linux)
  inet:127.0.0.1:8082                       AF_INET (alias tcp4:)
  inet6:[::1]:8082, inet6:[fe80::1%eth0]:80 AF_INET6 (alias tcp6:)
  tcp:localhost:8082, localhost:8082        either, by what the name resolves to
  :8082                                     to listen on every address, dual-stack";

/// One socket tool for every address family: AF_INET, AF_INET6 and AF_UNIX by the same two loops.
#[derive(Debug, Parser)]
#[command(name = "sok", version, max_term_width = 100, help_expected = true)]
#[command(after_help = format!("{ADDRESSES}\n\nExit codes:\n{}", super::exit::Table))]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) talk: Talk,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Accept connections and answer them, on every family alike
    #[command(after_help = "Examples:
  sok serve --family unix --path /tmp/s.sock
  sok serve inet6:[::1]:8082 --suffix '!' --framing line
  sok serve ./s.sock --mode 660 --owner :www-data --exec ./answer.sh")]
    Serve(ServeArgs),
    /// Connect: standard input to the socket, the socket to standard output
    #[command(after_help = "Examples:
  sok connect unix:/tmp/s.sock < request > reply
  sok connect localhost:8082 --prompt '> '")]
    Connect(ConnectArgs),
    /// Make one call: send one message, print the one reply
    #[command(after_help = "Examples:
  sok call unix:/tmp/s.sock hello
  sok call /run/redis.sock PING
  sok call localhost:8080 --framing eof < request")]
    Call(CallArgs),
    /// Bridge any address to any address
    #[command(after_help = "Examples:
  sok relay localhost:2375 unix:/var/run/docker.sock
  sok relay ./db.sock db.example:5432 --retry-for 30s
  sok relay inet6:[::1]:8080 inet:127.0.0.1:80 --listen unix:@web")]
    Relay(RelayArgs),
    /// Wait until servers accept, then run a command
    #[command(after_help = "Examples:
  sok wait /run/db.sock localhost:8082 --timeout 30s -- ./start
  sok wait --gone ./s.sock")]
    Wait(WaitArgs),
}

/// How the program talks.
#[derive(Debug, Args)]
pub(crate) struct Talk {
    /// Say nothing on standard error but errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Tell of each connection
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,

    /// Show each socket call as it happens: family, arguments, result, time
    #[arg(long, global = true)]
    pub(crate) trace: bool,

    /// Talk in JSON, an object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FramingArgs {
    /// What a message is
    #[arg(long, value_enum)]
    pub(crate) framing: Option<FramingArg>,

    /// The largest message, such as 64KiB; a larger one is an error
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    pub(crate) max_message: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FramingArg {
    /// What one receive returns
    Chunk,
    /// Ended by a newline
    Line,
    /// Ended by a NUL byte
    Null,
    /// After its length in 4 bytes, big-endian
    Length,
    /// All until the end of the sending half (calls only)
    Eof,
}

impl FramingArg {
    /// The library's framing; `None` for all until the end.
    pub(crate) const fn framing(self) -> Option<Framing> {
        match self {
            Self::Chunk => Some(Framing::Chunk),
            Self::Line => Some(Framing::Line),
            Self::Null => Some(Framing::Null),
            Self::Length => Some(Framing::Length),
            Self::Eof => None,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<OsString>,

    #[command(flatten)]
    pub(crate) parts: AddressParts,

    #[command(flatten)]
    pub(crate) services: ServiceArgs,

    #[command(flatten)]
    pub(crate) framing: FramingArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

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

    /// Run CMD for each client, the socket as its input and output; takes the rest of the line
    #[arg(long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) exec: Option<Vec<OsString>>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// How many clients are served at once; the others wait in the backlog
    #[arg(long, value_name = "N", default_value = "4096", value_parser = at_least_one)]
    pub(crate) max_connections: u64,

    /// Serve one client after another: the next one waits in the backlog
    #[arg(long, conflicts_with = "max_connections")]
    pub(crate) one_at_a_time: bool,

    /// Serve one connection, then exit with its result
    #[arg(long, conflicts_with = "exit_after")]
    pub(crate) once: bool,

    /// Serve N connections, then exit with the result of the first that failed
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) exit_after: Option<u64>,

    /// How long a stop (SIGTERM, SIGINT) waits for the clients under way; a second one ends it
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(crate) grace: Duration,

    /// How many threads serve [default: 1 to answer, one a processor to relay]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "The listening socket")]
pub(crate) struct ListenArgs {
    /// How many clients may wait to be accepted
    #[arg(long, value_name = "N", default_value = "4096")]
    pub(crate) backlog: u32,

    /// Take IPv6 clients alone on `[::]`, not IPv4 too
    #[arg(long)]
    pub(crate) v6only: bool,

    /// The permission bits of the socket file; to connect takes the right to write
    #[arg(long, value_name = "OCTAL", default_value = "600", value_parser = mode)]
    pub(crate) mode: u32,

    /// The owner of the socket file, by name or number
    #[arg(long, value_name = "USER[:GROUP]")]
    pub(crate) owner: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Where to connect to
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<OsString>,

    #[command(flatten)]
    pub(crate) parts: AddressParts,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    /// Give up connecting after this time, such as 500ms
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Give up when nothing passes, either way, for this time
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Keep the sending half open when the input ends
    #[arg(long)]
    pub(crate) no_half_close: bool,

    /// Go on sending when the server ends first, until the input ends
    #[arg(long)]
    pub(crate) keep_sending: bool,

    /// Hold a conversation: TEXT, one line, the reply, again (default on a terminal)
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["no_half_close", "keep_sending", "idle_timeout"])]
    pub(crate) prompt: Option<String>,

    /// Refuse to send a line of the conversation that has WORD in it; repeatable
    #[arg(long, value_name = "WORD")]
    pub(crate) forbid: Vec<String>,
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
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<OsString>,

    /// Let a client wait for this time while nobody is at the target
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) retry_for: Option<Duration>,

    /// Give up connecting to the target after this time
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) connect_timeout: Option<Duration>,

    /// Give up a connection when nothing passes, either way, for this time
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Our own end towards the target, an address of the same family
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) source: Option<OsString>,

    /// Show the traffic, as hex or text on standard error, or as hex in FILE; it is then copied
    #[arg(long, value_name = "hex|text|FILE")]
    pub(crate) dump: Option<OsString>,

    /// Copy all bytes, splice none: to compare
    #[arg(long)]
    pub(crate) copy: bool,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) socket: ListenArgs,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct WaitArgs {
    /// What to wait for
    #[arg(value_name = "ADDRESS", required = true)]
    pub(crate) addresses: Vec<OsString>,

    /// Wait until one of them accepts, not all
    #[arg(long)]
    pub(crate) any: bool,

    /// Wait until nobody is there any more
    #[arg(long)]
    pub(crate) gone: bool,

    /// Take a name that does not resolve for an error
    #[arg(long)]
    pub(crate) strict_dns: bool,

    /// The longest pause between two tries; a socket file that changes is tried at once
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration)]
    pub(crate) interval: Duration,

    /// Give up after this time, and tell the last reason
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// What to run then, in place of this process; its exit status becomes ours
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// How a client connects.
#[derive(Debug, Args)]
pub(crate) struct DialArgs {
    /// The client's own end, an address of the same family
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Option<OsString>,

    /// Try again for this time while nobody is there
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) retry_for: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// Where to connect to
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<OsString>,

    /// What to send; the standard input by default
    #[arg(value_name = "MESSAGE")]
    pub(crate) message: Option<OsString>,

    #[command(flatten)]
    pub(crate) parts: AddressParts,

    #[command(flatten)]
    pub(crate) framing: FramingArgs,

    /// The reply is N lines
    #[arg(long, value_name = "N", conflicts_with_all = ["bytes", "framing"], value_parser = at_least_one)]
    pub(crate) lines: Option<u64>,

    /// The reply is N bytes
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) bytes: Option<u64>,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    /// Give up after this time, the whole call counted
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    /// With `help_expected` it also finds an argument without help.
    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
