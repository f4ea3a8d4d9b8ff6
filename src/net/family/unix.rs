//! AF_UNIX: local sockets, see `unix(7)`.

use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use nix::Error as E;
use nix::sys::socket::{MsgFlags, getsockopt, recvmsg, setsockopt, sockopt};
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, SockAddr, Socket};
use tokio::io::Interest;

use super::peer_groups::peer_groups;
use super::{BindTarget, ConnectFault, Piece, SocketFamily, receive_datagram};
use crate::address::{Address, SocketName, SocketType, UnixName};
use crate::error::{Error, ErrorKind};
use crate::net::call_trace::{CallTrace, Shown};
use crate::net::directory::foreign;
use crate::net::faults::{Refusal, in_use};
use crate::net::holder::processes_at;
use crate::net::options::{ConnectOptions, ListenOptions};
use crate::net::peer::{Credentials, Peer};
use crate::net::received::{LONGEST_MESSAGE, Received};
use crate::net::rights::{Rights, receive_rights};
use crate::net::sockaddr::{decode, encode};

/// Local sockets.
pub(super) const FAMILY: Unix = Unix;

/// The send buffer for bulk; the kernel doubles it.
const BULK_ROOM: usize = 1 << 20;

mod option {
    use nix::{libc, setsockopt_impl, sockopt_impl};

    /// `SO_PASSRIGHTS` of `asm-generic/socket.h`, Linux 6.16 and later.
    const PASS_RIGHTS: i32 = 83;

    sockopt_impl!(PassRights, SetOnly, libc::SOL_SOCKET, PASS_RIGHTS, bool);
}

/// Local sockets.
#[derive(Debug)]
pub(super) struct Unix;

/// The name of an AF_UNIX address; others have none.
fn name(address: &Address) -> &UnixName {
    address.as_unix().unwrap_or(&UnixName::Unnamed)
}

fn path(address: &Address) -> Option<&Path> {
    name(address).as_path()
}

impl SocketFamily for Unix {
    fn domain(&self) -> Domain {
        Domain::UNIX
    }

    fn place<'a>(&self, address: &'a Address) -> io::Result<BindTarget<'a>> {
        match name(address) {
            UnixName::Path(path) => Ok(BindTarget::File(path)),
            // Autobind: the kernel chooses an abstract name.
            name if !name.is_specified() => Ok(BindTarget::Name(SockAddr::unix("")?.into())),
            _ => encode(address).map(BindTarget::Name),
        }
    }

    fn prepare_listener(
        &self,
        socket: &Socket,
        address: &Address,
        options: &ListenOptions,
    ) -> io::Result<()> {
        match options.take_credentials && !address.socket_type().has_connection() {
            true => Ok(setsockopt(socket, sockopt::PassCred, &true)?),
            false => Ok(()),
        }
    }

    /// Datagrams that wait already have the credentials of their senders only if the socket had the
    /// option when they came.
    fn prepare_sessions(
        &self,
        socket: &Socket,
        _: &Address,
        options: &ListenOptions,
    ) -> io::Result<()> {
        match options.take_credentials && !getsockopt(socket, sockopt::PassCred)? {
            true => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "rules and limits of users need SO_PASSCRED, which the socket does not have: for \
                 datagrams that have come already no user is known",
            )),
            false => Ok(()),
        }
    }

    fn bind_fault(&self, error: io::Error, address: &Address) -> Refusal {
        match error.kind() {
            io::ErrorKind::AddrInUse => in_use(&processes_at(address)),
            _ => error.into(),
        }
    }

    fn bound_name(&self, socket: &Socket, wanted: &Address) -> io::Result<SocketName> {
        match name(wanted).is_specified() {
            true => Ok(wanted.name().clone()),
            false => decode(&socket.local_addr()?),
        }
    }

    /// The kernel still reports the temporary name of the bind.
    fn accepted_name(&self, listener: &Arc<Address>) -> Option<Arc<Address>> {
        Some(Arc::clone(listener))
    }

    fn is_left_behind(&self, address: &Address) -> bool {
        path(address).is_some_and(Path::exists)
    }

    fn connect_fault(&self, error: E) -> ConnectFault {
        match error {
            E::EAGAIN => ConnectFault::BacklogFull,
            _ => ConnectFault::Failed,
        }
    }

    fn connect_error(&self, address: &Address, source: io::Error) -> Error {
        let because = |kind, cause: &str| Error::because("connect", address, kind, cause);
        match (path(address), source.raw_os_error().map(E::from_raw)) {
            (Some(path), Some(E::ECONNREFUSED)) => {
                let file = std::fs::metadata(path).ok();
                match file.and_then(|file| foreign(file.mode())) {
                    Some(what) => {
                        because(ErrorKind::Other, &format!("this is {what}, not a socket"))
                            .with_hint("give the path of a socket")
                    }
                    None => because(
                        ErrorKind::NoServer,
                        "no server is listening (stale socket file left by a dead process)",
                    )
                    .with_hint("start the server, or remove the file"),
                }
            }
            (None, Some(E::ECONNREFUSED)) => because(
                ErrorKind::NoServer,
                "connection refused, no server is listening",
            )
            .with_hint("start the server, or check the address"),
            (Some(_), Some(E::ENOENT)) => because(ErrorKind::NoServer, "no such file")
                .with_hint("start the server, or check the path"),
            (Some(_), Some(E::EACCES)) => Error::new("connect", address, source)
                .with_hint("connecting needs write permission on the file and search permission on its directories"),
            (Some(_), Some(E::ENOTDIR)) => {
                Error::new("connect", address, source).with_hint("check the path")
            }
            (_, Some(E::EPROTOTYPE)) => {
                let cause = format!("this is not a {} socket", address.socket_type());
                because(ErrorKind::Other, &cause).with_hint(other_types(address))
            }
            _ => Error::new("connect", address, source),
        }
    }

    /// A receive stops after bytes that came with descriptors (`SCM_RIGHTS`). If some may come, only
    /// `recvmsg(2)` reports it, which costs more.
    fn receive(
        &self,
        socket: &Socket,
        rights: Rights<'_>,
        flags: RecvFlags,
        buffer: &mut [u8],
    ) -> io::Result<Piece> {
        match rights {
            Rights::Refused => {
                let (count, _) = recv(socket, buffer, flags)?;
                let is_cut = false;
                Ok(Piece { count, is_cut })
            }
            Rights::Closed => {
                let (count, is_cut) = receive_bare(socket, buffer, flags)?;
                Ok(Piece { count, is_cut })
            }
            Rights::Taken(files) => {
                let before = files.len();
                let received = receive_rights(socket, buffer, flags, Some(files))?;
                received.lost.map_or(Ok(()), Err)?;
                let is_cut = files.len() > before;
                let count = received.length;
                Ok(Piece { count, is_cut })
            }
        }
    }

    /// An empty message and the end of a connection both have no bytes, but only the message comes
    /// with credentials (`SO_PASSCRED`). Where nothing else can come, there is no room for them, and
    /// the kernel says that they were cut.
    fn receive_message(
        &self,
        socket: &Socket,
        socket_type: SocketType,
        rights: Rights<'_>,
        flags: RecvFlags,
        buffer: &mut [u8],
    ) -> io::Result<Received> {
        let has_end = socket_type.has_connection();
        let files = match rights {
            Rights::Taken(files) => files,
            Rights::Refused | Rights::Closed if has_end => {
                let room = buffer.len();
                return match receive_bare(socket, buffer, flags | RecvFlags::TRUNC)? {
                    (0, false) => Ok(Received::End),
                    (length, _) => Received::message(length, room),
                };
            }
            Rights::Refused | Rights::Closed => return receive_datagram(socket, flags, buffer),
        };
        let room = buffer.len();
        // With MSG_TRUNC, the length is that of the message, also if it was cut.
        let received = receive_rights(socket, buffer, flags | RecvFlags::TRUNC, Some(files))?;
        received.lost.map_or(Ok(()), Err)?;
        match received.length {
            0 if has_end && received.credentials.is_none() => Ok(Received::End),
            length => Received::message(length, room),
        }
    }

    /// A socket that is not bound has no name.
    fn names_every_sender(&self) -> bool {
        false
    }

    /// As much as the send buffer of the peer holds, which an administrator can raise.
    fn longest_datagram(&self) -> usize {
        LONGEST_MESSAGE
    }

    /// `unix_dgram_sendmsg` of the kernel keeps 32 bytes of the send buffer.
    fn longest_sent(&self, socket: &Socket) -> io::Result<usize> {
        Ok(socket.send_buffer_size()?.saturating_sub(32))
    }

    /// A client of a datagram server has a name, so that answers arrive.
    fn prepare_client(
        &self,
        socket: &Socket,
        address: &Address,
        options: &ConnectOptions,
    ) -> io::Result<()> {
        if address.socket_type().has_connection() || options.bind.is_some() {
            return Ok(());
        }
        let watch = CallTrace::start(address.family(), "bind");
        let bound = socket.bind(&SockAddr::unix("")?);
        let arguments = || format!("{}, unixgram:@", socket.as_raw_fd());
        watch.done(&bound, arguments, Shown::shown);
        bound
    }

    fn connected(&self, socket: &Socket, address: &Address) -> io::Result<()> {
        distinguish_end(socket, address.socket_type())
    }

    fn accepted(&self, socket: &Socket, socket_type: SocketType) -> io::Result<()> {
        distinguish_end(socket, socket_type)
    }

    /// Connections inherit it from their listener.
    fn set_takes_descriptors(&self, socket: &Socket, takes: bool) -> bool {
        setsockopt(socket, option::PassRights, &takes).is_ok()
    }

    /// With write interest, each message that the peer receives is an event, and a server would
    /// wake twice for each reply: so room is awaited only once there is none.
    fn interest(&self) -> Interest {
        Interest::READABLE | Interest::PRIORITY
    }

    /// The error is reported first.
    fn end_hides_error(&self) -> bool {
        false
    }

    fn shows_full_close(&self) -> bool {
        true
    }

    fn credentials(&self, socket: &Socket) -> io::Result<Option<Credentials>> {
        let found = getsockopt(socket, sockopt::PeerCredentials)?;
        Ok(Some(Credentials {
            pid: found.pid(),
            uid: found.uid(),
            gid: found.gid(),
        }))
    }

    fn groups(&self, socket: &Socket) -> io::Result<Vec<u32>> {
        peer_groups(socket)
    }

    /// TCP buffers grow, these do not.
    fn expect_bulk(&self, socket: &Socket) -> io::Result<()> {
        match socket.send_buffer_size()? >= BULK_ROOM {
            true => Ok(()),
            false => socket.set_send_buffer_size(BULK_ROOM),
        }
    }

    /// The kernel queues a stream in small pieces.
    fn gives_small_pieces(&self) -> bool {
        true
    }

    fn ucspi(&self, local: &Address, peer: &Peer) -> Vec<(&'static str, OsString)> {
        let mut all: Vec<(&'static str, OsString)> = vec![("PROTO", "UNIX".into())];
        if let Some(path) = path(local) {
            all.push(("UNIXLOCALPATH", path.into()));
        }
        if let Some(path) = path(&peer.address) {
            all.push(("UNIXREMOTEPATH", path.into()));
        }
        if let Some(Credentials { pid, uid, gid }) = peer.credentials {
            all.push(("UNIXREMOTEPID", pid.to_string().into()));
            all.push(("UNIXREMOTEEUID", uid.to_string().into()));
            all.push(("UNIXREMOTEEGID", gid.to_string().into()));
        }
        all
    }
}

/// `recvmsg(2)` without room for control messages: the length, and whether some were cut.
fn receive_bare(socket: &Socket, buffer: &mut [u8], flags: RecvFlags) -> io::Result<(usize, bool)> {
    let mut data = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::from_bits_retain(flags.bits().cast_signed());
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut data, None, flags)?;
    Ok((
        received.bytes,
        received.flags.contains(MsgFlags::MSG_CTRUNC),
    ))
}

/// How to connect to a socket of the same name and of another type.
fn other_types(address: &Address) -> String {
    let types = address.family().types().iter();
    let others = types.filter(|other| **other != address.socket_type());
    let words = others.filter_map(|other| address.clone().with_type(*other).ok());
    let words: Vec<String> = words.map(|word| word.to_string()).collect();
    format!("give the type that it has, as in {}", words.join(" or "))
}

/// Has messages of a connection come with credentials, see [`SocketFamily::receive_message`].
fn distinguish_end(socket: &Socket, socket_type: SocketType) -> io::Result<()> {
    match socket_type.keeps_messages() && socket_type.has_connection() {
        true => Ok(setsockopt(socket, sockopt::PassCred, &true)?),
        false => Ok(()),
    }
}
