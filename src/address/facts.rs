//! What a person must know of each family: plain data, which `sok tour` checks against the kernel.

use super::Family;

/// In what the sockets of one family differ from those of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether a client is told that the backlog of its server is full: `connect(2)` fails with
    /// `EAGAIN` on a non-blocking socket. Otherwise it hears nothing until there is room.
    pub full_backlog_is_told: bool,
    /// Whether a connection can be closed so that the peer sees an error and not an end, with
    /// nothing left unread (`SO_LINGER` of 0, see `socket(7)`).
    pub has_reset: bool,
    /// Whether a name is still held when the socket that was bound to it is closed.
    pub name_outlives_socket: bool,
    /// What holds the address of a server that has ended.
    pub left_behind: &'static str,
    /// How the next server takes such an address again.
    pub taken_again_by: &'static str,
    /// Whether a server learns which process connected; otherwise its address is all there is.
    pub peer_is_process: bool,
    /// Who may connect to a server.
    pub may_connect: &'static str,
    /// How far an address of the family reaches.
    pub reach: &'static str,
}

const NETWORK: Facts = Facts {
    full_backlog_is_told: false,
    has_reset: true,
    name_outlives_socket: false,
    left_behind: "a connection in TIME_WAIT",
    taken_again_by: "SO_REUSEADDR",
    peer_is_process: false,
    may_connect: "whoever reaches the port",
    reach: "as far as it is routed",
};

impl Family {
    /// In what this family differs from the others.
    #[must_use]
    pub const fn facts(self) -> &'static Facts {
        match self {
            Self::Inet | Self::Inet6 => &NETWORK,
            Self::Unix => &Facts {
                full_backlog_is_told: true,
                has_reset: false,
                name_outlives_socket: true,
                left_behind: "its socket file",
                taken_again_by: "a new file in its place",
                peer_is_process: true,
                may_connect: "who may write the file",
                reach: "this machine",
            },
        }
    }
}
