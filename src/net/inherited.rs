//! Sockets that this process has inherited: from a service manager, a super-server, a shell.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use nix::Error as E;
use nix::sys::stat::fstat;

use super::descriptor_number::{check_socket, copied, give_up, take};
use super::family;
use super::listener::Listener;
use super::options::{ConnectOptions, ConnectionOptions, ListenOptions};
use super::peer::Peer;
use super::socket::Socket;
use super::stream::Stream;
use crate::address::{Address, DescriptorName};
use crate::error::{Error, ErrorKind, Result};

/// A socket that this process has inherited: it listens, is bound, or is connected. Family, type and
/// state are read off it.
///
/// Other processes may have it too, so the flags of its open file description stay as they are (see
/// `O_NONBLOCK` in `fcntl(2)`), and its socket file is never removed.
#[derive(Debug)]
pub struct InheritedSocket {
    name: DescriptorName,
    number: RawFd,
    socket: Socket,
    local: Address,
    peer: Option<Address>,
}

impl InheritedSocket {
    /// Takes the sockets of `names`: for each, one, or those that have the name. Their numbers are
    /// closed, so that no program inherits them, and one of the standard streams becomes `/dev/null`,
    /// as does each other standard stream that is the same socket.
    ///
    /// Call it once, before the process opens files: a number of its own would be taken as well.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a number that is not open or no socket, a socket of a family or type
    /// that this crate does not know, one that neither listens nor is bound or connected, an unknown
    /// name, one of another process (`LISTEN_PID`), and a socket that is named twice.
    pub fn take_all(names: &[&DescriptorName]) -> Result<Vec<Vec<Self>>> {
        let mut numbers = Vec::new();
        let mut known: Vec<(RawFd, &DescriptorName)> = Vec::new();
        for name in names {
            let own = numbers_of(name)?;
            for number in &own {
                check_socket(*number).map_err(|error| refused(name, *number, error))?;
                if let Some((_, other)) = known.iter().find(|(known, _)| known == number) {
                    let cause = format!("the same descriptor as {other}");
                    return Err(Error::because("inherit", name, ErrorKind::Usage, cause)
                        .with_hint("name each inherited socket once"));
                }
                known.push((*number, name));
            }
            numbers.push((*name, own));
        }
        let each = numbers.into_iter().map(|(name, own)| {
            let taken = own.into_iter().map(|number| Self::taken(name, number));
            taken.collect()
        });
        each.collect()
    }

    fn taken(name: &DescriptorName, number: RawFd) -> Result<Self> {
        let failed = |error| refused(name, number, error);
        let descriptor = take(number).map_err(failed)?;
        leave_standard_streams(&descriptor).map_err(failed)?;
        let socket = Socket::try_from(descriptor).map_err(failed)?;
        let local = socket.local_address().map_err(failed)?;
        let peer = match socket.inner().peer_addr() {
            Ok(_) => Some(socket.peer_address().map_err(failed)?),
            Err(_) => None,
        };
        let taken = Self {
            name: name.clone(),
            number,
            socket,
            local,
            peer,
        };
        taken.check_state()?;
        Ok(taken)
    }

    /// Refuses a socket that was only created.
    fn check_state(&self) -> Result<()> {
        let is_usable = match self.local.socket_type().has_connection() {
            true => self.peer.is_some() || self.is_listening(),
            false => self.peer.is_some() || self.local.is_specified(),
        };
        if is_usable {
            return Ok(());
        }
        let (kind, cause) = match self.local.socket_type().has_connection() {
            // A peer that has reset the connection is no error of the user.
            true if self.local.is_specified() => {
                let cause = "the socket does not listen, and is not or no longer connected";
                (ErrorKind::Broken, cause)
            }
            true => (
                ErrorKind::Usage,
                "the socket neither listens nor is connected",
            ),
            false => (
                ErrorKind::Usage,
                "the socket is neither bound nor connected: nobody can send to it",
            ),
        };
        Err(Error::because("inherit", &self.name, kind, cause))
    }

    /// The word that names it.
    #[must_use]
    pub const fn name(&self) -> &DescriptorName {
        &self.name
    }

    /// The number that it had.
    #[must_use]
    pub const fn number(&self) -> RawFd {
        self.number
    }

    /// The address of this end, see `getsockname(2)`.
    #[must_use]
    pub const fn local_addr(&self) -> &Address {
        &self.local
    }

    /// The address of the other end, if it is connected.
    #[must_use]
    pub const fn peer_addr(&self) -> Option<&Address> {
        self.peer.as_ref()
    }

    /// Whether it listens for connections.
    fn is_listening(&self) -> bool {
        self.socket.inner().is_listener().unwrap_or(false)
    }

    /// Whether a server gets exactly one connection from it: the socket itself.
    #[must_use]
    pub const fn is_one_connection(&self) -> bool {
        self.peer.is_some() && self.local.socket_type().has_connection()
    }

    /// A listener on it. Of `options`, those apply that concern connections and sessions.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for one connection, and for a datagram socket without a name, and what the
    /// kernel reports.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub fn into_listener(self, options: &ListenOptions) -> Result<Listener> {
        if !self.local.socket_type().has_connection() && !self.local.is_specified() {
            let cause = "the socket has no name: its peer is the only one that can send to it";
            return Err(
                Error::because("inherit", &self.name, ErrorKind::Usage, cause)
                    .with_hint("connect, call and the TARGET of relay take it"),
            );
        }
        let made = Listener::of_inherited(self.socket, options, self.name.clone());
        made.map_err(|error| Error::new("inherit", &self.name, error))
    }

    /// The connection of a server, with its peer.
    ///
    /// # Errors
    /// As [`into_stream`](Self::into_stream).
    pub fn into_connection(self, options: &ListenOptions) -> Result<(Stream, Peer)> {
        let local = self.local.clone();
        let (stream, address) = self.connected(&local, &options.into())?;
        let mut peer = Peer::new(address);
        // If a sandbox refuses credentials, the client is served without.
        peer.credentials = stream.peer_cred().unwrap_or(None);
        Ok((stream, peer))
    }

    /// The connection, with the address of its peer. Of `options`, those apply that do not concern
    /// connecting.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a socket that is not connected, and what the kernel reports.
    pub fn into_stream(self, options: &ConnectOptions) -> Result<(Stream, Address)> {
        let refuses = options.refuse_descriptors;
        let server = self.peer.clone();
        let server = server.unwrap_or_else(|| self.local.clone());
        let (stream, peer) = self.connected(&server, &options.into())?;
        if refuses {
            // Those that were sent before may still come.
            stream.set_takes_descriptors(false);
        }
        Ok((stream, peer))
    }

    /// The connection with the server at `server`, and the address of its peer.
    fn connected(self, server: &Address, options: &ConnectionOptions) -> Result<(Stream, Address)> {
        let Some(peer) = self.peer else {
            let (cause, hint) = match self.local.socket_type().has_connection() {
                true => (
                    "this is a listening socket",
                    "serve it, or give its address",
                ),
                false => (
                    "the socket is not connected",
                    "serve it, or give the address of the peer",
                ),
            };
            let error = Error::because("connect", &self.name, ErrorKind::Usage, cause);
            return Err(error.with_hint(format!("{hint}: this one is {}", self.local)));
        };
        let (family, inner) = (family::of(server.family()), self.socket.inner());
        let ready = family.prepare_connection(inner, server, options);
        let ready = ready.and_then(|()| family.accepted(inner, server.socket_type()));
        ready.map_err(|error| Error::new("inherit", &self.name, error))?;
        let socket = self.socket.shared();
        let socket = socket.map_err(|error| Error::new("inherit", &self.name, error))?;
        Ok((Stream::accepted(socket, None), peer))
    }
}

/// The descriptors of `name`.
fn numbers_of(name: &DescriptorName) -> Result<Vec<RawFd>> {
    let text = match name {
        DescriptorName::Number(number) => return Ok(vec![*number]),
        DescriptorName::Name(text) => text,
    };
    let usage = |cause: String| Error::because("inherit", name, ErrorKind::Usage, cause);
    let hint = "or give the number, as in fd:3";
    let Some(pid) = std::env::var_os("LISTEN_PID") else {
        let cause = "no sockets are passed by name: LISTEN_PID is not set";
        return Err(usage(cause.to_owned())
            .with_hint(format!("start sok from systemd or 'sok activate', {hint}")));
    };
    let own = std::process::id();
    if pid.to_str().and_then(|pid| pid.parse().ok()) != Some(own) {
        let pid = pid.display();
        return Err(usage(format!(
            "the sockets of LISTEN_FDS are passed to process {pid}, and this is {own}"
        ))
        .with_hint(format!("start sok by exec, {hint}")));
    }
    let named = sd_notify::listen_fds_with_names().map_err(|error| match error.raw_os_error() {
        None => usage(error.to_string()),
        Some(_) => usage("LISTEN_FDS counts a descriptor that is not open".to_owned()),
    })?;
    let named: Vec<(RawFd, String)> = named.collect();
    let own = named.iter().filter(|(_, known)| known == text);
    let own: Vec<RawFd> = own.map(|(number, _)| *number).collect();
    if own.is_empty() {
        let known: Vec<&str> = named.iter().map(|(_, name)| &**name).collect();
        return Err(usage(match known[..] {
            [] => "LISTEN_FDS is 0: no sockets are passed".to_owned(),
            _ => format!(
                "no socket has this name; LISTEN_FDNAMES has {}",
                known.join(" ")
            ),
        }));
    }
    Ok(own)
}

/// The error for a descriptor that cannot be used.
fn refused(name: &DescriptorName, number: RawFd, error: io::Error) -> Error {
    let usage = |cause: &str| Error::because("inherit", name, ErrorKind::Usage, cause);
    match error.raw_os_error().map(E::from_raw) {
        Some(E::EBADF) => usage(&format!("descriptor {number} is not open")).with_hint(
            "open it for sok: as a service manager does, or a shell with 3<>/dev/tcp/HOST/PORT",
        ),
        Some(E::ENOTSOCK) => usage(&format!("descriptor {number} is not a socket")),
        Some(_) => Error::new("inherit", name, error),
        None => usage(&error.to_string()),
    }
}

/// Has each standard stream lead nowhere that is the same socket, as a super-server passes it: it
/// would keep the connection open, and messages would go to the peer.
fn leave_standard_streams(socket: &OwnedFd) -> io::Result<()> {
    let own = fstat(socket)?;
    for number in 0..=2 {
        // One that is not open is none.
        let Ok(other) = copied(number).and_then(|other| Ok(fstat(other)?)) else {
            continue;
        };
        if (other.st_dev, other.st_ino) == (own.st_dev, own.st_ino) {
            give_up(number)?;
        }
    }
    Ok(())
}
