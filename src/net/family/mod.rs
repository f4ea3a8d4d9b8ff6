//! What sockets of each family do differently: a file for each, and here the one match on families.

mod inet;
mod inet6;
mod tcp;
mod tcp_options;
mod unix;

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, Socket};
use tokio::io::Interest;

#[cfg(any(test, fuzzing))]
pub(crate) use self::tcp::is_ending_at;
use super::faults::Refusal;
use super::options::{ConnectOptions, ListenOptions};
use super::peer::{Credentials, Peer};
use super::sockaddr::{Encoded, decode, encode};
use crate::address::{Address, Family};
use crate::error::Error;

/// What a family does, and where sockets of the families differ. The defaults are for a family that
/// has nothing of the kind.
pub(super) trait SocketFamily: Debug + Sync {
    /// The kernel's number of the family.
    fn domain(&self) -> Domain;

    // ---- An address to bind to ----

    /// What is bound for `address`.
    fn place<'a>(&self, address: &'a Address) -> io::Result<BindTarget<'a>> {
        encode(address).map(BindTarget::Name)
    }

    /// Sets up a socket that is to listen on `address`. Its connections inherit what is set on it,
    /// see `accept(2)` of Linux.
    fn prepare_listener(&self, _: &Socket, _: &Address, _: &ListenOptions) -> io::Result<()> {
        Ok(())
    }

    /// Sets up a client's socket that is to get a name of its own.
    fn prepare_own_name(&self, _: &Socket) -> io::Result<()> {
        Ok(())
    }

    /// Who holds an address that `bind(2)` found in use, and the other known causes of its errors.
    fn bind_fault(&self, error: io::Error, address: &Address) -> Refusal;

    /// The address that a listener which asked for `wanted` got.
    fn bound_name(&self, socket: &Socket, _wanted: &Address) -> io::Result<Address> {
        decode(&socket.local_addr()?)
    }

    /// The name of an accepted socket's own end, where the kernel knows another than its listener's.
    fn accepted_name(&self, _listener: &Arc<Address>) -> Option<Arc<Address>> {
        None
    }

    /// Whether a listener on `address` also takes clients of another family, and which.
    fn also_takes(&self, _: &Socket, _: &Address) -> Option<Family> {
        None
    }

    /// See [`is_left_behind`].
    fn is_left_behind(&self, address: &Address) -> bool;

    // ---- A connection that a client makes ----

    /// Sets up a client's socket that is to connect to `address`.
    fn prepare_client(&self, _: &Socket, _: &Address, _: &ConnectOptions) -> io::Result<()> {
        Ok(())
    }

    /// What an error of `connect(2)` on a non-blocking socket means.
    fn connect_fault(&self, error: nix::Error) -> ConnectFault;

    /// The failure of a connection to `address`, with the cause that the family knows.
    fn connect_error(&self, address: &Address, source: io::Error) -> Error;

    /// Checks a connection to `address` that a client made, and sets what it wants.
    fn connected(&self, _: &Socket, _: &Address) -> io::Result<()> {
        Ok(())
    }

    /// Whether it is an address of one link that does not say of which.
    fn lacks_scope(&self, _: &Address) -> bool {
        false
    }

    // ---- A connection ----

    /// Receives what is there; `may_get_descriptors` if some may come with the bytes.
    fn receive(
        &self,
        socket: &Socket,
        may_get_descriptors: bool,
        buffer: &mut [u8],
    ) -> io::Result<Received>;

    /// Has the kernel refuse with `EPERM` what sends descriptors to the connections of a listener.
    /// `false` where the kernel cannot: it then closes them as they are received.
    fn refuse_descriptors(&self, _: &Socket) -> bool {
        true
    }

    /// What a connection waits for from the start: what comes, the mark of urgent data, and room to
    /// send where the family says only once that there is some.
    fn interest(&self) -> Interest;

    /// Whether a receive at the end of what came says nothing of an error that came after it, as a
    /// reset for bytes that the peer did not take.
    fn end_hides_error(&self) -> bool;

    /// Whether a peer that has closed its socket differs from one that has shut down its sending
    /// half: `EPOLLHUP`, see `epoll_ctl(2)`.
    fn shows_full_close(&self) -> bool;

    /// Whether small pieces wait for an acknowledgement of those before (Nagle), see `tcp(7)`.
    fn delays_small_sends(&self, _: &Socket) -> io::Result<bool> {
        Ok(false)
    }

    /// The process at the other end, where the family says.
    fn credentials(&self, _: &Socket) -> io::Result<Option<Credentials>> {
        Ok(None)
    }

    /// Whether our system still holds some of what was sent, up to the end of our sending half, and
    /// would drop it if the peer sent something to a closed socket.
    fn may_lose_sent(&self, _: &Socket) -> io::Result<bool> {
        Ok(false)
    }

    // ---- A stream of bytes ----

    /// Makes room in a socket that large pieces are moved into.
    fn expect_bulk(&self, _: &Socket) -> io::Result<()> {
        Ok(())
    }

    /// Whether what is spliced from a socket comes in small pieces.
    fn gives_small_pieces(&self) -> bool {
        false
    }

    /// Whether a socket takes small pieces as cheaply as large ones.
    fn takes_small_pieces(&self, _: &Socket) -> bool {
        true
    }

    // ---- The host, and programs ----

    /// The kernel's settings that switch the family off when they are 1, by their names for
    /// `sysctl(8)`.
    fn switches(&self) -> &'static [&'static str] {
        &[]
    }

    /// The address that the loopback interface has, as `ip address add` takes it.
    fn loopback(&self) -> Option<&'static str> {
        None
    }

    /// What the UCSPI variables say of a connection, see [`exec_environment`].
    fn ucspi(&self, local: &Address, peer: &Peer) -> Vec<(&'static str, OsString)>;
}

/// What the sockets of `family` do.
pub(super) const fn of(family: Family) -> &'static dyn SocketFamily {
    match family {
        Family::Inet => &inet::FAMILY,
        Family::Inet6 => &inet6::FAMILY,
        Family::Unix => &unix::FAMILY,
    }
}

/// What is bound for an address.
#[derive(Debug)]
pub(super) enum BindTarget<'a> {
    /// A name that the kernel keeps.
    Name(Encoded),
    /// A file, which has a life of its own: [`SocketFile`](super::SocketFile).
    File(&'a Path),
}

/// What one receive returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) count: usize,
    /// Whether it stopped at what is no part of the stream, so that more bytes may be there.
    pub(super) is_cut: bool,
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
    match error.raw_os_error() {
        Some(number) => of(family).connect_fault(nix::Error::from_raw(number)),
        None => ConnectFault::Failed,
    }
}

/// The failure of a connection to `address`, with the cause that its family knows.
pub(super) fn connect_error(address: &Address, source: io::Error) -> Error {
    of(address.family()).connect_error(address, source)
}

/// Whether it costs less to splice a stream from a socket of the family `from` to `to`, of the family
/// `to_family`, than to copy it.
pub(super) fn splices_well(from: Family, to_family: Family, to: &Socket) -> bool {
    !of(from).gives_small_pieces() || of(to_family).takes_small_pieces(to)
}

/// Whether the address of a server that has ended is still held by what it left behind: its
/// socket file, or a connection that it closed first, which ends in `TIME_WAIT` (see
/// `proc_pid_net(5)`).
#[must_use]
pub fn is_left_behind(address: &Address) -> bool {
    of(address.family()).is_left_behind(address)
}

/// All variables about the peer; inherited ones are removed. A few of UCSPI's are never set here.
pub(crate) const EXEC_NAMES: [&str; 19] = [
    "SOK_FAMILY",
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
    "UNIXLOCALPATH",
    "UNIXLOCALUID",
    "UNIXLOCALGID",
    "UNIXLOCALPID",
    "UNIXREMOTEPATH",
    "UNIXREMOTEPID",
    "UNIXREMOTEEUID",
    "UNIXREMOTEEGID",
];

/// The environment of a program that talks to `peer`: the UCSPI variables, and our own.
///
/// UCSPI names (<https://cr.yp.to/proto/ucspi.txt>): `PROTO`, `TCPREMOTEIP`, `UNIXREMOTEPID` and
/// their kin. `SOK_FAMILY`, `SOK_LOCAL` and `SOK_PEER` are the same on every family.
#[must_use]
pub fn exec_environment(local: &Address, peer: &Peer) -> Vec<(&'static str, OsString)> {
    let mut all: Vec<(&'static str, OsString)> = vec![
        ("SOK_FAMILY", local.family().name().into()),
        ("SOK_LOCAL", local.to_string().into()),
        ("SOK_PEER", peer.address.to_string().into()),
    ];
    all.extend(of(local.family()).ucspi(local, peer));
    all
}
