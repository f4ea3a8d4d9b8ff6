//! The peer of a connection: its address, and the process of an AF_UNIX socket.

use std::fmt;

use crate::address::Address;

/// The process at the other end of an AF_UNIX socket, as of its `connect(2)`; see `SO_PEERCRED` in
/// `unix(7)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Credentials {
    /// The process id; 0 if it lives in another pid namespace.
    pub pid: i32,
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
}

/// The peer of a connection. Displays as its address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its address; AF_UNIX clients are mostly unnamed.
    pub address: Address,
    /// Its process, if the family reports it.
    pub credentials: Option<Credentials>,
}

impl Peer {
    /// A peer at `address`, of unknown process.
    #[must_use]
    pub const fn new(address: Address) -> Self {
        Self {
            address,
            credentials: None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}
