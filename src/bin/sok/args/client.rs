//! What can be typed to a client.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::{CONNECTION, CallFramingArg, EXCHANGE, FramingArgs, MESSAGES, TcpArgs};
use crate::args::address::AddressArgs;
use crate::args::values::{at_least_one, count_of_bytes, duration, some_time};

const CONVERSATION: &str = "A conversation";
const WAIT: &str = "The wait";
const REPLY: &str = "Where the reply ends";

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Where to connect to
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<OsString>,

    #[command(flatten)]
    pub(crate) parts: AddressArgs,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    /// Give up connecting after this time, such as 500ms, or 5 for 5 seconds
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = CONNECTION)]
    pub(crate) timeout: Option<Duration>,

    /// Give up when nothing passes, either way, for this time
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = EXCHANGE)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Keep the sending half open when the input ends
    #[arg(long, help_heading = EXCHANGE)]
    pub(crate) no_half_close: bool,

    /// Go on sending when the server ends first, until the input ends
    #[arg(long, help_heading = EXCHANGE)]
    pub(crate) keep_sending: bool,

    /// Hold a conversation: TEXT, one line, the reply, again (default on a terminal, unless
    /// --idle-timeout, --no-half-close or --keep-sending is given)
    #[arg(long, value_name = "TEXT", help_heading = CONVERSATION)]
    #[arg(conflicts_with_all = ["no_half_close", "keep_sending", "idle_timeout"])]
    pub(crate) prompt: Option<String>,

    /// Refuse to send a line of the conversation that has WORD in it; repeatable
    #[arg(long, value_name = "WORD", help_heading = CONVERSATION)]
    pub(crate) forbid: Vec<String>,

    /// Pass the server's control characters to the terminal, in place of showing them as \xNN
    #[arg(long, help_heading = CONVERSATION)]
    pub(crate) raw: bool,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct WaitArgs {
    /// What to wait for
    #[arg(value_name = "ADDRESS", required = true)]
    pub(crate) addresses: Vec<OsString>,

    /// Wait until one of them accepts, not all
    #[arg(long, help_heading = WAIT)]
    pub(crate) any: bool,

    /// Wait until nobody is there any more
    #[arg(long, help_heading = WAIT)]
    pub(crate) gone: bool,

    /// Take a name that does not resolve for an error
    #[arg(long, help_heading = WAIT)]
    pub(crate) strict_dns: bool,

    /// The longest pause between two tries; a socket file that changes is tried at once
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration)]
    #[arg(help_heading = WAIT)]
    pub(crate) interval: Duration,

    /// Give up after this time, such as 1m, or 5 for 5 seconds, and tell the last reason
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = WAIT)]
    pub(crate) timeout: Option<Duration>,

    /// What to run then, in place of this process; its exit status becomes ours
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// How a client connects.
#[derive(Debug, Args)]
#[command(next_help_heading = CONNECTION)]
pub(crate) struct DialArgs {
    /// The client's own end, an address of the same family
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Option<OsString>,

    /// Try again for this time, such as 30s, or 30, while nobody is there, the name does not resolve, or
    /// there is no way to it
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) retry_for: Option<Duration>,

    #[command(flatten)]
    pub(crate) tcp: TcpArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// Where to connect to
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<OsString>,

    /// What to send, as a line unless --framing says otherwise; the standard input by default, sent
    /// as it is
    #[arg(value_name = "MESSAGE")]
    pub(crate) message: Option<OsString>,

    #[command(flatten)]
    pub(crate) parts: AddressArgs,

    #[command(flatten)]
    pub(crate) framing: FramingArgs<CallFramingArg>,

    /// Send MESSAGE as it is: with 'line', 'chunk' and 'eof' a newline is added where it has none
    #[arg(long, help_heading = MESSAGES)]
    pub(crate) no_newline: bool,

    /// Take N messages for a greeting, as of SMTP, FTP or QMP: they are not printed, and the request is
    /// sent after them (with 'eof' and --bytes: N lines)
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = MESSAGES)]
    pub(crate) skip: Option<u64>,

    /// With --framing eof, keep the sending half open: some servers, nginx among them, break off a
    /// reply when it ends
    #[arg(long, help_heading = EXCHANGE)]
    pub(crate) no_half_close: bool,

    /// The reply is N lines
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = REPLY)]
    #[arg(conflicts_with_all = ["bytes", "framing"])]
    pub(crate) lines: Option<u64>,

    /// The reply ends with the line TEXT, such as END of memcached, or '' for an empty line; repeatable
    #[arg(long, value_name = "TEXT", help_heading = REPLY)]
    #[arg(conflicts_with_all = ["lines", "bytes", "framing"])]
    pub(crate) until: Vec<OsString>,

    /// The reply is so many bytes, such as 512 or 64KiB
    #[arg(long, value_name = "SIZE", value_parser = count_of_bytes, help_heading = REPLY)]
    pub(crate) bytes: Option<u64>,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    /// Give up after this time, such as 500ms, or 5 for 5 seconds; the whole call counts
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = CONNECTION)]
    pub(crate) timeout: Option<Duration>,
}
