//! A call: its request, and where the reply ends.

use std::time::Duration;

use crate::loops::{Framing, MessageFormat};

/// Where a reply ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Until {
    /// After this many messages.
    Messages(u64),
    /// After one of these messages; a final carriage return is ignored on both sides.
    OneOf(Vec<Vec<u8>>),
    /// After this many bytes.
    Bytes(u64),
    /// At end of file.
    End,
    /// There is none: the call ends once the request is sent, and on a stream has arrived.
    Nothing,
}

/// The request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The message without its frame.
    pub message: Vec<u8>,
    /// Whether it is sent unchanged, without a frame.
    pub bare: bool,
    /// Whether to half-close after it, so that the peer gets end of file.
    pub finish: bool,
}

/// One call: the frame of its messages, and where the reply begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallOptions {
    /// How messages are framed, both ways.
    pub format: MessageFormat,
    /// The number of messages that the peer sends before the request, or on a datagram socket before
    /// the reply; they are not part of the reply.
    pub greeting: u64,
    /// Where the reply ends.
    pub until: Until,
    /// On a datagram socket, send the request again whenever nothing has come for this time.
    pub resend: Option<Duration>,
    /// How long to send a refused datagram again: without a connection, only its refusal says that no
    /// server is there yet.
    pub retry_for: Option<Duration>,
}

impl Request {
    /// A message in its frame, after which our sending half stays open.
    #[must_use]
    pub fn new(message: impl Into<Vec<u8>>) -> Self {
        Self {
            message: message.into(),
            bare: false,
            finish: false,
        }
    }
}

impl Default for CallOptions {
    /// One line is the reply.
    fn default() -> Self {
        Self {
            format: MessageFormat {
                framing: Framing::Line,
                ..MessageFormat::default()
            },
            greeting: 0,
            until: Until::Messages(1),
            resend: None,
            retry_for: None,
        }
    }
}

/// A line without the carriage return before its newline.
fn text_of(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl Until {
    /// Counts a message; returns whether it is the last of the reply.
    pub(super) fn ends_with(&mut self, message: &[u8]) -> bool {
        match self {
            Self::Messages(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            Self::OneOf(last) => last.iter().any(|last| text_of(last) == text_of(message)),
            Self::Bytes(left) => {
                *left = left.saturating_sub(message.len() as u64);
                *left == 0
            }
            Self::End | Self::Nothing => false,
        }
    }
}
