//! What one receive returns, and the sizes of messages.

/// The largest message that is ever received, in bytes; the default limit of the kernel is far below
/// it.
pub(crate) const LONGEST_MESSAGE: usize = 64 << 20;

/// What one receive returned: bytes of a stream, a message, or the end of file.
///
/// A message may be empty; that is not the end of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Received {
    /// This many bytes of a stream; its messages may end anywhere in them.
    Bytes(usize),
    /// A whole message of this many bytes, as its peer sent it.
    Message(usize),
    /// End of file: the peer sends nothing more.
    End,
}

impl Received {
    /// The number of bytes received.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::Bytes(count) | Self::Message(count) => count,
            Self::End => 0,
        }
    }

    /// Whether it is the end of file.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::End)
    }

    /// What `recv(2)` on a stream returned for a buffer of `room` bytes.
    pub(super) const fn of_stream(count: usize, room: usize) -> Self {
        match count {
            0 if room > 0 => Self::End,
            count => Self::Bytes(count),
        }
    }

    /// A message of `length` bytes in a buffer of `room` bytes.
    ///
    /// # Errors
    /// `InvalidData` if it does not fit: the kernel has cut it.
    pub(super) fn message(length: usize, room: usize) -> std::io::Result<Self> {
        match length <= room {
            true => Ok(Self::Message(length)),
            false => Err(above_limit(room)),
        }
    }
}

/// The error for a received message above `limit` bytes.
pub(super) fn above_limit(limit: usize) -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        format!("a message is larger than the limit of {limit} bytes"),
    )
}

/// The error of a send of a message of `length` bytes: that of the kernel for one that is too large
/// does not name the length.
pub(crate) fn with_length(error: std::io::Error, length: usize) -> std::io::Error {
    match error.raw_os_error().map(nix::Error::from_raw) {
        Some(nix::Error::EMSGSIZE) => std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("a message of {length} bytes is larger than the kernel takes"),
        ),
        _ => error,
    }
}
