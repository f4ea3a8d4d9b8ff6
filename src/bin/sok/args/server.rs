//! The arguments of `serve` and `relay`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sok::loops::Framing;
use sok::transfer::Descriptors;

use super::access::AccessArgs;
use super::{
    AcceptProxyArgs, CONNECTION, EXCHANGE, ExchangeArgs, FramingArg, FramingArgs, MESSAGES,
    ObserveArgs, ProgressArgs, ReadyArgs, SendProxyArgs, TcpArgs, UdpArgs,
};
use crate::args::address::AddressArgs;
use crate::args::ready::LISTENING;
use crate::args::values::{at_least_one, duration, mode, size, some_time, threads};

pub(super) const SERVE_HELP: &str = "\
The --exec program reads standard input from a pipe, writes standard output to a pipe, and shares
the standard error of sok. It gets end of file when the client ends its sending half, and can still
answer. The client gets end of file when the last process that holds the output closes it. It then
has --grace to close its end; what it sends meanwhile is discarded. If a signal ends the program,
the connection is reset, on families that have a reset.

A pipe does not keep messages apart. On a socket that does, --framing says how they are separated in
both pipes: each message from the client is written in a frame, each frame of the output is sent as
one message. A message that ends with the delimiter gets no second one; one that has it elsewhere is
an error; output without a last delimiter is a message too. On a datagram socket, the program serves
one session. When that ends by --idle-timeout, the program gets end of file, and SIGTERM after
--grace.

The program gets these environment variables; those that do not apply are not set:
  SOK_FAMILY, SOK_LOCAL, SOK_PEER           the family, such as inet6; the address of each end
  SOK_TYPE                                  the socket type: stream, seqpacket or datagram
  PROTO                                     TCP, UDP or UNIX
  TCPLOCALIP, TCPLOCALPORT                  the server's end, on TCP
  TCPREMOTEIP, TCPREMOTEPORT                the client's end, on TCP
  UDPLOCALIP, UDPLOCALPORT                  the server's end, on UDP
  UDPREMOTEIP, UDPREMOTEPORT                the client's end, on UDP
  UNIXLOCALPATH, UNIXREMOTEPATH             the socket file of each end, on AF_UNIX
  UNIXREMOTEPID, UNIXREMOTEEUID,
  UNIXREMOTEEGID                            the client's process, user and group, on AF_UNIX
TCPLOCALHOST, TCPREMOTEHOST and those of UDP are never set: a name lookup would delay each client.
With --accept-proxy, all of them are those of the connection that the PROXY header describes.

With --stdio, standard input is sent to the client, and what the client sends goes to standard
output. The options of the exchange and of the conversation, and the exit code, are those of 'sok
connect'. A session of a datagram socket ends when nothing has passed for --idle-timeout [default:
30s] after the end of input; before the end of input, that is an error.

With --keep-open, standard input is read only while a client is connected, and what a client has not
taken goes to the next one. After its end, each client gets end of file at once: to collect what
clients send, add --receive-only. A stop (SIGTERM, SIGINT, SIGHUP) waits --grace for the connected
client; the exit code is then 0 if no input was lost.

Examples:
  sok serve --family unix --path /tmp/s.sock
  sok serve inet6:[::1]:8082 --suffix '!' --framing line
  sok serve udp:localhost:5140 --framing line --exec ./log.sh
  sok serve unixgram:./notify --framing null --exec ./states.sh
  sok serve unixpacket:./jobs --framing line --exec ./worker.sh
  sok serve ./s.sock --mode 660 --owner :www-data --exec ./answer.sh
  sok serve ./s.sock --mode 666 --allow uid:alice --allow gid:docker
  sok serve :8082 --deny 192.0.2.66 --allow 192.0.2.0/24 --allow 2001:db8::/32 --max-per-peer 10
  sok serve :9000 --stdio --send-only < file
  sok serve :9000 --stdio --keep-open --receive-only >> log
  sok serve fd:3 --exec ./answer.sh         (a socket of systemd, as LISTEN_FDS passes it)
  sok serve fd:0 --exec ./answer.sh         (a socket of s6, or a connection of inetd)";

pub(super) const RELAY_HELP: &str = "\
Examples:
  sok relay localhost:2375 unix:/var/run/docker.sock
  sok relay ./db.sock db.example:5432 --retry-for 30s
  sok relay :8080 ./app.sock 192.0.2.1:8080 --retry-after 5s
  sok relay inet6:[::1]:8080 inet:127.0.0.1:80 --listen unix:@web
  sok relay udp:127.0.0.1:53 udp:192.0.2.53:53 --idle-timeout 5s
  sok relay udp:127.0.0.1:5353 unixpacket:/run/dns
  sok relay unixgram:/dev/log tcp:loghost:601 --framing line
  sok relay :2375 /var/run/docker.sock --rules /etc/sok/docker.rules";

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

    /// The memory limit for incomplete messages and unsent replies, for all clients together; a
    /// client that needs more is cut off [default: 256MiB, or twice --max-message; at most a quarter
    /// of the memory]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = MESSAGES)]
    pub(crate) max_memory: Option<usize>,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) access: AccessArgs,

    #[command(flatten)]
    pub(crate) exchange: ExchangeArgs,

    #[command(flatten)]
    pub(crate) progress: ProgressArgs,

    /// Disconnect a client when no data passes in either direction for this time; a session of a
    /// datagram socket ends then, without an error [default for datagrams: 30s]
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = EXCHANGE)]
    pub(crate) idle_timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) proxy: AcceptProxyArgs,

    #[command(flatten)]
    pub(crate) ready: ReadyArgs,

    #[command(flatten)]
    pub(crate) listen: ListenArgs,

    #[command(flatten)]
    pub(crate) observe: ObserveArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "The service, one of")]
pub(crate) struct ServiceArgs {
    /// Answer each message with itself (default)
    #[arg(long)]
    pub(crate) echo: bool,

    /// Answer each message with the message followed by TEXT
    #[arg(long, value_name = "TEXT")]
    pub(crate) suffix: Option<OsString>,

    /// Read everything and answer nothing
    #[arg(long)]
    pub(crate) discard: bool,

    /// Send FILE to each client, as one message on a socket that keeps messages apart, or as the
    /// messages of --framing
    #[arg(long, value_name = "FILE")]
    pub(crate) send: Option<PathBuf>,

    /// Run CMD for each client, with pipes as its standard input and output; takes the rest of the
    /// command line. A socket that keeps messages apart needs --framing. See below
    #[arg(long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) exec: Option<Vec<OsString>>,

    /// Connect standard input and output to one client, as 'sok connect' does to a server, and exit
    /// with the result: all others are refused once it has connected. The options of the exchange
    /// and of the conversation are for it. See below
    #[arg(long)]
    pub(crate) stdio: bool,

    /// With --stdio: connect one client after another; the next one waits in the backlog
    #[arg(long, requires = "stdio")]
    pub(crate) keep_open: bool,

    /// Let the programs of --exec inherit the open descriptor N, from 3 up, under the same number;
    /// repeatable
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(3..), requires = "exec")]
    pub(crate) pass_fd: Vec<i32>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// The maximum number of clients served at once, within `ulimit -n`; the others wait in the
    /// backlog. On a datagram socket, the session that has been idle longest ends instead [default:
    /// 65536, more than the ports of one TCP peer; at most one for each 64KiB of memory]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) max_connections: Option<u64>,

    /// Serve one client at a time; the next one waits in the backlog
    #[arg(long, conflicts_with = "max_connections")]
    pub(crate) one_at_a_time: bool,

    /// Serve one connection or session, then exit with its result
    #[arg(long, conflicts_with = "exit_after")]
    pub(crate) once: bool,

    /// Serve N connections or sessions, then exit with the result of the first that failed, if any
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) exit_after: Option<u64>,

    /// How long a stop (SIGTERM, SIGINT, and SIGHUP where it reads no file again) waits for connected
    /// clients; a second signal cuts them off. A session ends once what has arrived is served
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(crate) grace: Duration,

    /// The number of threads [default: 1 for serve, one per processor for relay]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = LISTENING)]
pub(crate) struct ListenArgs {
    /// The maximum number of connections that wait to be accepted; of datagram sessions, the oldest
    /// that waits is then dropped [default: 4096]
    #[arg(long, value_name = "N")]
    pub(crate) backlog: Option<u32>,

    /// Do not accept IPv4 clients on `[::]`
    #[arg(long)]
    pub(crate) v6only: bool,

    /// The permission bits of the socket file; connecting and sending need write permission
    /// [default: 600]
    #[arg(long, value_name = "OCTAL", value_parser = mode)]
    pub(crate) mode: Option<u32>,

    /// The owner of the socket file, by name or ID
    #[arg(long, value_name = "USER[:GROUP]")]
    pub(crate) owner: Option<String>,

    #[command(flatten)]
    pub(crate) tcp: TcpArgs,

    #[command(flatten)]
    pub(crate) udp: UdpArgs,
}

/// The framings that keep messages apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BridgeFramingArg {
    /// Ends with a newline
    Line,
    /// Ends with a NUL byte
    Null,
    /// Preceded by its length, 4 bytes big-endian
    Length,
}

impl BridgeFramingArg {
    /// The library's framing.
    pub(crate) const fn framing(self) -> Framing {
        match self {
            Self::Line => Framing::Line,
            Self::Null => Framing::Null,
            Self::Length => Framing::Length,
        }
    }
}

/// What is done with descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DescriptorsArg {
    /// Pass them on with the data. While a large stream that has carried none is spliced, they are
    /// refused: --copy passes them also then
    Pass,
    /// Refuse them: the sender gets EPERM (Linux 6.16), or its connection is reset
    Refuse,
    /// Close them, and say how many
    Drop,
}

impl DescriptorsArg {
    /// The library's value.
    pub(crate) const fn descriptors(self) -> Descriptors {
        match self {
            Self::Pass => Descriptors::Pass,
            Self::Refuse => Descriptors::Refuse,
            Self::Drop => Descriptors::Drop,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RelayArgs {
    /// Where to listen
    #[arg(value_name = "LISTEN")]
    pub(crate) listen_on: OsString,

    /// Where to connect to for each client: the first TARGET that accepts
    #[arg(value_name = "TARGET", required = true)]
    pub(crate) targets: Vec<OsString>,

    /// Where a message ends in a stream; needed between a stream and a socket that keeps messages
    /// apart. A message that ends with the delimiter gets no second one; one that has it elsewhere
    /// is not delivered
    #[arg(long, value_enum, help_heading = MESSAGES)]
    pub(crate) framing: Option<BridgeFramingArg>,

    /// The maximum size of a message, such as 64KiB; a larger one ends its connection, and a larger
    /// datagram is not delivered [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = MESSAGES)]
    pub(crate) max_message: Option<usize>,

    /// Another address to listen on; repeatable
    #[arg(long, value_name = "ADDRESS", help_heading = LISTENING)]
    pub(crate) listen: Vec<OsString>,

    /// Retry the targets for this time while no server listens there; the client waits
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = CONNECTION)]
    pub(crate) retry_for: Option<Duration>,

    /// With several targets, leave out one that failed for this time; then one client tries it again
    /// [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = CONNECTION)]
    pub(crate) retry_after: Option<Duration>,

    /// The time limit for connecting to each target [default for several targets: 3s]
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = CONNECTION)]
    pub(crate) connect_timeout: Option<Duration>,

    /// Close a connection when no data passes in either direction for this time; a session of a
    /// datagram socket ends then, without an error [default for datagrams: 30s]
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = EXCHANGE)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Close a half-closed connection when no data passes in the open direction for this time; a
    /// datagram target has no end, so this is how long it may answer a client that has half-closed
    /// [default for datagrams: --idle-timeout]
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = EXCHANGE)]
    pub(crate) half_close_timeout: Option<Duration>,

    /// The local address to connect from, of the target's family; with a port or a name, only one
    /// connection at a time
    #[arg(long, value_name = "ADDRESS", help_heading = CONNECTION)]
    pub(crate) source: Option<OsString>,

    /// The memory limit for data that the peers have not taken yet; a connection that needs more is
    /// cut off [default: 256MiB; at most a quarter of the memory]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = EXCHANGE)]
    pub(crate) max_memory: Option<usize>,

    /// Dump the traffic, as hex or text on standard error, or as hex appended to FILE, which SIGHUP
    /// reopens; disables splicing. Traffic is left out while more than 16 MiB wait to be written, and
    /// the dump says how much
    #[arg(long, value_name = "hex|text|FILE", help_heading = EXCHANGE)]
    pub(crate) dump: Option<OsString>,

    /// Copy all data between streams instead of splicing it, for comparison
    #[arg(long, help_heading = EXCHANGE)]
    pub(crate) copy: bool,

    /// What is done with descriptors that an AF_UNIX side sends with its data (`SCM_RIGHTS`)
    /// [default: pass, if both sides are AF_UNIX; refuse, if one or any target is not]
    #[arg(long, value_enum, help_heading = EXCHANGE)]
    pub(crate) descriptors: Option<DescriptorsArg>,

    #[command(flatten)]
    pub(crate) accept_proxy: AcceptProxyArgs,

    #[command(flatten)]
    pub(crate) send_proxy: SendProxyArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) access: AccessArgs,

    #[command(flatten)]
    pub(crate) ready: ReadyArgs,

    #[command(flatten)]
    pub(crate) socket: ListenArgs,

    #[command(flatten)]
    pub(crate) observe: ObserveArgs,
}
