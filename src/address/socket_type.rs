//! The socket types: plain data, no sockets.

use std::fmt;

use super::Family;
use crate::error::{Error, ErrorKind, Result};

/// A type of socket, see `socket(2)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketType {
    /// A connection with a stream of bytes, `SOCK_STREAM`.
    #[default]
    Stream,
    /// A connection with messages, `SOCK_SEQPACKET`.
    SeqPacket,
    /// Messages without a connection, `SOCK_DGRAM`.
    Datagram,
}

impl SocketType {
    /// All types.
    pub const ALL: [Self; 3] = [Self::Stream, Self::SeqPacket, Self::Datagram];

    /// The name that `--type` takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::SeqPacket => "seqpacket",
            Self::Datagram => "datagram",
        }
    }

    /// The name of the kernel's constant.
    #[must_use]
    pub const fn sock_name(self) -> &'static str {
        match self {
            Self::Stream => "SOCK_STREAM",
            Self::SeqPacket => "SOCK_SEQPACKET",
            Self::Datagram => "SOCK_DGRAM",
        }
    }

    /// Whether each receive returns the bytes of one send, a message. A stream has no messages:
    /// both ends agree where one ends.
    #[must_use]
    pub const fn keeps_messages(self) -> bool {
        match self {
            Self::Stream => false,
            Self::SeqPacket | Self::Datagram => true,
        }
    }

    /// Whether a server accepts connections. Without one, a peer is only the name that a message
    /// comes from: nothing says when it begins or ends, and one without a name cannot be answered.
    #[must_use]
    pub const fn has_connection(self) -> bool {
        match self {
            Self::Stream | Self::SeqPacket => true,
            Self::Datagram => false,
        }
    }

    /// The cause of an error: `what` has no sockets of this type, only those of `types`.
    pub(super) fn missing_in(self, what: &str, types: &[Self]) -> String {
        let types: Vec<&str> = types.iter().map(|known| known.name()).collect();
        let types = types.join(", ");
        format!("{what} has no {self} sockets; its types are {types}")
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Family {
    /// The types of socket of this family, the usual one first.
    #[must_use]
    pub const fn types(self) -> &'static [SocketType] {
        match self {
            Self::Inet | Self::Inet6 => &[SocketType::Stream, SocketType::Datagram],
            Self::Unix => &SocketType::ALL,
        }
    }

    /// Refuses a type that this family lacks.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`]; it lists the types that the family has.
    pub fn require(self, socket_type: SocketType) -> Result<()> {
        let types = self.types();
        if types.contains(&socket_type) {
            return Ok(());
        }
        let cause = socket_type.missing_in(self.name(), types);
        Err(Error::because(
            "address",
            socket_type,
            ErrorKind::Usage,
            cause,
        ))
    }
}
