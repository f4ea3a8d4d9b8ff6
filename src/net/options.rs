//! How a socket is set up: what listens, and what connects.

use std::time::Duration;

use tokio::time::Instant;

use crate::address::Address;

/// The owner of a socket file; what is `None` stays as the process has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user id.
    pub user: Option<u32>,
    /// The group id.
    pub group: Option<u32>,
}

/// How a [`Listener`](super::Listener) is set up. What a family has no use for, it ignores.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenOptions {
    /// How many connections may wait to be accepted; the kernel caps it by
    /// `net.core.somaxconn`, and Linux admits one more.
    pub backlog: u32,
    /// Whether `[::]` takes only IPv6 clients (`IPV6_V6ONLY`, see `ipv6(7)`).
    pub v6only: bool,
    /// The permission bits of a socket file; to connect takes the right to write.
    pub mode: u32,
    /// The owner of a socket file.
    pub owner: Option<Owner>,
    /// Whether the address is taken again from a server that has ended: `SO_REUSEADDR` (see
    /// `socket(7)`), or a new socket file in place of a dead one. Without it `bind(2)` decides.
    pub reuse_address: bool,
    /// Whether a socket file is removed with its listener. Without it the file stays, as a server
    /// that was killed leaves it.
    pub remove_file: bool,
    /// Which congestion control TCP has.
    pub congestion: Congestion,
    /// When a client that has vanished is noticed.
    pub keepalive: Keepalive,
    /// Whether AF_UNIX clients may send descriptors with their bytes (`SCM_RIGHTS`, see `unix(7)`).
    /// Without it they get `EPERM` where the kernel can refuse (`SO_PASSRIGHTS`, Linux 6.16 and
    /// later), and a receive is cheaper; an older kernel closes the descriptors unseen.
    pub take_descriptors: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            v6only: false,
            mode: 0o600,
            owner: None,
            reuse_address: true,
            remove_file: true,
            congestion: Congestion::Auto,
            keepalive: Keepalive::default(),
            take_descriptors: true,
        }
    }
}

/// How a client connects.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// The client's own end; a socket file made for it is removed with the stream.
    pub bind: Option<Address>,
    /// When to give up; without it the kernel's own limit holds, which AF_UNIX does not have.
    pub deadline: Option<Instant>,
    /// When a server that has vanished is noticed.
    pub keepalive: Keepalive,
    /// Which congestion control TCP has.
    pub congestion: Congestion,
}

/// For how long a connection may be silent before its peer is asked whether it is still there.
///
/// A peer that gives no answer for the same time again is gone, and the connection fails with
/// [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut). It is for the peers of a network, which may lose their
/// power or their route without a word: `SO_KEEPALIVE`, see `tcp(7)`. What was sent and not
/// acknowledged is left to `tcp_retries2`: a limit of our own (`TCP_USER_TIMEOUT`) would also break
/// the connection of a peer that is there and does not read for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive(Option<Duration>);

impl Keepalive {
    /// The peer is never asked.
    pub const OFF: Self = Self(None);
    /// The shortest time: the kernel counts in seconds.
    pub const MIN: Duration = Duration::from_secs(1);
    /// The longest time that the kernel takes.
    pub const MAX: Duration = Duration::from_secs(32_767);

    /// The peer is asked after `idle`, which is held within [`MIN`](Self::MIN) and
    /// [`MAX`](Self::MAX).
    #[must_use]
    pub fn after(idle: Duration) -> Self {
        Self(Some(idle.clamp(Self::MIN, Self::MAX)))
    }

    /// After how long a silent peer is asked, if it is.
    pub(super) const fn idle(self) -> Option<Duration> {
        self.0
    }
}

impl Default for Keepalive {
    fn default() -> Self {
        Self::after(Duration::from_secs(60))
    }
}

/// Which congestion control TCP has: what decides how fast it sends, see `tcp(7)`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Congestion {
    /// The system's; but on a loopback address Reno where the system's paces what it sends, as BBR
    /// does. Loopback has no network to spare, and a timer for each segment makes bulk several times
    /// dearer.
    #[default]
    Auto,
    /// The system's.
    System,
    /// The one of this name, such as `cubic`.
    Named(String),
}
