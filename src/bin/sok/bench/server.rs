//! The server measured by default: a minimal blocking server.

use std::collections::HashMap;
use std::hint::spin_loop;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sok::error::{Error, Result};
use sok::loops::{Connection, Limits, MessageFormat, Service, Stop, connection_loop};
use sok::net::{Listener, ReceivingSocket, Sender, Socket, Stream};
use sok::service::{AnswerService, echo};
use tokio::sync::oneshot;

/// The role of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// One thread for each connection, which sends back what it receives.
    Echo,
    /// One thread for each connection, which counts the received bytes, and sends the count at the
    /// end: 8 bytes, little-endian.
    Sink,
    /// The echo of `sok serve`, for short connections.
    Accept,
}

impl Role {
    /// All roles.
    pub(crate) const ALL: [Self; 3] = [Self::Echo, Self::Sink, Self::Accept];

    /// Its name.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Sink => "sink",
            Self::Accept => "accept",
        }
    }
}

impl Role {
    /// Whether it needs the connection loop: connections, or sessions, come and go.
    #[must_use]
    pub(crate) const fn runs_the_loop(self) -> bool {
        matches!(self, Self::Accept)
    }
}

/// The maximum size of one receive.
const BUFFER: usize = 64 * 1024;
/// The maximum number of sessions.
const SESSIONS: usize = 4096;
/// A thread needs little stack: its buffer is on the heap.
pub(super) const STACK: usize = 256 * 1024;

/// Serves until `stop`; with `spin`, a thread polls its socket and never sleeps.
///
/// # Errors
/// As for [`connection_loop`].
pub(crate) async fn serve(listener: Listener, role: Role, spin: bool, stop: Stop) -> Result<()> {
    let mut limits = Limits::default();
    let has_connection = listener.local_addr().socket_type().has_connection();
    // A session ends only to make room for another one.
    limits.max_connections = match has_connection {
        true => usize::MAX,
        false => SESSIONS,
    };
    limits.exit_after = None;
    limits.grace = Duration::ZERO;
    let listeners = vec![listener];
    let served = match role {
        Role::Echo => {
            let service = Thread {
                work: echo_all,
                spin,
            };
            connection_loop(listeners, service, limits, stop).await
        }
        Role::Sink => {
            let service = Thread {
                work: count_all,
                spin,
            };
            connection_loop(listeners, service, limits, stop).await
        }
        Role::Accept => {
            let service = AnswerService::new(MessageFormat::default(), echo);
            connection_loop(listeners, service, limits, stop).await
        }
    };
    served.map(drop)
}

/// Serves each connection on a separate thread, with a blocking or a polled socket.
struct Thread {
    work: fn(&Socket) -> io::Result<()>,
    spin: bool,
}

impl Service for Thread {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        let failed = |error: io::Error| Error::new("serve", connection.peer(), error);
        let (socket, _) = stream.into_blocking().map_err(failed)?;
        if self.spin {
            socket.set_polled().map_err(failed)?;
        }
        let work = self.work;
        let (sender, result) = oneshot::channel();
        let serving = move || {
            // Nothing receives it after the server has been stopped.
            let _ = sender.send(work(&socket));
        };
        let named = thread::Builder::new().stack_size(STACK);
        named.spawn(serving).map_err(failed)?;
        result.await.unwrap_or(Ok(())).map_err(failed)
    }
}

/// A buffer of `size` times `byte`.
///
/// # Errors
/// If the memory cannot be had.
pub(super) fn filled(size: usize, byte: u8) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(size)?;
    buffer.resize(size, byte);
    Ok(buffer)
}

/// The buffer of one connection: for a message, the largest that the peer sends by default.
fn buffer_of(socket: &Socket) -> io::Result<Vec<u8>> {
    let longest = socket.longest_message()?.unwrap_or_default();
    filled(longest.max(BUFFER), 0)
}

fn echo_all(socket: &Socket) -> io::Result<()> {
    let mut buffer = buffer_of(socket)?;
    loop {
        let count = until_done(|| (&mut &*socket).read(&mut buffer))?;
        if count == 0 {
            return Ok(());
        }
        send_all(socket, &buffer[..count])?;
    }
}

fn count_all(socket: &Socket) -> io::Result<()> {
    let mut buffer = buffer_of(socket)?;
    let mut total: u64 = 0;
    loop {
        let count = until_done(|| (&mut &*socket).read(&mut buffer))?;
        if count == 0 {
            return send_all(socket, &total.to_le_bytes());
        }
        total += count as u64;
    }
}

/// Serves the datagrams of every peer on one thread, until the socket fails; with `spin`, it polls.
///
/// # Errors
/// What the kernel reports.
pub(crate) fn serve_datagrams(socket: &ReceivingSocket, role: Role, spin: bool) -> io::Result<()> {
    let mut buffer = buffer_of(socket.socket())?;
    if spin {
        socket.socket().set_polled()?;
    }
    let mut counts = Counts::default();
    loop {
        let (count, sender) = match socket.receive_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                spin_loop();
                continue;
            }
            // An earlier reply met no socket: its peer has gone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(error),
        };
        let reply = match role {
            Role::Echo | Role::Accept => &buffer[..count],
            Role::Sink => match counts.add(sender, count) {
                None => continue,
                Some(total) => &total.to_le_bytes(),
            },
        };
        // A peer that has gone needs no reply.
        let _ = until_done(|| socket.send_to(reply, &sender));
    }
}

/// The bytes that arrived from each peer. An empty datagram asks for their number.
#[derive(Default)]
struct Counts(HashMap<Sender, Count>);

#[derive(Default)]
struct Count {
    total: u64,
    /// Whether the peer has asked: what comes next is of another one, with the same name.
    is_told: bool,
}

impl Counts {
    /// Counts a datagram; returns the number of bytes if it asks for it.
    fn add(&mut self, sender: Sender, bytes: usize) -> Option<u64> {
        let count = self.0.entry(sender).or_default();
        if bytes == 0 {
            count.is_told = true;
            return Some(count.total);
        }
        if std::mem::take(&mut count.is_told) {
            count.total = 0;
        }
        count.total += bytes as u64;
        None
    }
}

fn send_all(socket: &Socket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = until_done(|| (&mut &*socket).write(bytes))?;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Retries a call on a polled socket until it succeeds or fails.
fn until_done(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => spin_loop(),
            done => return done,
        }
    }
}
