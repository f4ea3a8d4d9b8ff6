//! Framing: a stream has no messages, so both ends agree on where one ends.

use crate::memory::{KeptBytes, MemoryLimit};
use std::io::{self, BufRead};
use std::ops::Range;

/// How messages are separated in a stream of bytes.
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
    /// The delimiter of a message.
    #[must_use]
    pub const fn delimiter(self) -> &'static [u8] {
        match self {
            Self::Chunk | Self::Length => b"",
            Self::Line => b"\n",
            Self::Null => b"\0",
        }
    }

    /// The length of the prefix before a message.
    const fn header(self) -> usize {
        match self {
            Self::Chunk | Self::Line | Self::Null => 0,
            Self::Length => 4,
        }
    }

    /// The bytes of a frame in addition to its message.
    const fn overhead(self) -> usize {
        self.header() + self.delimiter().len()
    }
}

/// A framing and the maximum size of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageFormat {
    /// How messages are separated.
    pub framing: Framing,
    /// The maximum size of a message in bytes, without its delimiter or length. Chunks have no
    /// limit, since none of their bytes are kept.
    pub max_message: usize,
}

impl Default for MessageFormat {
    fn default() -> Self {
        Self {
            framing: Framing::Chunk,
            max_message: 1 << 20,
        }
    }
}

impl MessageFormat {
    /// The same for a socket that keeps messages apart.
    #[must_use]
    pub(crate) const fn without_framing(self) -> Self {
        Self {
            framing: Framing::Chunk,
            ..self
        }
    }

    /// Frames the message that `write` appends to `out`.
    ///
    /// # Errors
    /// `InvalidInput` for a message that does not fit the framing.
    pub fn enclose<T>(
        &self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let frame = self.open(out);
        match write(out) {
            Some(written) => self.close(out, frame).map(|()| Some(written)),
            None => {
                out.truncate(frame);
                Ok(None)
            }
        }
    }

    /// Appends `message` in its frame to `out`. If it ends with the delimiter, that is its own: many
    /// programs end a datagram with a newline.
    ///
    /// # Errors
    /// `InvalidInput` for a message that a reader would take for several, and as for
    /// [`enclose`](Self::enclose).
    pub fn frame(&self, message: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let delimiter = self.framing.delimiter();
        let message = message.strip_suffix(delimiter).unwrap_or(message);
        if self.delimiter_in(message).is_some() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a message has the delimiter of the framing in it, and would become several",
            ));
        }
        self.enclose(out, |out| {
            out.extend_from_slice(message);
            Some(())
        })
        .map(drop)
    }

    /// Begins the frame of a message that is appended to `out` next; returns its position.
    pub(super) fn open(&self, out: &mut Vec<u8>) -> usize {
        let frame = out.len();
        out.resize(frame + self.framing.header(), 0);
        frame
    }

    /// Ends the frame that begins at `frame`.
    ///
    /// # Errors
    /// As for [`enclose`](Self::enclose).
    pub(super) fn close(&self, out: &mut Vec<u8>, frame: usize) -> io::Result<()> {
        let header = self.framing.header();
        if header > 0 {
            let length = u32::try_from(out.len() - frame - header).map_err(|_| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a message is larger than 4 GiB",
                )
            })?;
            out[frame..frame + header].copy_from_slice(&length.to_be_bytes());
        }
        out.extend_from_slice(self.framing.delimiter());
        Ok(())
    }
}

/// Splits received bytes into messages. A message that arrives complete is not copied; an
/// incomplete one is kept, and otherwise no memory is used.
#[derive(Debug)]
pub struct MessageDecoder {
    format: MessageFormat,
    pending: KeptBytes,
    /// The pending bytes that were returned, and are removed before the next message.
    taken: usize,
    /// The pending bytes that were searched for a delimiter.
    searched: usize,
    /// Whether the pending bytes are a message that the kernel kept apart, not returned yet.
    is_whole: bool,
}

/// The position of the first message in some bytes.
enum Found {
    Whole {
        message: Range<usize>,
        frame: usize,
    },
    /// Incomplete, with at most this many bytes missing, or exactly this many if its length is
    /// known.
    Part {
        missing: usize,
    },
}

impl MessageDecoder {
    /// An empty decoder for messages of `format`; bytes that it keeps count in `limit`.
    #[must_use]
    pub const fn new(format: MessageFormat, limit: MemoryLimit) -> Self {
        Self {
            format,
            pending: KeptBytes::new(limit),
            taken: 0,
            searched: 0,
            is_whole: false,
        }
    }

    /// The next complete message, without its frame. It starts with the kept bytes and continues in
    /// `received`, which is advanced past it. If there is none, all received bytes are kept.
    ///
    /// # Errors
    /// `InvalidData` for a message above the maximum size, `QuotaExceeded` above the limit of all
    /// connections, `OutOfMemory` if there is no memory to keep it; the decoder cannot continue
    /// after it.
    pub fn next_message<'a, 'r: 'a>(
        &'a mut self,
        received: &mut &'r [u8],
    ) -> io::Result<Option<&'a [u8]>> {
        self.drop_taken();
        if std::mem::take(&mut self.is_whole) {
            self.taken = self.pending.len();
            return Ok(Some(&self.pending));
        }
        if self.pending.is_empty() {
            if received.is_empty() {
                return Ok(None);
            }
            return match self.format.find(received, 0)? {
                Found::Whole { message, frame } => {
                    let (whole, rest) = received.split_at(frame);
                    *received = rest;
                    Ok(Some(&whole[message]))
                }
                Found::Part { .. } => {
                    self.keep(received)?;
                    Ok(None)
                }
            };
        }
        loop {
            match self.format.find(&self.pending, self.searched)? {
                Found::Whole { message, frame } => {
                    self.taken = frame;
                    return Ok(Some(&self.pending[message]));
                }
                Found::Part { .. } if received.is_empty() => {
                    self.searched = self.pending.len();
                    return Ok(None);
                }
                Found::Part { missing } => {
                    self.searched = self.pending.len();
                    let near = &received[..missing.min(received.len())];
                    let end = self.format.delimiter_in(near).map(|at| at + 1);
                    let (more, rest) = received.split_at(end.unwrap_or(near.len()));
                    self.pending.push(more, self.format.max_frame())?;
                    *received = rest;
                }
            }
        }
    }

    /// Keeps the rest of `received`.
    ///
    /// # Errors
    /// If the memory cannot be allocated.
    pub fn keep(&mut self, received: &mut &[u8]) -> io::Result<()> {
        self.drop_taken();
        self.pending.push(received, self.format.max_frame())?;
        *received = &[];
        Ok(())
    }

    /// Keeps one message that needs no framing; it may be empty, and is returned next.
    ///
    /// # Errors
    /// If the memory cannot be allocated.
    pub(super) fn keep_message(&mut self, message: &[u8]) -> io::Result<()> {
        self.drop_taken();
        self.pending.push(message, 0)?;
        self.is_whole = true;
        Ok(())
    }

    /// Drops the message that was returned last, as the next call would.
    pub(super) fn drop_taken(&mut self) {
        if self.taken > 0 {
            self.pending.consume(self.taken);
            self.taken = 0;
            self.searched = 0;
        }
    }

    /// Reports end of file.
    ///
    /// # Errors
    /// `UnexpectedEof` in the middle of a message.
    pub fn finish(&self) -> io::Result<()> {
        match self.pending.len() - self.taken {
            0 => Ok(()),
            count => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "end of file in the middle of a message, after {}",
                    bytes(count)
                ),
            )),
        }
    }

    /// The kept bytes of an incomplete message, without the length before it.
    #[must_use]
    pub fn unfinished(&self) -> &[u8] {
        let frame = &self.pending[self.taken..];
        frame
            .get(self.format.framing.header()..)
            .unwrap_or_default()
    }
}

impl MessageFormat {
    /// The position of the first message in `bytes`; the first `searched` bytes have no delimiter.
    fn find(&self, bytes: &[u8], searched: usize) -> io::Result<Found> {
        let header = self.framing.header();
        let length = match self.framing {
            Framing::Chunk => match bytes.len() {
                0 => None,
                length => Some(length),
            },
            Framing::Line | Framing::Null => self
                .delimiter_in(&bytes[searched..])
                .map(|at| searched + at),
            Framing::Length => bytes
                .first_chunk()
                .map(|length| usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX)),
        };
        // The bytes that have certainly arrived.
        let least = length.unwrap_or_else(|| bytes.len().saturating_sub(header));
        if self.framing != Framing::Chunk && least > self.max_message {
            return Err(self.oversized());
        }
        let frame = match length {
            Some(length) => length.saturating_add(self.framing.overhead()),
            None if header > 0 => header,
            None => self.max_frame(),
        };
        Ok(match (length, frame.saturating_sub(bytes.len())) {
            (Some(length), 0) => Found::Whole {
                message: header..header + length,
                frame,
            },
            (_, missing) => Found::Part { missing },
        })
    }

    fn delimiter_in(&self, bytes: &[u8]) -> Option<usize> {
        let delimiter = self.framing.delimiter().first()?;
        // As fast as memchr(3), which the standard library uses.
        let mut rest = bytes;
        let passed = rest.skip_until(*delimiter).ok()?;
        let last = passed.checked_sub(1)?;
        (bytes[last] == *delimiter).then_some(last)
    }

    /// The largest frame.
    const fn max_frame(&self) -> usize {
        self.max_message.saturating_add(self.framing.overhead())
    }

    /// The error for a message above the maximum size.
    pub(crate) fn oversized(&self) -> io::Error {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "a message is larger than the limit of {}",
                bytes(self.max_message)
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
