//! The command line: arguments, help and usage errors. Nothing here runs a command.

mod access;
mod address;
mod bench;
mod check;
mod client;
mod parse;
mod server;
mod tour;
mod udp;
mod usage;
mod values;

use std::fmt;

use clap::builder::{NonEmptyStringValueParser, PossibleValue};
use clap::{Args, Parser, Subcommand, ValueEnum};
use sok::address::{Family, Target};
use sok::loops::{Framing, MessageFormat};
use sok::net::Keepalive;

pub(crate) use self::access::AccessArgs;
pub(crate) use self::address::as_one_word;
pub(crate) use self::bench::{BenchArgs, BenchServerArgs};
use self::check::CHECK_HELP;
pub(crate) use self::check::CheckArgs;
pub(crate) use self::client::{CallArgs, ConnectArgs, DialArgs, WaitArgs};
pub(crate) use self::parse::command_line;
#[cfg(any(test, fuzzing))]
pub(crate) use self::parse::fuzz as fuzz_usage;
use self::server::SERVE_HELP;
pub(crate) use self::server::{
    BridgeFramingArg, DescriptorsArg, LimitArgs, ListenArgs, RelayArgs, ServeArgs, ServiceArgs,
};
pub(crate) use self::tour::TourArgs;
pub(crate) use self::udp::UdpArgs;
pub(crate) use self::usage::{Help, Refusal};
use self::values::{keepalive, size};

const CONNECTION: &str = "The connection";
const EXCHANGE: &str = "The exchange";
const MESSAGES: &str = "The messages";
const UDP: &str = "UDP";

/// The options of TCP.
#[derive(Debug, Args)]
#[command(next_help_heading = CONNECTION)]
pub(crate) struct TcpArgs {
    /// Probe a TCP peer that has been silent for this time; without an answer the connection fails
    /// after about the same time again. A client does not probe a server on loopback
    /// [default: 60s]
    #[arg(long, value_name = "DURATION|off", value_parser = keepalive)]
    keepalive: Option<Keepalive>,

    /// The TCP congestion control, such as cubic; auto: the system default, except Reno on loopback
    /// if the default is a pacing algorithm such as bbr [default: auto]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) congestion: Option<String>,
}

impl TcpArgs {
    pub(crate) fn keepalive(&self) -> Keepalive {
        self.keepalive.unwrap_or_default()
    }
}

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
#[command(name = "sok", version, max_term_width = 100, help_expected = true)]
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
    #[command(after_help = "Examples:
  sok connect unix:/tmp/s.sock < request > reply
  sok connect localhost:8082 --prompt '> '
  sok connect udp:localhost:5005 < lines
  sok connect unixpacket:/run/app.sock --framing null < requests")]
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
    #[command(after_help = "Examples:
  sok relay localhost:2375 unix:/var/run/docker.sock
  sok relay ./db.sock db.example:5432 --retry-for 30s
  sok relay inet6:[::1]:8080 inet:127.0.0.1:80 --listen unix:@web
  sok relay udp:127.0.0.1:53 udp:192.0.2.53:53 --idle-timeout 5s
  sok relay udp:127.0.0.1:5353 unixpacket:/run/dns
  sok relay unixgram:/dev/log tcp:loghost:601 --framing line
  sok relay :2375 /var/run/docker.sock --rules /etc/sok/docker.rules")]
    Relay(RelayArgs),
    /// Wait until servers accept, then run a command
    #[command(after_help = "Examples:
  sok wait /run/db.sock localhost:8082 --timeout 30s -- ./start
  sok wait --gone ./s.sock")]
    Wait(WaitArgs),
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

/// What a message is, one of the framings `F`.
#[derive(Debug, Args)]
#[command(next_help_heading = MESSAGES)]
pub(crate) struct FramingArgs<F: ValueEnum + Send + Sync + 'static> {
    /// Where a message ends [default: chunk for serve, line for call and connect]; on a socket that
    /// keeps messages apart, only in the input and the output of a client
    #[arg(long, value_enum)]
    pub(crate) framing: Option<F>,

    /// The maximum size of a message, such as 64KiB; a larger one is an error [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_message: Option<usize>,
}

impl<F: ValueEnum + Send + Sync> FramingArgs<F> {
    /// The largest message.
    pub(crate) fn max_message(&self) -> usize {
        self.max_message
            .unwrap_or_else(|| MessageFormat::default().max_message)
    }

    /// The framing option that was given, if any.
    pub(crate) const fn given(&self) -> Option<&'static str> {
        match (&self.framing, self.max_message) {
            (Some(_), _) => Some("--framing"),
            (None, Some(_)) => Some("--max-message"),
            (None, None) => None,
        }
    }

    /// Whether a limit was given.
    pub(crate) const fn is_limited(&self) -> bool {
        self.max_message.is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FramingArg {
    /// What one receive returns
    Chunk,
    /// Ends with a newline
    Line,
    /// Ends with a NUL byte
    Null,
    /// Preceded by its length, 4 bytes big-endian
    Length,
}

impl FramingArg {
    /// The library's framing.
    pub(crate) const fn framing(self) -> Framing {
        match self {
            Self::Chunk => Framing::Chunk,
            Self::Line => Framing::Line,
            Self::Null => Framing::Null,
            Self::Length => Framing::Length,
        }
    }
}

/// The framing of the messages in the input and the output of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InputFramingArg(pub(crate) FramingArg);

impl ValueEnum for InputFramingArg {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self(FramingArg::Line),
            Self(FramingArg::Null),
            Self(FramingArg::Length),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        self.0.to_possible_value()
    }
}

/// The framing of a call: as for a server, or everything until end of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFramingArg {
    Messages(FramingArg),
    Eof,
}

impl ValueEnum for CallFramingArg {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Messages(FramingArg::Chunk),
            Self::Messages(FramingArg::Line),
            Self::Messages(FramingArg::Null),
            Self::Messages(FramingArg::Length),
            Self::Eof,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Messages(framing) => framing.to_possible_value(),
            Self::Eof => Some(PossibleValue::new("eof").help("Everything until end of file")),
        }
    }
}

impl CallFramingArg {
    /// The library's framing; `None` for everything until end of file.
    pub(crate) const fn framing(self) -> Option<Framing> {
        match self {
            Self::Messages(framing) => Some(framing.framing()),
            Self::Eof => None,
        }
    }
}

#[cfg(test)]
mod tests;
