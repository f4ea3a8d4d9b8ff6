//! How the families differ: a file for each, and here the only match on families.

mod inet;
mod inet6;
mod ip;
mod peer_groups;
mod tcp_options;
mod udp_options;
mod unix;
mod version;

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Socket};
use tokio::io::Interest;

#[cfg(any(test, fuzzing))]
pub(crate) use self::ip::is_ending_at;
use super::faults::Refusal;
use super::options::{ConnectOptions, ConnectionOptions, ListenOptions};
use super::peer::{Credentials, Peer};
use super::received::Received;
use super::rights::Rights;
use super::sockaddr::{Encoded, decode, encode};
use crate::address::{Address, Family, SocketName, SocketType};
use crate::error::Error;

/// How sockets of a family differ from others. The defaults are for families without the feature.
pub(super) trait SocketFamily: Debug + Sync {
    /// The kernel's number of the family.
    fn domain(&self) -> Domain;

    // ---- An address to bind to ----

    /// The bind target for `address`.
    fn place<'a>(&self, address: &'a Address) -> io::Result<BindTarget<'a>> {
        encode(address).map(BindTarget::Name)
    }

    /// Sets up a socket before it listens on `address`. Its connections inherit the options, see
    /// `accept(2)` of Linux.
    fn prepare_listener(&self, _: &Socket, _: &Address, _: &ListenOptions) -> io::Result<()> {
        Ok(())
    }

    /// Sets up a client's socket before bind.
    fn prepare_own_name(&self, _: &Socket, _: &Address) -> io::Result<()> {
        Ok(())
    }

    /// Explains an error of `bind(2)`, such as who holds an address in use.
    fn bind_fault(&self, error: io::Error, address: &Address) -> Refusal;

    /// The name of a listener that requested `wanted`.
    fn bound_name(&self, socket: &Socket, _wanted: &Address) -> io::Result<SocketName> {
        decode(&socket.local_addr()?)
    }

    /// The local address of an accepted socket, if the kernel reports another than its listener's.
    fn accepted_name(&self, _listener: &Arc<Address>) -> Option<Arc<Address>> {
        None
    }

    /// The other family, if any, whose clients a listener on `address` also accepts.
    fn also_takes(&self, _: &Socket, _: &Address) -> Option<Family> {
        None
    }

    /// See [`is_left_behind`].
    fn is_left_behind(&self, address: &Address) -> bool;

    // ---- A connection that a client makes ----

    /// Sets up a client's socket before it connects to `address`.
    fn prepare_client(&self, _: &Socket, _: &Address, _: &ConnectOptions) -> io::Result<()> {
        Ok(())
    }

    /// Whether `address` is that of several hosts, as a group. Their answers come from other
    /// addresses, so that a socket connected to it would receive none.
    fn is_of_several(&self, _: &Address, _: &ConnectOptions) -> bool {
        false
    }

    /// What an error of `connect(2)` on a non-blocking socket means.
    fn connect_fault(&self, error: nix::Error) -> ConnectFault;

    /// The error of a connect to `address`, with the cause known to the family.
    fn connect_error(&self, address: &Address, source: io::Error) -> Error;

    /// Checks a client's new connection to `address`, and sets its options.
    fn connected(&self, _: &Socket, _: &Address) -> io::Result<()> {
        Ok(())
    }

    /// Sets the options of an accepted connection that it does not inherit.
    fn accepted(&self, _: &Socket, _: SocketType) -> io::Result<()> {
        Ok(())
    }

    /// Sets the options of a connection that another program made or may have prepared; `address` is
    /// that of its listener, or of the server.
    fn prepare_connection(
        &self,
        _: &Socket,
        _address: &Address,
        _: &ConnectionOptions,
    ) -> io::Result<()> {
        Ok(())
    }

    /// Sets the options that a datagram socket needs for sessions, and that another program bound.
    fn prepare_sessions(&self, _: &Socket, _local: &Address, _: &ListenOptions) -> io::Result<()> {
        Ok(())
    }

    /// Whether it is a link-local address without a scope.
    fn lacks_scope(&self, _: &Address) -> bool {
        false
    }

    // ---- A connection ----

    /// Receives available bytes, and the descriptors that come with them.
    fn receive(
        &self,
        socket: &Socket,
        rights: Rights<'_>,
        flags: RecvFlags,
        buffer: &mut [u8],
    ) -> io::Result<Piece>;

    /// Receives one message of a connected socket, and its descriptors; see [`Received::message`]
    /// for one that is too large.
    fn receive_message(
        &self,
        socket: &Socket,
        socket_type: SocketType,
        rights: Rights<'_>,
        flags: RecvFlags,
        buffer: &mut [u8],
    ) -> io::Result<Received>;

    /// Whether every datagram comes with the name of its sender.
    fn names_every_sender(&self) -> bool;

    /// The size of the largest datagram that a socket may receive.
    fn longest_datagram(&self) -> usize;

    /// The size of the largest message that `socket` sends.
    fn longest_sent(&self, socket: &Socket) -> io::Result<usize>;

    /// Has the kernel refuse, with `EPERM`, descriptors sent to the socket or to connections of a
    /// listener, or take them again. `false` if it cannot refuse them.
    fn set_takes_descriptors(&self, _: &Socket, _takes: bool) -> bool {
        true
    }

    /// The initial interest of a connection: bytes, urgent data, and send room unless the family
    /// reports it at each receive of the peer.
    fn interest(&self) -> Interest;

    /// Whether end of file hides a later error, such as a reset for bytes that the peer did not
    /// receive.
    fn end_hides_error(&self) -> bool;

    /// Whether a closed peer can be distinguished from a half-close: `EPOLLHUP`, see
    /// `epoll_ctl(2)`.
    fn shows_full_close(&self) -> bool;

    /// Whether small sends wait for an acknowledgement of earlier ones (Nagle), see `tcp(7)`.
    fn delays_small_sends(&self, _: &Socket) -> io::Result<bool> {
        Ok(false)
    }

    /// The peer's credentials, if the family reports them.
    fn credentials(&self, _: &Socket) -> io::Result<Option<Credentials>> {
        Ok(None)
    }

    /// The peer's supplementary groups.
    ///
    /// # Errors
    /// `Unsupported` if the family does not report them.
    fn groups(&self, _: &Socket) -> io::Result<Vec<u32>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether the kernel still holds sent data, up to our end of file, that it would drop if the
    /// peer sent to a closed socket.
    fn may_lose_sent(&self, _: &Socket) -> io::Result<bool> {
        Ok(false)
    }

    /// Whether the host of the peer may not have all sent data, up to our end of file.
    fn awaits_acknowledgement(&self, _: &Socket) -> io::Result<bool> {
        Ok(false)
    }

    // ---- A stream of bytes ----

    /// Enlarges the send buffer for bulk.
    fn expect_bulk(&self, _: &Socket) -> io::Result<()> {
        Ok(())
    }

    /// Whether bytes spliced from a socket come in small pieces.
    fn gives_small_pieces(&self) -> bool {
        false
    }

    /// Whether a socket takes small pieces as cheaply as large ones.
    fn takes_small_pieces(&self, _: &Socket) -> bool {
        true
    }

    // ---- The host, and programs ----

    /// The `sysctl(8)` names of the settings that disable the family when 1.
    fn switches(&self) -> &'static [&'static str] {
        &[]
    }

    /// The address of the loopback interface, for `ip address add`.
    fn loopback(&self) -> Option<&'static str> {
        None
    }

    /// The UCSPI variables of a connection, see [`exec_environment`].
    fn ucspi(&self, local: &Address, peer: &Peer) -> Vec<(&'static str, OsString)>;
}

/// The implementation of `family`.
pub(super) const fn of(family: Family) -> &'static dyn SocketFamily {
    match family {
        Family::Inet => &inet::FAMILY,
        Family::Inet6 => &inet6::FAMILY,
        Family::Unix => &unix::FAMILY,
    }
}

/// The target of a bind.
#[derive(Debug)]
pub(super) enum BindTarget<'a> {
    /// A name in the kernel.
    Name(Encoded),
    /// A file, which outlives the socket: [`SocketFile`](super::SocketFile).
    File(&'a Path),
}

/// The bytes that one receive of a stream returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) count: usize,
    /// Whether it stopped at descriptors or urgent data, so that more bytes may be available.
    pub(super) is_cut: bool,
}

/// Receives one datagram of a connected socket.
fn receive_datagram(socket: &Socket, flags: RecvFlags, buffer: &mut [u8]) -> io::Result<Received> {
    let room = buffer.len();
    // With MSG_TRUNC, the length is that of the datagram, also if it was cut.
    let (_, length) = recv(socket, buffer, flags | RecvFlags::TRUNC)?;
    Received::message(length, room)
}

/// What a failed `connect(2)` means on a non-blocking socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectFault {
    /// The connect is in progress: wait until the socket is writable.
    InProgress,
    /// The backlog is full, and there is nothing to poll: retry.
    BacklogFull,
    /// It failed.
    Failed,
}

/// What `error` of `connect(2)` means.
pub(super) fn connect_fault(family: Family, error: &io::Error) -> ConnectFault {
    match error.raw_os_error() {
        Some(number) => of(family).connect_fault(nix::Error::from_raw(number)),
        None => ConnectFault::Failed,
    }
}

/// The error of a connect to `address`, with the cause known to its family. A datagram socket may
/// learn only when it sends or receives that no server is there.
pub(crate) fn connect_error(address: &Address, source: io::Error) -> Error {
    of(address.family()).connect_error(address, source)
}

/// Whether splicing from a socket of the family `from` to `to`, of the family `to_family`, costs
/// less than copying.
pub(super) fn splices_well(from: Family, to_family: Family, to: &Socket) -> bool {
    !of(from).gives_small_pieces() || of(to_family).takes_small_pieces(to)
}

/// Whether an ended server's address is still in use by its remains: its socket file, or a
/// connection that it closed first, which is in `TIME_WAIT` (see `proc_pid_net(5)`).
#[must_use]
pub fn is_left_behind(address: &Address) -> bool {
    of(address.family()).is_left_behind(address)
}

/// All variables about the peer, and those that a service manager addresses to this process; inherited
/// ones are removed. A few of UCSPI's are never set here.
pub(crate) const EXEC_NAMES: [&str; 33] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "SOK_FAMILY",
    "SOK_TYPE",
    "SOK_LOCAL",
    "SOK_PEER",
    "PROTO",
    "TCPLOCALIP",
    "TCPLOCALPORT",
    "TCPLOCALHOST",
    "TCPREMOTEIP",
    "TCPREMOTEPORT",
    "TCPREMOTEHOST",
    "TCPREMOTEINFO",
    "UDPLOCALIP",
    "UDPLOCALPORT",
    "UDPLOCALHOST",
    "UDPREMOTEIP",
    "UDPREMOTEPORT",
    "UDPREMOTEHOST",
    "UNIXLOCALPATH",
    "UNIXLOCALUID",
    "UNIXLOCALGID",
    "UNIXLOCALPID",
    "UNIXREMOTEPATH",
    "UNIXREMOTEPID",
    "UNIXREMOTEEUID",
    "UNIXREMOTEEGID",
];

/// The environment of a program that serves `peer`: UCSPI variables, and those of sok.
///
/// UCSPI names (<https://cr.yp.to/proto/ucspi.txt>): `PROTO`, `TCPREMOTEIP`, `UNIXREMOTEPID` and so
/// on; `UDPREMOTEIP` and so on as of `udpsvd(8)`. `SOK_FAMILY`, `SOK_TYPE`, `SOK_LOCAL` and
/// `SOK_PEER` are the same on every family.
#[must_use]
pub fn exec_environment(local: &Address, peer: &Peer) -> Vec<(&'static str, OsString)> {
    let mut all: Vec<(&'static str, OsString)> = vec![
        ("SOK_FAMILY", local.family().name().into()),
        ("SOK_TYPE", local.socket_type().name().into()),
        ("SOK_LOCAL", local.to_string().into()),
        ("SOK_PEER", peer.address.to_string().into()),
    ];
    all.extend(of(local.family()).ucspi(local, peer));
    all
}

#[cfg(test)]
mod tests {
    use super::{EXEC_NAMES, exec_environment};
    use crate::address::Address;
    use crate::net::{Credentials, Peer};

    #[test]
    fn every_variable_of_exec_is_first_removed() {
        for word in [
            "inet:127.0.0.1:1",
            "inet6:[::1]:1",
            "udp4:127.0.0.1:1",
            "udp6:[::1]:1",
            "unix:/s",
            "unix:@s",
            "unixgram:/s",
        ] {
            let address: Address = word.parse().unwrap();
            let credentials = Some(Credentials {
                pid: 1,
                uid: 1,
                gid: 1,
            });
            let peer = Peer {
                address: address.clone(),
                credentials,
            };
            for (name, _) in exec_environment(&address, &peer) {
                assert!(EXEC_NAMES.contains(&name), "{name}");
            }
        }
    }
}
