//! The server that is measured where none is given: the least that a blocking server can do.

use std::hint::spin_loop;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sok::error::{Error, Result};
use sok::loops::{Connection, Limits, MessageFormat, Service, Stop, connection_loop};
use sok::net::{Listener, Socket, Stream};
use sok::service::{Converse, echo};
use tokio::sync::oneshot;

/// What the server does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A thread each, which sends back what it receives.
    Echo,
    /// A thread each, which counts what it receives, and says at the end how much that was: 8
    /// bytes, little-endian.
    Sink,
    /// The echo of `sok serve`, for connections that end soon.
    Accept,
}

impl Role {
    /// Every role there is.
    pub(crate) const ALL: [Self; 3] = [Self::Echo, Self::Sink, Self::Accept];

    /// The word for it.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Sink => "sink",
            Self::Accept => "accept",
        }
    }
}

/// What one receive takes at most.
const BUFFER: usize = 64 * 1024;
/// A thread of the server needs little: its buffer is not on the stack.
pub(super) const STACK: usize = 256 * 1024;

/// Serves until `stop`; with `spin` a thread polls its socket and never sleeps.
///
/// # Errors
/// As [`connection_loop`].
pub(crate) async fn serve(listener: Listener, role: Role, spin: bool, stop: Stop) -> Result<()> {
    let mut limits = Limits::default();
    limits.max_connections = usize::MAX;
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
            let service = Converse::new(MessageFormat::default(), echo);
            connection_loop(listeners, service, limits, stop).await
        }
    };
    served.map(drop)
}

/// Gives each connection to a thread of its own, as a blocking socket or as one to be polled.
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
        let (tell, told) = oneshot::channel();
        let serving = move || {
            // Nobody listens any more when the server has been stopped.
            let _ = tell.send(work(&socket));
        };
        let named = thread::Builder::new().stack_size(STACK);
        named.spawn(serving).map_err(failed)?;
        told.await.unwrap_or(Ok(())).map_err(failed)
    }
}

fn echo_all(socket: &Socket) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = until_done(|| (&mut &*socket).read(&mut buffer))?;
        if count == 0 {
            return Ok(());
        }
        send_all(socket, &buffer[..count])?;
    }
}

fn count_all(socket: &Socket) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut total: u64 = 0;
    loop {
        let count = until_done(|| (&mut &*socket).read(&mut buffer))?;
        if count == 0 {
            return send_all(socket, &total.to_le_bytes());
        }
        total += count as u64;
    }
}

fn send_all(socket: &Socket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = until_done(|| (&mut &*socket).write(bytes))?;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Asks a polled socket until it does what a blocking one does at once.
fn until_done(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => spin_loop(),
            done => return done,
        }
    }
}
