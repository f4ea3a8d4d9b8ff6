//! The arguments of what connects the standard streams to a peer: `connect`, and `serve --stdio`.

use clap::Args;

use super::EXCHANGE;

const CONVERSATION: &str = "The conversation";

/// How the standard streams are connected to a peer.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct ExchangeArgs {
    /// Only send: discard what the peer sends, ignore its end, and end when the host of the peer has
    /// all of the input. Standard output is closed at once
    #[arg(long, help_heading = EXCHANGE)]
    #[arg(conflicts_with_all = ["receive_only", "no_half_close", "prompt", "raw"])]
    pub(crate) send_only: bool,

    /// Only receive, until the peer ends: standard input is not read, and the sending half stays open.
    /// For a peer that answers only after end of file, use </dev/null instead
    #[arg(long, help_heading = EXCHANGE, conflicts_with_all = ["keep_sending", "prompt"])]
    pub(crate) receive_only: bool,

    /// Keep the sending half open at end of input
    #[arg(long, help_heading = EXCHANGE)]
    pub(crate) no_half_close: bool,

    /// Keep sending until the end of input, even if the peer ends first
    #[arg(long, help_heading = EXCHANGE)]
    pub(crate) keep_sending: bool,

    /// Hold a conversation: print TEXT, send a line, print the reply, repeat (default on a terminal,
    /// unless --framing, --idle-timeout or an option of the exchange is given)
    #[arg(long, value_name = "TEXT", help_heading = CONVERSATION)]
    #[arg(conflicts_with_all = ["framing", "no_half_close", "keep_sending", "idle_timeout", "progress"])]
    pub(crate) prompt: Option<String>,

    /// Refuse to send a line that contains WORD; repeatable
    #[arg(long, value_name = "WORD", help_heading = CONVERSATION)]
    pub(crate) forbid: Vec<String>,

    /// Print exactly what the peer sends: messages without a newline or frame, and on a terminal
    /// control characters as they are, not as \xNN
    #[arg(long, help_heading = CONVERSATION)]
    pub(crate) raw: bool,
}

impl ExchangeArgs {
    /// The option that was given, if any.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let all = [
            ("--send-only", self.send_only),
            ("--receive-only", self.receive_only),
            ("--no-half-close", self.no_half_close),
            ("--keep-sending", self.keep_sending),
            ("--prompt", self.prompt.is_some()),
            ("--forbid", !self.forbid.is_empty()),
            ("--raw", self.raw),
        ];
        all.into_iter()
            .find_map(|(name, given)| given.then_some(name))
    }
}
