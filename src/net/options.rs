//! Options of listening and connecting sockets.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::gate::SessionGate;
use crate::address::{Address, Purpose};

/// The owner of a socket file; `None` keeps the process's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user id.
    pub user: Option<u32>,
    /// The group id.
    pub group: Option<u32>,
}

/// Options of a [`Listener`](super::Listener). A family ignores those that do not apply.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListenOptions {
    /// The maximum number of connections that wait to be accepted; the kernel caps it by
    /// `net.core.somaxconn`, and Linux admits one more.
    pub backlog: u32,
    /// Whether `[::]` accepts only IPv6 clients (`IPV6_V6ONLY`, see `ipv6(7)`).
    pub v6only: bool,
    /// The permission bits of a socket file; connecting needs write permission.
    pub mode: u32,
    /// The owner of a socket file.
    pub owner: Option<Owner>,
    /// Whether to reuse the address of a server that has ended: `SO_REUSEADDR` (see `socket(7)`),
    /// or a new socket file in place of a dead one. Without it `bind(2)` decides.
    pub reuse_address: bool,
    /// Whether a socket file is removed with its listener. Otherwise the file stays, as after a
    /// kill.
    pub remove_file: bool,
    /// Whether a socket file is bound in its place, so that `getsockname(2)` returns its path, also in
    /// a program that inherits the socket. It then appears a moment before it accepts. Where others
    /// can redirect the path, it is moved to its place, as all are by default.
    pub bind_in_place: bool,
    /// Which congestion control TCP has.
    pub congestion: Congestion,
    /// When a vanished client is detected.
    pub keepalive: Keepalive,
    /// Whether AF_UNIX clients may send descriptors with their bytes (`SCM_RIGHTS`, see `unix(7)`).
    /// Otherwise they get `EPERM` if the kernel can refuse (`SO_PASSRIGHTS`, Linux 6.16 and later),
    /// and receives are cheaper; older kernels close the descriptors.
    pub take_descriptors: bool,
    /// Whether a session keeps descriptors that come with a datagram, for a
    /// [`transfer`](crate::transfer::transfer()) that passes them on; otherwise the kernel closes
    /// them.
    pub pass_descriptors: bool,
    /// The time after which a session of a datagram socket ends if no datagram passes.
    pub session_idle: Duration,
    /// The time after which a session ends even if datagrams pass; their peer's next one begins another.
    pub session_lifetime: Option<Duration>,
    /// The maximum size of a datagram; larger ones are counted and dropped.
    pub max_message: usize,
    /// Which peers of a datagram socket may begin a session; all without one.
    pub session_gate: Option<Arc<dyn SessionGate>>,
    /// Whether each datagram of an AF_UNIX socket comes with the user who sent it, as the kernel says
    /// (`SO_PASSCRED`, see `unix(7)`). Datagrams of one name that different users send then belong to
    /// different sessions.
    pub take_credentials: bool,
    /// Options of UDP.
    pub udp: UdpOptions,
}

impl ListenOptions {
    /// The default of [`session_idle`](Self::session_idle).
    pub const SESSION_IDLE: Duration = Duration::from_secs(30);
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
            bind_in_place: false,
            congestion: Congestion::Auto,
            keepalive: Keepalive::default(),
            take_descriptors: true,
            pass_descriptors: false,
            session_idle: Self::SESSION_IDLE,
            session_lifetime: None,
            max_message: 1 << 20,
            session_gate: None,
            take_credentials: false,
            udp: UdpOptions::default(),
        }
    }
}

/// How a client connects.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// The local address; its socket file is removed with the stream.
    pub bind: Option<Address>,
    /// When to give up; by default the kernel's limit applies, which AF_UNIX does not have.
    pub deadline: Option<Instant>,
    /// When a vanished server is detected.
    pub keepalive: Keepalive,
    /// Which congestion control TCP has.
    pub congestion: Congestion,
    /// Whether an AF_UNIX server gets `EPERM` when it sends descriptors, see
    /// [`ListenOptions::take_descriptors`].
    pub refuse_descriptors: bool,
    /// Options of UDP.
    pub udp: UdpOptions,
}

/// Options of a connection that another program made, or whose listener another program made: it has
/// none of ours.
#[derive(Debug, Clone)]
pub(super) struct ConnectionOptions {
    /// Whether it is that of a server or of a client.
    pub(super) purpose: Purpose,
    /// When a vanished peer is detected.
    pub(super) keepalive: Keepalive,
    /// Which congestion control TCP has.
    pub(super) congestion: Congestion,
}

impl From<&ListenOptions> for ConnectionOptions {
    fn from(options: &ListenOptions) -> Self {
        Self {
            purpose: Purpose::Listen,
            keepalive: options.keepalive,
            congestion: options.congestion.clone(),
        }
    }
}

impl From<&ConnectOptions> for ConnectionOptions {
    fn from(options: &ConnectOptions) -> Self {
        Self {
            purpose: Purpose::Connect,
            keepalive: options.keepalive,
            congestion: options.congestion.clone(),
        }
    }
}

/// Options of UDP sockets; see `udp(7)`, `ip(7)` and `ipv6(7)`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpOptions {
    /// Whether it may send to a broadcast address, which only IPv4 has (`SO_BROADCAST`). A client
    /// then takes the answers of all hosts.
    pub broadcast: bool,
    /// The groups whose datagrams it receives. Other sockets that have joined a group can then bind
    /// the same port.
    pub join: Vec<Membership>,
    /// The maximum number of routers on the way of a datagram, plus one; by default that of the
    /// system, and 1 for a datagram to a group.
    pub ttl: Option<u8>,
}

/// A membership in a multicast group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The address of the group.
    pub group: IpAddr,
    /// The interface, by name or number; datagrams to groups are also sent from it. By default the
    /// routes determine it.
    pub interface: Option<String>,
}

/// How long a connection may be silent before the kernel probes its peer.
///
/// If the peer does not answer for the same time again, the connection fails with
/// [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut). It detects network peers that lose power or
/// route: `SO_KEEPALIVE`, see `tcp(7)`. Unacknowledged data is subject to `tcp_retries2`:
/// `TCP_USER_TIMEOUT` would also break the connection of a live peer that does not read for a
/// while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive(Option<Duration>);

impl Keepalive {
    /// Never probes the peer.
    pub const OFF: Self = Self(None);
    /// The shortest time: the kernel counts in seconds.
    pub const MIN: Duration = Duration::from_secs(1);
    /// The longest time that the kernel accepts.
    pub const MAX: Duration = Duration::from_secs(32_767);

    /// Probes the peer after `idle`, clamped to [`MIN`](Self::MIN) and [`MAX`](Self::MAX).
    #[must_use]
    pub fn after(idle: Duration) -> Self {
        Self(Some(idle.clamp(Self::MIN, Self::MAX)))
    }

    /// The silence before a probe, if enabled.
    pub(super) const fn idle(self) -> Option<Duration> {
        self.0
    }
}

impl Default for Keepalive {
    fn default() -> Self {
        Self::after(Duration::from_secs(60))
    }
}

/// The TCP congestion control, see `tcp(7)`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Congestion {
    /// The system default, except Reno on loopback if the default paces, as BBR does. Loopback
    /// needs no pacing, and a timer for each segment makes bulk several times more expensive.
    #[default]
    Auto,
    /// The system's.
    System,
    /// The algorithm of this name, such as `cubic`.
    Named(String),
}
