//! The command line: arguments, help and usage errors. Nothing here runs a command.

mod access;
mod activate;
mod address;
mod bench;
mod check;
mod client;
mod completions;
mod exchange;
mod expected;
mod framing;
mod observe;
mod parse;
mod progress;
mod proxy;
mod ready;
mod server;
mod tcp;
mod tour;
mod udp;
mod usage;
mod values;
mod version;

use std::fmt;

use clap::{Args, Parser, Subcommand};
use sok::address::{Family, Target};

pub(crate) use self::access::AccessArgs;
use self::activate::ACTIVATE_HELP;
pub(crate) use self::activate::{ActivateArgs, ActivatedArgs};
pub(crate) use self::address::as_one_word;
pub(crate) use self::bench::{BenchArgs, BenchServerArgs};
use self::check::CHECK_HELP;
pub(crate) use self::check::CheckArgs;
use self::client::CONNECT_HELP;
pub(crate) use self::client::{CallArgs, ConnectArgs, DialArgs, WaitArgs};
use self::completions::COMPLETIONS_HELP;
pub(crate) use self::completions::{CompletionsArgs, ShellArg};
pub(crate) use self::exchange::ExchangeArgs;
pub(crate) use self::expected::{Expected, Kind, expected};
pub(crate) use self::framing::{CallFramingArg, FramingArg, FramingArgs, InputFramingArg};
pub(crate) use self::observe::{LogArg, ObserveArgs};
pub(crate) use self::parse::command_line;
#[cfg(any(test, fuzzing))]
pub(crate) use self::parse::fuzz as fuzz_usage;
pub(crate) use self::progress::{ProgressArg, ProgressArgs};
pub(crate) use self::proxy::{AcceptProxyArgs, SendProxyArgs};
pub(crate) use self::ready::ReadyArgs;
pub(crate) use self::server::{
    BridgeFramingArg, DescriptorsArg, LimitArgs, ListenArgs, RelayArgs, ServeArgs, ServiceArgs,
};
use self::server::{RELAY_HELP, SERVE_HELP};
pub(crate) use self::tcp::TcpArgs;
pub(crate) use self::tour::TourArgs;
pub(crate) use self::udp::UdpArgs;
pub(crate) use self::usage::{Help, Refusal};
use self::version::LONG_VERSION;

const CONNECTION: &str = "The connection";
const EXCHANGE: &str = "The exchange";
const MESSAGES: &str = "The messages";
const OBSERVATION: &str = "The status and the log";
const UDP: &str = "UDP";

/// The forms of an address, as the library lists them.
struct Addresses;

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "ADDRESS has the same form in every command; it says the family and the type of a socket:"
        )?;
        let of_families = Family::ALL.iter().flat_map(|family| family.words());
        for (words, meaning) in of_families.chain(&Target::WORDS) {
            writeln!(f, "  {words:<41} {meaning}")?;
        }
        write!(
            f,
            "\nDURATION is a number with a unit, such as 500ms, 2s or 1m; a bare number is in seconds."
        )
    }
}

/// One socket tool for every address family: AF_INET, AF_INET6 and AF_UNIX use the same two loops.
#[derive(Debug, Parser)]
#[command(name = "sok", version, long_version = LONG_VERSION, max_term_width = 100, help_expected = true)]
#[command(after_help = format!("{Addresses}\n\nExit codes:\n{}", crate::exit::Table))]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) talk: TalkArgs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Accept connections and answer them, on any family
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Connect standard input and output to a server
    #[command(after_help = CONNECT_HELP)]
    Connect(ConnectArgs),
    /// Send one message and print the reply
    #[command(after_help = "Examples:
  sok call unix:/tmp/s.sock hello
  sok call /run/redis.sock PING
  sok call localhost:11211 stats --until END
  sok call localhost:25 --skip 1 'NOOP'
  sok call localhost:8080 --framing eof --no-half-close < request
  sok call --no-reply unixgram:\"$NOTIFY_SOCKET\" READY=1
  sok call unixgram:/run/wpa_supplicant/wlan0 PING
  sok call unixpacket:./jobs 'resize 1.png'
  sok call udp:10.0.0.255:5005 who --broadcast --resend 500ms --timeout 3s")]
    Call(CallArgs),
    /// Bridge any address to any address
    #[command(after_help = RELAY_HELP)]
    Relay(RelayArgs),
    /// Wait until servers accept, then run a command
    #[command(after_help = "Examples:
  sok wait /run/db.sock localhost:8082 --timeout 30s -- ./start
  sok wait --gone ./s.sock")]
    Wait(WaitArgs),
    /// Bind sockets and keep them open for a server that starts, ends and starts again
    #[command(after_help = ACTIVATE_HELP)]
    Activate(ActivateArgs),
    /// The step between 'activate' and its command
    #[command(hide = true)]
    Activated(ActivatedArgs),
    /// Measure round trips, throughput and connections on each family
    ///
    /// Without ADDRESS, it starts a server process for each family on this machine and measures
    /// those. The families take turns in short slices; the first slice of each is a warm-up and
    /// does not count. 'rtt' and 'connect' need an echo server, 'throughput' a server that reads to
    /// end of file.
    #[command(after_help = "Examples:
  sok bench
  sok bench rtt --families unix,inet --spin --cpus 0,1
  sok bench rtt ./s.sock --rate 1000 --duration 10s
  sok bench --svg cost.svg --hdr cost.hlog --csv > cost.csv")]
    Bench(BenchArgs),
    /// The server that 'bench' measures
    #[command(hide = true)]
    BenchServer(BenchServerArgs),
    /// Show which families work on this host, or which server listens on an address
    ///
    /// Without ADDRESS, it creates, binds and connects sockets of each family within this host and
    /// removes them. A family works if no test on it fails; '-' marks a test that does not apply to
    /// the family, or that this host cannot run. With ADDRESS, it connects to each address that
    /// ADDRESS resolves to, sends nothing, and closes the connection.
    #[command(after_help = CHECK_HELP)]
    Check(CheckArgs),
    /// Show how sockets work, in short lessons run live on each family
    #[command(after_help = "Examples:
  sok tour
  sok tour --lesson 4 --family unix --family inet
  sok tour --pause
  sok tour --json | jq -r '.statements[].saw'")]
    Tour(TourArgs),
    /// Print the script that completes the words of a command line in a shell
    ///
    /// It completes commands, options and their values, socket files, and the abstract names of
    /// servers that run.
    #[command(after_help = COMPLETIONS_HELP)]
    Completions(CompletionsArgs),
}

/// What the program prints on standard error.
#[derive(Debug, Default, Args)]
pub(crate) struct TalkArgs {
    /// Print only errors on standard error
    #[arg(short, long, global = true, display_order = 900)]
    pub(crate) quiet: bool,

    /// Report when each connection begins and ends
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "quiet",
        display_order = 901
    )]
    pub(crate) verbose: bool,

    /// Show each socket call as it happens: family, arguments, result, time
    #[arg(long, global = true, display_order = 902)]
    pub(crate) trace: bool,

    /// Print JSON, one object per line
    #[arg(long, global = true, display_order = 903)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests;
