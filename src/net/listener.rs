//! A socket that accepts connections, on any family.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::family::{self, Keepalive};
use super::peer::Peer;
use super::room::registered;
use super::sockaddr::decode_accepted;
use super::socket::Socket;
use super::socket_file::{Refusal, SocketFile};
use super::stream::{Stream, ready_to_wait};
use crate::address::{Address, Family, Purpose, Target};
use crate::error::{Error, Kind, Result};

/// The owner of a socket file; what is `None` stays as the process has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user id.
    pub user: Option<u32>,
    /// The group id.
    pub group: Option<u32>,
}

/// How a [`Listener`] is set up. What a family has no use for, it ignores.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Whether TCP on a loopback address paces what it sends where the congestion control of the
    /// system does, as BBR. Without it such connections get Reno: loopback is no network to spare,
    /// and a timer for each segment makes bulk several times dearer.
    pub pace_loopback: bool,
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
            pace_loopback: false,
            keepalive: Keepalive::default(),
            take_descriptors: true,
        }
    }
}

/// A listening socket. Dropping it closes it, and removes its socket file if that is still its own.
#[derive(Debug)]
pub struct Listener {
    // Dropped before the socket: the name goes while it still accepts.
    file: Option<SocketFile>,
    io: AsyncFd<Socket>,
    local: Arc<Address>,
}

impl Listener {
    /// Binds to `address` and listens; from then on clients can connect.
    ///
    /// An existing live socket is never taken; a dead socket file is replaced.
    ///
    /// # Errors
    /// [`Kind::InUse`], with the process that holds a local name where the kernel tells it, and
    /// what else `bind(2)` reports. An unnamed local address gets an abstract name that the kernel
    /// chooses.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub fn bind(address: &Address, options: &ListenOptions) -> Result<Self> {
        let failed = |refusal: Refusal| bind_error(address, refusal);
        let mut socket = Socket::open(address.family()).map_err(|e| failed(e.into()))?;
        if !options.take_descriptors {
            socket.refuse_descriptors();
        }
        let file = family::listen(&socket, address, options).map_err(failed)?;
        let local = family::bound_name(&socket, address).map_err(|e| failed(e.into()))?;
        let io = registered(socket, Interest::READABLE).map_err(|e| failed(e.into()))?;
        ready_to_wait(address.family()).map_err(|e| failed(e.into()))?;
        Ok(Self {
            file,
            io,
            local: Arc::new(local),
        })
    }

    /// Binds to all that `target` stands for: every address of a name, with one port; for an
    /// empty host one dual-stack socket, or IPv4 alone where the machine has no IPv6.
    ///
    /// # Errors
    /// As [`Listener::bind`]. An address that this machine does not have is passed over as long
    /// as another one serves.
    pub fn bind_all(target: &Target, options: &ListenOptions) -> Result<Vec<Self>> {
        Self::bind_resolved(target, target.resolve(Purpose::Listen)?, options)
    }

    /// The same with the addresses that `target` was found to stand for.
    pub(crate) fn bind_resolved(
        target: &Target,
        addresses: Vec<Address>,
        options: &ListenOptions,
    ) -> Result<Vec<Self>> {
        let mut listeners: Vec<Self> = Vec::new();
        let mut missing = None;
        for mut address in addresses {
            if let Some((_, port)) = listeners.first().and_then(|first| first.local().as_ip()) {
                address = address.with_port(port);
            }
            match Self::bind(&address, options) {
                Ok(listener) => listeners.push(listener),
                Err(error) if is_missing_address(&error) => {
                    missing.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
            if matches!(target, Target::AnyHost { .. }) && !listeners.is_empty() {
                break;
            }
        }
        match missing {
            Some(error) if listeners.is_empty() => Err(error),
            _ => Ok(listeners),
        }
    }

    /// Closes it as a killed process does: its socket file stays, and nobody listens there.
    pub fn abandon(mut self) {
        if let Some(file) = self.file.take() {
            file.keep();
        }
    }

    /// The address that clients connect to, with the real port where 0 was asked for.
    #[must_use]
    pub fn local(&self) -> &Address {
        &self.local
    }

    /// The other family whose clients this listener takes too: a dual-stack `[::]` takes IPv4's.
    #[must_use]
    pub fn also_takes(&self) -> Option<Family> {
        family::also_takes(self.io.get_ref(), &self.local)
    }

    /// The next connection, and who made it.
    ///
    /// # Errors
    /// What `accept(2)` reports; [`connection_loop`](crate::connection_loop) knows which of its
    /// errors pass.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Polls for the next connection; only the last caller is woken.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        loop {
            let mut ready = ready!(self.io.poll_read_ready(cx))?;
            match self.io.get_ref().accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
                Ok((socket, name)) => {
                    // A connection that is gone by now is one that never was.
                    let gone = |_| io::Error::from(io::ErrorKind::ConnectionAborted);
                    let address = decode_accepted(socket.options(), name).map_err(gone)?;
                    // Where a sandbox refuses them the client is served like one without.
                    let credentials = family::credentials(&socket).unwrap_or(None);
                    let stream = Stream::accepted(socket, family::accepted_name(&self.local))?;
                    return Poll::Ready(Ok((
                        stream,
                        Peer {
                            address,
                            credentials,
                        },
                    )));
                }
            }
        }
    }
}

/// Whether an address could not be bound because this machine does not have it.
fn is_missing_address(error: &Error) -> bool {
    matches!(
        error.os_error().map(nix::Error::from_raw),
        Some(nix::Error::EADDRNOTAVAIL | nix::Error::EAFNOSUPPORT)
    )
}

/// The failure to bind: a missing directory is no missing server.
pub(super) fn bind_error(address: &Address, refusal: Refusal) -> Error {
    let mut error = Error::new("bind", address, refusal.source);
    if error.kind() == Kind::NobodyThere {
        error = error
            .with_kind(Kind::Other)
            .with_hint("make the directory first");
    }
    if let Some(kind) = refusal.kind {
        error = error.with_kind(kind);
    }
    match refusal.hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
