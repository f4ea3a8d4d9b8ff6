//! When an exchange ends, and what its messages are.

use std::time::Duration;

use crate::loops::{Framing, MessageFormat};

/// The only way of an exchange that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From our input to the peer. What the peer sends is discarded, and its end changes nothing; the
    /// exchange ends when its host has all of the input.
    Send,
    /// From the peer to our output. The input is left alone, and our sending half stays open: many
    /// peers send nothing more to one that has ended.
    Receive,
}

/// When an exchange ends, and what its messages are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExchangeOptions {
    /// The only way, if it is not both.
    pub only: Option<Way>,
    /// Keep our sending half open when our input ends; the peer then does not see an end.
    pub no_half_close: bool,
    /// When the peer ends first, go on sending until our input ends: it may only have closed its
    /// sending half.
    pub keep_sending: bool,
    /// End with an error when nothing has passed, either way, for so long. Where no peer can end the
    /// exchange, as on a datagram socket, it is also the time after the end of our input without a
    /// message after which the exchange has ended well, instead of [`linger`](Self::linger).
    pub idle_timeout: Option<Duration>,
    /// How long an exchange that no peer can end waits for a message after the end of our input.
    pub linger: Duration,
    /// On a socket that keeps messages apart, the frame and the maximum size of the messages in the
    /// input and in the output.
    pub format: MessageFormat,
    /// Write the messages without a frame.
    pub bare: bool,
}

impl ExchangeOptions {
    /// The default of [`linger`](Self::linger), for a client: its input mostly asks for what comes.
    pub const LINGER: Duration = Duration::from_secs(1);
}

impl Default for ExchangeOptions {
    /// Messages are lines.
    fn default() -> Self {
        Self {
            only: None,
            no_half_close: false,
            keep_sending: false,
            idle_timeout: None,
            linger: Self::LINGER,
            format: MessageFormat {
                framing: Framing::Line,
                ..MessageFormat::default()
            },
            bare: false,
        }
    }
}
