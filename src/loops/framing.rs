//! What a message is: a stream has none, so both ends agree on where one ends.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, Decoder, LengthDelimitedCodec};

/// How messages are told apart in a stream of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Framing {
    /// What one receive returns: no framing at all, two sends may arrive as one message.
    #[default]
    Chunk,
    /// A message ends with a newline, which is not part of it.
    Line,
    /// A message ends with a NUL byte, which is not part of it.
    Null,
    /// A message follows its length in 4 bytes, big-endian.
    Length,
}

impl Framing {
    /// What ends a message.
    #[must_use]
    pub const fn delimiter(self) -> &'static [u8] {
        match self {
            Self::Chunk | Self::Length => b"",
            Self::Line => b"\n",
            Self::Null => b"\0",
        }
    }

    /// The bytes of the length before a message.
    const fn header(self) -> usize {
        match self {
            Self::Chunk | Self::Line | Self::Null => 0,
            Self::Length => 4,
        }
    }

    /// The bytes that a frame has besides its message.
    const fn overhead(self) -> usize {
        self.header() + self.delimiter().len()
    }
}

/// A framing with the bound of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// How messages are told apart.
    pub framing: Framing,
    /// The largest message in bytes, its delimiter or length not counted. A chunk needs no bound:
    /// nothing of it is kept.
    pub max_message: usize,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            framing: Framing::Chunk,
            max_message: 1 << 20,
        }
    }
}

impl Rule {
    /// Puts the message that `write` appends to `out` into its frame.
    ///
    /// # Errors
    /// `InvalidInput` for a message that the framing cannot hold.
    pub fn enclose<T>(
        &self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let start = out.len();
        let header = self.framing.header();
        out.resize(start + header, 0);
        let Some(written) = write(out) else {
            out.truncate(start);
            return Ok(None);
        };
        if header > 0 {
            let length = u32::try_from(out.len() - start - header).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidInput, "a message of over 4 GiB")
            })?;
            out[start..start + header].copy_from_slice(&length.to_be_bytes());
        }
        out.extend_from_slice(self.framing.delimiter());
        Ok(Some(written))
    }
}

/// The bytes received so far, taken out message by message. It holds no memory while it is empty.
#[derive(Debug)]
pub struct Inbox {
    codec: Codec,
    pending: BytesMut,
    rule: Rule,
    // What has come since the end of the last whole message; a length that was read counts too.
    unfinished: usize,
}

#[derive(Debug)]
enum Codec {
    Chunk,
    Delimited(Box<AnyDelimiterCodec>),
    Length(Box<LengthDelimitedCodec>),
}

impl Inbox {
    /// An empty one for messages as `rule` has them.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        let Rule {
            framing,
            max_message,
        } = rule;
        let delimited = |delimiter: u8| {
            let codec = AnyDelimiterCodec::new_with_max_length(
                vec![delimiter],
                vec![delimiter],
                max_message,
            );
            Codec::Delimited(Box::new(codec))
        };
        let codec = match framing {
            Framing::Chunk => Codec::Chunk,
            Framing::Line => delimited(b'\n'),
            Framing::Null => delimited(0),
            Framing::Length => Codec::Length(Box::new(
                LengthDelimitedCodec::builder()
                    .length_field_type::<u32>()
                    .max_frame_length(max_message)
                    .new_codec(),
            )),
        };
        Self {
            codec,
            pending: BytesMut::new(),
            rule,
            unfinished: 0,
        }
    }

    /// Puts in what was received.
    pub fn push(&mut self, bytes: &[u8]) {
        self.unfinished += bytes.len();
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole message, without its frame.
    ///
    /// # Errors
    /// `InvalidData` for a message above the bound; nothing after it can be read.
    pub fn next_message(&mut self) -> io::Result<Option<Bytes>> {
        let message = match &mut self.codec {
            Codec::Chunk if self.pending.is_empty() => None,
            Codec::Chunk => Some(self.pending.split().freeze()),
            Codec::Delimited(codec) => match codec.decode(&mut self.pending) {
                Ok(message) => message,
                Err(AnyDelimiterCodecError::MaxChunkLengthExceeded) => return Err(self.oversized()),
                Err(AnyDelimiterCodecError::Io(error)) => return Err(error),
            },
            Codec::Length(codec) => match codec.decode(&mut self.pending) {
                Ok(message) => message.map(BytesMut::freeze),
                Err(_) => return Err(self.oversized()),
            },
        };
        match &message {
            Some(message) => self.unfinished -= message.len() + self.rule.framing.overhead(),
            None if self.pending.is_empty() => self.pending = BytesMut::new(),
            None => {}
        }
        Ok(message)
    }

    /// Says that the peer ended.
    ///
    /// # Errors
    /// `UnexpectedEof` if it ended in the middle of a message.
    pub fn finish(&self) -> io::Result<()> {
        match self.unfinished {
            0 => Ok(()),
            count => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "the peer ended in the middle of a message, {} into it",
                    bytes(count)
                ),
            )),
        }
    }

    /// What has come of a message that is not whole.
    #[must_use]
    pub fn unfinished(&self) -> &[u8] {
        &self.pending
    }

    fn oversized(&self) -> io::Error {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "a message is larger than the limit of {}",
                bytes(self.rule.max_message)
            ),
        )
    }
}

fn bytes(count: usize) -> String {
    match count {
        1 => "1 byte".to_owned(),
        _ => format!("{count} bytes"),
    }
}
