//! What sockets of each family do differently: the only place that branches on it.
#![warn(clippy::wildcard_enum_match_arm)]

mod bulk;
mod keepalive;
mod rights;
mod taken;
mod ucspi;

use std::io::{self, IoSliceMut, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use nix::sys::socket::{MsgFlags, getsockopt, recvmsg, sockopt};
use socket2::{Domain, Type};
use tokio::io::Interest;

pub(super) use self::bulk::{expect_bulk, splices_well, unpace};
pub(super) use self::keepalive::keep_alive;
pub(super) use self::rights::refuse_descriptors;
pub(super) use self::taken::may_lose_sent;
pub(crate) use self::ucspi::EXEC_NAMES;
pub use self::ucspi::exec_environment;
use super::directory::foreign;
use super::faults::{Refusal, in_use};
use super::holder::holders;
use super::options::ListenOptions;
use super::peer::Credentials;
use super::sockaddr::{Encoded, decode, encode};
use super::socket::{Received, Socket};
use super::socket_file::SocketFile;
use crate::address::{Address, Family, Purpose, UnixName};
use crate::error::{Error, Kind};

/// The kernel's number of a family.
pub(super) const fn domain(family: Family) -> Domain {
    match family {
        Family::Inet => Domain::IPV4,
        Family::Inet6 => Domain::IPV6,
        Family::Unix => Domain::UNIX,
    }
}

/// A socket of another type, whose `connect(2)` tells whether a name is held, and disturbs nobody.
pub(super) fn question(family: Family) -> io::Result<socket2::Socket> {
    socket2::Socket::new(domain(family), Type::DGRAM, None)
}

/// Binds `socket` to `address` and listens; a socket file is published when it accepts.
pub(super) fn listen(
    socket: &Socket,
    address: &Address,
    options: &ListenOptions,
) -> Result<Option<SocketFile>, Refusal> {
    match address {
        Address::Inet(_) => socket.options().set_reuse_address(options.reuse_address)?,
        Address::Inet6(_) => {
            socket.options().set_only_v6(options.v6only)?;
            socket.options().set_reuse_address(options.reuse_address)?;
        }
        Address::Unix(UnixName::Path(path)) => {
            return SocketFile::publish(socket, path, options).map(Some);
        }
        Address::Unix(UnixName::Abstract(_) | UnixName::Unnamed) => {}
    }
    keep_alive(socket, address, Purpose::Listen, options.keepalive)?;
    // Its connections inherit what is set on it, see `accept(2)` of Linux.
    opened(socket)?;
    if !options.pace_loopback {
        unpace(socket, address, Purpose::Listen);
    }
    socket
        .bind(&name_to_bind(address)?.name, address)
        .map_err(|error| taken(error, address))?;
    socket.listen(options.backlog)?;
    Ok(None)
}

/// The kernel's form of an address to bind to.
fn name_to_bind(address: &Address) -> io::Result<Encoded> {
    match address {
        // Autobind: the kernel chooses an abstract name, see unix(7).
        Address::Unix(name) if !name.is_definite() => Ok(socket2::SockAddr::unix("")?.into()),
        Address::Inet(_) | Address::Inet6(_) | Address::Unix(_) => encode(address),
    }
}

/// Binds a client's own end.
pub(super) fn bind_client(
    socket: &Socket,
    address: &Address,
) -> Result<Option<SocketFile>, Refusal> {
    match address {
        Address::Inet(_) | Address::Inet6(_) => socket.options().set_reuse_address(true)?,
        Address::Unix(UnixName::Path(path)) => return SocketFile::bind(socket, path).map(Some),
        Address::Unix(UnixName::Abstract(_) | UnixName::Unnamed) => {}
    }
    socket
        .bind(&name_to_bind(address)?.name, address)
        .map_err(|error| taken(error, address))?;
    Ok(None)
}

/// Who holds an address that `bind(2)` found in use, and the other known causes of its errors.
fn taken(error: io::Error, address: &Address) -> Refusal {
    let hint = match (error.kind(), address) {
        (io::ErrorKind::AddrInUse, Address::Unix(name)) => return in_use(&holders(name)),
        (io::ErrorKind::AddrInUse, Address::Inet(_) | Address::Inet6(_)) => {
            "stop who listens there, or take port 0 to get a free one"
        }
        (io::ErrorKind::PermissionDenied, Address::Inet(_) | Address::Inet6(_)) => {
            "ports below 1024 need CAP_NET_BIND_SERVICE"
        }
        (io::ErrorKind::AddrNotAvailable, _) => "no interface of this machine has this address",
        (_, Address::Inet6(_)) if lacks_scope(address) => {
            return Refusal {
                source: error,
                kind: Some(Kind::Usage),
                hint: Some(NEEDS_SCOPE.to_owned()),
            };
        }
        _ => return error.into(),
    };
    Refusal {
        source: error,
        kind: None,
        hint: Some(hint.to_owned()),
    }
}

/// Whether the address of a server that has ended is still held by what it left behind: its
/// socket file, or a connection that it closed first, which ends in `TIME_WAIT` (see
/// `proc_pid_net(5)`).
#[must_use]
pub fn is_left_behind(address: &Address) -> bool {
    let table = match address {
        Address::Inet(_) => "/proc/net/tcp",
        Address::Inet6(_) => "/proc/net/tcp6",
        Address::Unix(name) => return name.as_path().is_some_and(Path::exists),
    };
    let Some((_, port)) = address.as_ip() else {
        return false;
    };
    is_ending_at(port, &std::fs::read_to_string(table).unwrap_or_default())
}

/// Whether `connections`, a table of `proc_pid_net(5)`, has one on `port` that this end closed.
pub(crate) fn is_ending_at(port: u16, connections: &str) -> bool {
    let own = format!(":{port:04X}");
    // FIN_WAIT1, FIN_WAIT2, TIME_WAIT.
    let ending = ["04", "05", "06"];
    connections.lines().skip(1).any(|line| {
        // Its number, the local address, the remote one, the state.
        let fields: Vec<&str> = line.split_whitespace().take(4).collect();
        matches!(fields[..], [_, local, _, state] if local.ends_with(&own) && ending.contains(&state))
    })
}

/// Sets what every connection of a family wants, on itself or on the socket that it is accepted from.
fn opened(socket: &Socket) -> io::Result<()> {
    match socket.family() {
        // A reply must not wait for an acknowledgement (Nagle): tcp(7).
        Family::Inet | Family::Inet6 => socket.options().set_tcp_nodelay(true),
        Family::Unix => Ok(()),
    }
}

/// Whether a receive at the end of what came says nothing of an error that came after it, as a reset
/// for bytes that the peer did not take. AF_UNIX reports the error first.
pub(super) const fn end_hides_error(family: Family) -> bool {
    match family {
        Family::Inet | Family::Inet6 => true,
        Family::Unix => false,
    }
}

/// Whether small pieces wait for an acknowledgement of those before (Nagle), see `tcp(7)`.
pub(super) fn delays_small_sends(socket: &Socket) -> io::Result<bool> {
    match socket.family() {
        Family::Inet | Family::Inet6 => Ok(!socket.options().tcp_nodelay()?),
        Family::Unix => Ok(false),
    }
}

/// Checks a connection to `address` that a client made, and sets what it wants.
///
/// A TCP client whose own port the kernel chose may meet itself on it (RFC 9293, simultaneous
/// open): nobody else is there.
pub(super) fn connected(socket: &Socket, address: &Address) -> io::Result<()> {
    if address.family().is_network() && decode(&socket.options().local_addr()?)? == *address {
        return Err(nix::Error::ECONNREFUSED.into());
    }
    opened(socket)
}

/// Receives what is there. AF_UNIX ends a receive after the bytes that descriptors came with
/// (`SCM_RIGHTS`, see `unix(7)`), which it closes as nobody asked for them: where some may come, only
/// `recvmsg(2)` says so, which is dearer.
pub(super) fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<Received> {
    let (count, is_cut) = match socket.family() {
        Family::Inet | Family::Inet6 => (socket.options().read(buffer)?, false),
        Family::Unix if !socket.may_get_descriptors() => (socket.options().read(buffer)?, false),
        Family::Unix => {
            let mut data = [IoSliceMut::new(buffer)];
            let descriptor = socket.as_raw_fd();
            let received = recvmsg::<()>(descriptor, &mut data, None, MsgFlags::empty())?;
            (
                received.bytes,
                received.flags.contains(MsgFlags::MSG_CTRUNC),
            )
        }
    };
    Ok(Received { count, is_cut })
}

/// What a connection waits for from the start: what comes, and the mark of urgent data.
///
/// AF_UNIX tells who waits for room of each message that the peer takes, so that a server would be
/// woken twice for each reply: room is waited for once there is none. TCP tells it then alone.
pub(super) const fn interest(family: Family) -> Interest {
    const COMES: Interest = Interest::READABLE.add(Interest::PRIORITY);
    match family {
        Family::Inet | Family::Inet6 => COMES.add(Interest::WRITABLE),
        Family::Unix => COMES,
    }
}

/// Whether a peer that has closed its socket differs from one that has shut down its sending half:
/// `EPOLLHUP`, see `epoll_ctl(2)`. TCP sends the same for both.
pub(super) const fn shows_full_close(family: Family) -> bool {
    match family {
        Family::Inet | Family::Inet6 => false,
        Family::Unix => true,
    }
}

/// What a failed `connect(2)` means on a non-blocking socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectFault {
    /// The connection is under way: wait until the socket is writable.
    InProgress,
    /// A server is there, but its backlog is full, and nothing can be polled: try again.
    BacklogFull,
    /// It failed.
    Failed,
}

/// What `error` of `connect(2)` means.
pub(super) fn connect_fault(family: Family, error: &io::Error) -> ConnectFault {
    match (family, error.raw_os_error().map(nix::Error::from_raw)) {
        (Family::Inet | Family::Inet6, Some(nix::Error::EINPROGRESS)) => ConnectFault::InProgress,
        (Family::Unix, Some(nix::Error::EAGAIN)) => ConnectFault::BacklogFull,
        (Family::Inet | Family::Inet6 | Family::Unix, _) => ConnectFault::Failed,
    }
}

/// The failure of a connection to `address`, with the cause that the family knows.
pub(super) fn connect_error(address: &Address, source: io::Error) -> Error {
    let errno = source.raw_os_error().map(nix::Error::from_raw);
    let told = |kind, cause: &str| Error::because("connect", address, kind, cause);
    match (address, errno) {
        (Address::Unix(UnixName::Path(path)), Some(nix::Error::ECONNREFUSED)) => {
            match std::fs::metadata(path)
                .ok()
                .and_then(|file| foreign(file.mode()))
            {
                Some(what) => told(Kind::Other, &format!("this is {what}, not a socket"))
                    .with_hint("give the path of a socket"),
                None => told(
                    Kind::NobodyThere,
                    "no server is listening (stale socket file left by a dead process)",
                )
                .with_hint("start the server, or remove the file"),
            }
        }
        (Address::Unix(UnixName::Path(_)), Some(nix::Error::ENOENT)) => {
            told(Kind::NobodyThere, "no such file").with_hint("start the server, or check the path")
        }
        (Address::Unix(UnixName::Path(_)), Some(nix::Error::EACCES)) => {
            Error::new("connect", address, source)
                .with_hint("the socket file must be writable, and its directories searchable")
        }
        (Address::Unix(_), Some(nix::Error::EPROTOTYPE)) => {
            told(Kind::Other, "the socket there is no stream socket")
                .with_hint("give the path of a stream socket")
        }
        (
            Address::Inet(_) | Address::Inet6(_) | Address::Unix(_),
            Some(nix::Error::ECONNREFUSED),
        ) => told(
            Kind::NobodyThere,
            "connection refused, no server is listening",
        )
        .with_hint("start the server, or check the address"),
        (Address::Unix(UnixName::Path(_)), Some(nix::Error::ENOTDIR)) => {
            Error::new("connect", address, source).with_hint("check the path")
        }
        (
            Address::Inet(_) | Address::Inet6(_),
            Some(nix::Error::ENETUNREACH | nix::Error::EHOSTUNREACH),
        ) => Error::new("connect", address, source)
            .with_hint("check the address, and the routes (ip route)"),
        (Address::Inet6(_), Some(nix::Error::EINVAL)) if lacks_scope(address) => {
            Error::new("connect", address, source)
                .with_kind(Kind::Usage)
                .with_hint(NEEDS_SCOPE)
        }
        (Address::Inet(_) | Address::Inet6(_) | Address::Unix(_), _) => {
            Error::new("connect", address, source)
        }
    }
}

const NEEDS_SCOPE: &str = "a link-local address needs its interface, such as [fe80::1%eth0]";

/// Whether it is an address of one link that does not say of which.
pub(super) const fn lacks_scope(address: &Address) -> bool {
    match address {
        Address::Inet6(v6) => v6.ip().is_unicast_link_local() && v6.scope_id() == 0,
        Address::Inet(_) | Address::Unix(_) => false,
    }
}

/// The process at the other end, where the family tells.
pub(super) fn credentials(socket: &Socket) -> io::Result<Option<Credentials>> {
    match socket.family() {
        Family::Inet | Family::Inet6 => Ok(None),
        Family::Unix => {
            let found = getsockopt(socket, sockopt::PeerCredentials)?;
            Ok(Some(Credentials {
                pid: found.pid(),
                uid: found.uid(),
                gid: found.gid(),
            }))
        }
    }
}

/// Whether a bound socket's own name must be kept, as the kernel knows another or none.
pub(super) fn accepted_name(listener: &Arc<Address>) -> Option<Arc<Address>> {
    match listener.family() {
        // The kernel still has the temporary name that the socket file was bound under.
        Family::Unix => Some(Arc::clone(listener)),
        Family::Inet | Family::Inet6 => None,
    }
}

/// The address that a listener which asked for `wanted` got.
pub(super) fn bound_name(socket: &Socket, wanted: &Address) -> io::Result<Address> {
    match wanted {
        Address::Unix(name) if name.is_definite() => Ok(wanted.clone()),
        Address::Inet(_) | Address::Inet6(_) | Address::Unix(_) => {
            decode(&socket.options().local_addr()?)
        }
    }
}

/// The kernel's settings that switch a family off when they are 1, by their names for `sysctl(8)`.
pub(super) const fn switches(family: Family) -> &'static [&'static str] {
    match family {
        Family::Inet6 => &[
            "net.ipv6.conf.all.disable_ipv6",
            "net.ipv6.conf.lo.disable_ipv6",
        ],
        Family::Inet | Family::Unix => &[],
    }
}

/// The address that the loopback interface has in a family, as `ip address add` takes it.
pub(super) const fn loopback(family: Family) -> Option<&'static str> {
    match family {
        Family::Inet => Some("127.0.0.1/8"),
        Family::Inet6 => Some("::1/128"),
        Family::Unix => None,
    }
}

/// Whether a listener on `address` also takes clients of another family, and which.
pub(super) fn also_takes(socket: &Socket, address: &Address) -> Option<Family> {
    match address {
        Address::Inet6(v6) if v6.ip().is_unspecified() => {
            let only_v6 = socket.options().only_v6().unwrap_or(true);
            (!only_v6).then_some(Family::Inet)
        }
        Address::Inet(_) | Address::Inet6(_) | Address::Unix(_) => None,
    }
}
