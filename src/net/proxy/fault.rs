//! Why bytes are not a valid header.

use std::fmt;
use std::io;

/// The length of the longest header that is received, in bytes: as much as the buffer of HAProxy
/// takes. A header with a client's certificate may have some KiB.
pub const LONGEST_HEADER: usize = 16 << 10;

/// Why a connection has no valid PROXY header.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderFault {
    /// The first bytes are not those of a header.
    Missing,
    /// The peer ended after this many bytes of the header.
    Cut(usize),
    /// Version 1: no CRLF where the longest line ends.
    Unterminated,
    /// Version 1: the line is not as specified.
    Line(String),
    /// Version 2: the header is not as specified.
    Binary(String),
    /// Version 2: the checksum in the header (`PP2_TYPE_CRC32C`) is not that of the header.
    Checksum,
    /// The header has this many bytes, more than [`LONGEST_HEADER`].
    TooLong(usize),
    /// There are bytes after the header: where messages are kept apart, the header is a message.
    Trailing,
    /// Open files came with the header (`SCM_RIGHTS`): it describes a connection, and has none.
    Descriptors,
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no PROXY header"),
            Self::Cut(0) => f.write_str("ended without a PROXY header"),
            Self::Cut(count) => write!(f, "ended after {count} bytes of a PROXY header"),
            Self::Unterminated => f.write_str("PROXY line without an end"),
            Self::Line(cause) => write!(f, "invalid PROXY line: {cause}"),
            Self::Binary(cause) => write!(f, "invalid PROXY header: {cause}"),
            Self::Checksum => f.write_str("PROXY header with a wrong checksum"),
            Self::TooLong(count) => write!(
                f,
                "PROXY header of {count} bytes; the limit is {LONGEST_HEADER}"
            ),
            Self::Trailing => f.write_str("data after the PROXY header in its message"),
            Self::Descriptors => f.write_str("open files came with the PROXY header"),
        }
    }
}

impl std::error::Error for HeaderFault {}

impl From<HeaderFault> for io::Error {
    /// An error of the kind `UnexpectedEof` for a header that is cut, and `InvalidData` for others.
    fn from(fault: HeaderFault) -> Self {
        let kind = match fault {
            HeaderFault::Cut(_) => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, fault)
    }
}
