//! Forwards each connection to a target of any family.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use humantime::format_duration;

use super::{about_message, counting};
use crate::address::{Address, Target};
use crate::client::{ConnectPlan, Connected, Targets};
use crate::error::{Error, ErrorKind, Result};
use crate::loops::{Connection, MessageFormat, Service};
use crate::memory::MemoryLimit;
use crate::net::{Peer, Proxied, ProxyVersion, Stream};
use crate::service::Dump;
use crate::transfer::{Descriptors, Engine, Side, Tap, TransferFault, TransferOptions, transfer};

/// Connects to a target for each connection, and moves the bytes or messages both ways.
///
/// If the target cannot be reached, or a side fails, the client and the target get a reset, if
/// their family has one, not end of file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Forward {
    /// The targets in the order in which they are tried; names are resolved again for each
    /// connection.
    pub targets: Targets,
    /// How to connect to one.
    pub plan: ConnectPlan,
    /// Whether to check that the target is not the address that the connection arrived at, and
    /// refuse it if so: it would loop for ever. This takes a system call for each connection, and
    /// is for names, which may resolve to any address.
    pub may_loop: bool,
    /// The PROXY header that is sent to the target before anything from the client, if any: it names
    /// the [`peer`](Connection::peer) of the connection. A target without connections takes none.
    pub send_proxy: Option<ProxyVersion>,
    /// How bytes are moved.
    pub engine: Engine,
    /// Where messages end in a stream whose other side keeps them apart, and the largest message.
    pub format: MessageFormat,
    /// What is done with descriptors that a side sends with its bytes. The listener needs
    /// [`pass_descriptors`](crate::net::ListenOptions::pass_descriptors) to pass on those of
    /// datagrams.
    pub descriptors: Descriptors,
    /// The time without a byte in either direction after which a connection is closed. The idle time
    /// of a session is that of its listener; if it is the same, it is a good end.
    pub idle_timeout: Option<Duration>,
    /// The time without a byte after which a half-closed connection is closed.
    pub half_close_timeout: Option<Duration>,
    /// The memory limit for bytes that a side of any connection did not take at once.
    pub memory: MemoryLimit,
    /// The dump of the traffic, if any; it disables splicing.
    pub dump: Option<Arc<Dump>>,
}

impl Forward {
    /// Connects to one of `targets` as `plan` says, and splices what streams.
    #[must_use]
    pub fn new(targets: impl Into<Targets>, plan: ConnectPlan) -> Self {
        let targets = targets.into();
        let may_loop = targets.iter().any(Target::is_name);
        Self {
            may_loop,
            targets,
            plan,
            send_proxy: None,
            engine: Engine::default(),
            format: MessageFormat::default(),
            descriptors: Descriptors::default(),
            idle_timeout: None,
            half_close_timeout: None,
            memory: MemoryLimit::default(),
            dump: None,
        }
    }
}

impl Service for Forward {
    // Not an `async fn`, which would keep its arguments in memory for each connection.
    fn serve(
        &self,
        near: Stream,
        connection: &Arc<Connection>,
    ) -> impl Future<Output = Result<()>> + Send {
        near.reset_on_drop();
        async move {
            // On the heap: otherwise an idle connection would keep its memory.
            let Connected {
                stream: far,
                address,
                place,
                ..
            } = Box::pin(self.connect_or_refuse(&near, connection)).await?;
            far.reset_on_drop();
            connection.set_forwarded_to(address.clone());
            let count = counting(connection);
            let id = connection.id();
            let tap = self
                .dump
                .as_ref()
                .map(|dump| move |from, bytes: &[u8]| dump.show(id, from, bytes));
            let lost = |cause: &io::Error| connection.count_undelivered(cause);
            let dropped = |count: usize| connection.count_dropped(count);
            let options = TransferOptions {
                engine: self.engine,
                idle: self.idle_timeout,
                half_close: self.half_close_timeout,
                memory: Some(&self.memory),
                tap: tap.as_ref().map(|tap| tap as Tap<'_>),
                format: self.format,
                lost: Some(&lost),
                descriptors: self.descriptors,
                dropped: Some(&dropped),
            };
            let moved = transfer(&near, &far, options, count).await;
            moved.map_err(|fault| {
                let is_refused = is_refused_by_target(&fault);
                let error = as_error(fault, connection.peer(), &address);
                if is_refused {
                    self.targets.refused(place, &error);
                }
                error
            })?;
            near.close_on_drop();
            far.close_on_drop();
            Ok(())
        }
    }
}

impl Forward {
    /// Connects to a target, or refuses the client.
    async fn connect_or_refuse(&self, near: &Stream, connection: &Connection) -> Result<Connected> {
        let connected = self.connect_for(near, connection).await;
        if connected.is_err() {
            near.refuse().await;
        }
        connected
    }

    /// Connects to a target, unless the client resets first. End of file does not cancel it:
    /// there may be bytes before it for the target.
    async fn connect_for(&self, near: &Stream, connection: &Connection) -> Result<Connected> {
        let mut plan = self.plan.clone();
        // What could not be passed on is refused.
        plan.refuse_descriptors |= match self.descriptors {
            Descriptors::Pass => !near.passes_descriptors(),
            Descriptors::Refuse => true,
            Descriptors::Drop => false,
        };
        if self.may_loop {
            let local = near.local_addr();
            let local = local.map_err(|error| Error::new("accept", connection.peer(), error))?;
            plan.avoid = Some(local);
        }
        let connected = tokio::select! {
            biased;
            connected = self.targets.connect(&plan) => connected?,
            reset = near.reset_by_peer() => {
                return Err(Error::new("receive", connection.peer(), reset));
            }
        };
        if let Some(version) = self.send_proxy {
            announce(near, connection, version, &connected).await?;
        }
        // If no descriptor is left for the target, refuse the client now instead of cutting it off
        // later.
        let ready = connected.stream.reserve_waiter();
        ready.map_err(|error| Error::new("connect", &connected.address, error))?;
        Ok(connected)
    }
}

/// Whether no server had the target: only a datagram socket connects to nobody.
fn is_refused_by_target(fault: &TransferFault) -> bool {
    let refused = io::ErrorKind::ConnectionRefused;
    matches!(fault, TransferFault::Broken(Side::Far, _, source) if source.kind() == refused)
}

/// Sends the PROXY header of `connection`, which arrived at `near`, to the target.
async fn announce(
    near: &Stream,
    connection: &Connection,
    version: ProxyVersion,
    target: &Connected,
) -> Result<()> {
    let Connected {
        stream: far,
        address,
        ..
    } = target;
    let sent = match connection.proxied() {
        Some(proxied) => far.send_proxy_header(proxied, version).await,
        None => {
            let local = near.local_addr();
            let local = local.map_err(|error| Error::new("accept", connection.peer(), error))?;
            let proxied = Proxied::new(connection.peer().clone(), local);
            far.send_proxy_header(&proxied, version).await
        }
    };
    sent.map_err(|error| Error::new("send", address, error))
}

fn as_error(fault: TransferFault, peer: &Peer, target: &Address) -> Error {
    let timed_out = |cause: String| Error::because("forward", target, ErrorKind::TimedOut, cause);
    match fault {
        TransferFault::Broken(_, _, source) if source.kind() == io::ErrorKind::QuotaExceeded => {
            Error::because("forward", target, ErrorKind::Other, source.to_string())
                .with_hint("raise --max-memory")
        }
        TransferFault::Broken(Side::Near, operation, source) => {
            about_message(Error::new(operation, peer, source))
        }
        TransferFault::Broken(Side::Far, operation, _) if is_refused_by_target(&fault) => {
            let cause = "connection refused, no server is listening";
            Error::because(operation, target, ErrorKind::NoServer, cause)
                .with_hint("start the server, or check the address")
        }
        TransferFault::Broken(Side::Far, operation, source) => {
            about_message(Error::new(operation, target, source))
        }
        TransferFault::Idle(limit) => timed_out(format!(
            "no data passed in either direction for {}",
            format_duration(limit)
        )),
        TransferFault::HalfClosed(limit) => timed_out(format!(
            "the connection was half-closed, and no data passed for {}",
            format_duration(limit)
        )),
        TransferFault::NoFraming => {
            let cause = "one side is a stream, the other keeps messages apart";
            Error::because("forward", target, ErrorKind::Usage, cause)
                .with_hint("choose where a message ends in the stream: line, null or length")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a connection may take besides its sockets and its [`Connection`].
    const MOST: usize = 920;

    #[tokio::test]
    async fn an_idle_connection_takes_little_memory() -> Result<()> {
        let forward = Forward::new(Target::parse("@target")?, ConnectPlan::default());
        let connection = Arc::new(Connection::new(1, Peer::new("unix:@peer".parse()?)));
        let (_client, near) = Stream::pair().expect("there are descriptors");
        let serving = size_of_val(&forward.serve(near, &connection));
        assert!(serving <= MOST, "{serving} bytes");
        Ok(())
    }
}
