//! The facts of each family: plain data, which `sok tour` checks against the kernel.

use super::{AddressKind, Family};

/// The differences of a family's sockets from those of other families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// Whether a client learns that the backlog of its server is full: `connect(2)` fails with
    /// `EAGAIN` on a non-blocking socket. Otherwise it waits without an answer.
    pub full_backlog_is_told: bool,
    /// Whether a sender of datagrams waits while its receiver has no room. Otherwise they are
    /// dropped.
    pub full_receiver_blocks: bool,
    /// Whether `connect(2)` on a datagram socket fails if no socket has the address. Otherwise a
    /// client learns at best from the answer to a datagram.
    pub missing_receiver_is_told: bool,
    /// Whether datagrams can go to a group of hosts.
    pub has_groups: bool,
    /// Whether a connection can be closed so that the peer gets an error instead of end of file,
    /// even without unread data (`SO_LINGER` of 0, see `socket(7)`).
    pub has_reset: bool,
    /// Whether open files can be sent with bytes and messages (`SCM_RIGHTS`, see `unix(7)`).
    pub passes_descriptors: bool,
    /// Whether a server learns which process connected; otherwise it knows only the address.
    pub peer_is_process: bool,
    /// Whether small pieces may wait for earlier acknowledgements (Nagle), see `tcp(7)`.
    pub may_delay_small_sends: bool,
    /// Whether a congestion control limits its sends, see `tcp(7)`.
    pub has_congestion_control: bool,
    /// Whether a socket of the family can accept clients of another one too, unless disabled
    /// (`IPV6_V6ONLY`, see `ipv6(7)`).
    pub may_be_dual_stack: bool,
    /// The reach of an address of the family.
    pub reach: &'static str,
}

/// The differences of one kind of name from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameFacts {
    /// Whether a name is still in use after its socket is closed.
    pub outlives_socket: bool,
    /// What holds the address of a dead server.
    pub left_behind: &'static str,
    /// How the next server binds such an address again.
    pub taken_again_by: &'static str,
    /// Who may connect to a server.
    pub may_connect: &'static str,
}

impl Family {
    /// The differences of this family from the others.
    #[must_use]
    pub const fn facts(self) -> &'static Facts {
        const INET: Facts = Facts {
            full_backlog_is_told: false,
            full_receiver_blocks: false,
            missing_receiver_is_told: false,
            has_groups: true,
            has_reset: true,
            passes_descriptors: false,
            peer_is_process: false,
            may_delay_small_sends: true,
            has_congestion_control: true,
            may_be_dual_stack: false,
            reach: "every routed network",
        };
        match self {
            Self::Inet => &INET,
            Self::Inet6 => &Facts {
                may_be_dual_stack: true,
                ..INET
            },
            Self::Unix => &Facts {
                full_backlog_is_told: true,
                full_receiver_blocks: true,
                missing_receiver_is_told: true,
                has_groups: false,
                has_reset: false,
                passes_descriptors: true,
                peer_is_process: true,
                may_delay_small_sends: false,
                has_congestion_control: false,
                may_be_dual_stack: false,
                reach: "this machine",
            },
        }
    }
}

impl AddressKind {
    /// The differences of names of this kind from the others.
    #[must_use]
    pub const fn facts(self) -> &'static NameFacts {
        match self {
            Self::Inet | Self::Inet6 => &NameFacts {
                outlives_socket: false,
                left_behind: "a connection in TIME_WAIT",
                taken_again_by: "SO_REUSEADDR",
                may_connect: "any host that reaches the port",
            },
            Self::UnixPath => &NameFacts {
                outlives_socket: true,
                left_behind: "its socket file",
                taken_again_by: "a new socket file",
                may_connect: "users who may write the file",
            },
            Self::UnixAbstract => &NameFacts {
                outlives_socket: false,
                left_behind: "nothing",
                taken_again_by: "bind(2)",
                may_connect: "its network namespace",
            },
        }
    }
}
