//! The arguments of the clients.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::{
    CONNECTION, CallFramingArg, EXCHANGE, ExchangeArgs, FramingArgs, InputFramingArg, MESSAGES,
    ProgressArgs, SendProxyArgs, TcpArgs, UdpArgs,
};
use crate::args::address::AddressArgs;
use crate::args::values::{at_least_one, count_of_bytes, duration, some_time};

pub(super) const CONNECT_HELP: &str = "\
The --exec program reads what the server sends from its standard input, and what it writes to its
standard output is sent; it shares the standard error of sok. It gets end of file when the server
ends, and can still send. The server gets end of file when the last process that holds the output
closes it. When the program has ended, sok waits until the host of the server has all of the output.
The exit code is that of the program, 128+n if signal n ended it, or 6 if the connection broke. If a
signal ends the program, the connection is reset. SIGTERM, SIGINT and SIGHUP send SIGTERM to the
program, and SIGKILL 5 seconds later, or at a second signal.

The environment is that of a program of 'sok serve --exec', where the server is the peer: SOK_PEER,
TCPREMOTEIP and so on are about the server, SOK_LOCAL, TCPLOCALIP and so on about the own end.

On a socket that keeps messages apart, --framing says how they are separated in both pipes. A
datagram server has no end: after --idle-timeout [default: 30s] without a message, the program gets
end of file, and SIGTERM 5 seconds later.

Examples:
  sok connect unix:/tmp/s.sock < request > reply
  sok connect localhost:8082 --prompt '> '
  sok connect host:9000 --send-only < file
  sok connect host:9000 --exec ./client.sh
  sok connect udp:localhost:5005 < lines
  sok connect unixpacket:/run/app.sock --framing null < requests";

const WAIT: &str = "The wait";
const REPLY: &str = "The end of the reply";

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Where to connect to
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<OsString>,

    #[command(flatten)]
    pub(crate) parts: AddressArgs,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    /// The time limit for connecting, such as 500ms, or 5 for 5 seconds
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = CONNECTION)]
    pub(crate) timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) framing: FramingArgs<InputFramingArg>,

    /// Close the connection when no data passes in either direction for this time. On a datagram
    /// socket, whose peer cannot end, it is also how long sok waits for a message after the end of
    /// input, before it ends with success [default: 1s after the end of input]
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = EXCHANGE)]
    pub(crate) idle_timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) proxy: SendProxyArgs,

    #[command(flatten)]
    pub(crate) exchange: ExchangeArgs,

    #[command(flatten)]
    pub(crate) progress: ProgressArgs,

    /// Run CMD, with pipes from and to the server as its standard input and output; takes the rest of
    /// the command line. The exit code is that of CMD. See below
    #[arg(long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true)]
    #[arg(help_heading = EXCHANGE)]
    pub(crate) exec: Option<Vec<OsString>>,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct WaitArgs {
    /// The servers to wait for
    #[arg(value_name = "ADDRESS", required = true)]
    pub(crate) addresses: Vec<OsString>,

    /// Wait until any of them accepts, instead of all
    #[arg(long, help_heading = WAIT)]
    pub(crate) any: bool,

    /// Wait until the servers are gone
    #[arg(long, help_heading = WAIT)]
    pub(crate) gone: bool,

    /// Fail if a name does not resolve
    #[arg(long, help_heading = WAIT)]
    pub(crate) strict_dns: bool,

    /// The maximum time between two attempts; a change of a socket file is noticed at once
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration)]
    #[arg(help_heading = WAIT)]
    pub(crate) interval: Duration,

    /// Give up after this time, such as 1m, or 5 for 5 seconds, and report the last reason
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = WAIT)]
    pub(crate) timeout: Option<Duration>,

    /// The command to run afterwards; it replaces this process, and its exit status becomes that of
    /// sok
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// How a client connects.
#[derive(Debug, Args)]
#[command(next_help_heading = CONNECTION)]
pub(crate) struct DialArgs {
    /// The local address to connect from, of the same family
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Option<OsString>,

    /// Retry for this time, such as 30s, or 30, while no server listens, the name does not resolve,
    /// or there is no route. A UDP socket connects without a server: only the last two are retried
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) retry_for: Option<Duration>,

    #[command(flatten)]
    pub(crate) tcp: TcpArgs,

    #[command(flatten)]
    pub(crate) udp: UdpArgs,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct CallArgs {
    /// Where to connect to
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<OsString>,

    /// The message, on a stream sent as a line unless --framing says otherwise [default: the standard
    /// input, sent unchanged]
    #[arg(value_name = "MESSAGE")]
    pub(crate) message: Option<OsString>,

    #[command(flatten)]
    pub(crate) parts: AddressArgs,

    #[command(flatten)]
    pub(crate) framing: FramingArgs<CallFramingArg>,

    /// Send MESSAGE unchanged; by default, 'line', 'chunk' and 'eof' add a missing newline
    #[arg(long, help_heading = MESSAGES)]
    pub(crate) no_newline: bool,

    /// Skip a greeting of N messages, such as that of SMTP, FTP or QMP, then send the request; the
    /// greeting is not printed (N lines with 'eof' and --bytes). On a datagram socket, skip the first
    /// N messages after the request
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = MESSAGES)]
    pub(crate) skip: Option<u64>,

    /// With --framing eof, keep the sending half open: some servers, such as nginx, cut off the
    /// reply after a half-close
    #[arg(long, help_heading = EXCHANGE)]
    pub(crate) no_half_close: bool,

    /// Wait for no reply: end once the message is sent. On a stream, half-close after it, and wait
    /// until the host of the server has it; what the server sends is discarded
    #[arg(long, help_heading = EXCHANGE)]
    #[arg(conflicts_with_all = ["lines", "until", "bytes", "resend"])]
    pub(crate) no_reply: bool,

    /// On a datagram socket, send the message again after each such time without a reply
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = EXCHANGE)]
    pub(crate) resend: Option<Duration>,

    /// The reply is N lines
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = REPLY)]
    #[arg(conflicts_with_all = ["bytes", "framing"])]
    pub(crate) lines: Option<u64>,

    /// The reply ends with the line TEXT, such as END for memcached, or '' for an empty line; repeatable
    #[arg(long, value_name = "TEXT", help_heading = REPLY)]
    #[arg(conflicts_with_all = ["lines", "bytes", "framing"])]
    pub(crate) until: Vec<OsString>,

    /// The reply has this size, such as 512 or 64KiB
    #[arg(long, value_name = "SIZE", value_parser = count_of_bytes, help_heading = REPLY)]
    pub(crate) bytes: Option<u64>,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    /// The time limit for the whole call, such as 500ms, or 5 for 5 seconds
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = CONNECTION)]
    pub(crate) timeout: Option<Duration>,
}
