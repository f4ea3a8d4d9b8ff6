//! The actors of the lessons: a server that runs the library's loops, and the library's clients.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sok::address::Address;
use sok::client::{CallOptions, ConnectPlan, Counter, Request, call, connect};
use sok::error::{Error, ErrorKind, Result};
use sok::loops::{
    Answer, Connection, Limits, LoopTotals, MessageFormat, Reply, Service, Stop, connection_loop,
};
use sok::net::{ListenOptions, Listener, Peer, Stream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::recorder::{done_by, played_by};

/// The message of every client.
pub(super) const MESSAGE: &str = "你好";

/// The suffix that the server appends.
pub(super) const SUFFIX: &str = " (received)";

/// The server's reply to `message`.
pub(super) fn answer_to(message: &str) -> String {
    format!("{message}{SUFFIX}")
}

/// The name under which the server's calls are recorded.
pub(super) const SERVER: &str = "server";

/// The messages that a server has received, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub(super) fn all(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Answers each message with itself and the suffix.
impl Answer for Heard {
    const WAITS: bool = false;

    async fn answer(&self, message: &[u8], reply: &mut Vec<u8>) -> Reply {
        let text = String::from_utf8_lossy(message).into_owned();
        reply.extend_from_slice(message);
        reply.extend_from_slice(SUFFIX.as_bytes());
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
        Reply::Send
    }
}

/// The progress of a server.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// The accepted clients.
    pub(super) accepted: Vec<Peer>,
    /// The ended conversations, in order: the cause if one failed.
    pub(super) ended: Vec<Option<String>>,
}

/// Wraps a service: records its calls as the server's, and its progress.
struct Watched<S> {
    service: S,
    progress: watch::Sender<Progress>,
}

impl<S: Service> Service for Watched<S> {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        let peer = connection.peer().clone();
        self.progress.send_modify(|p| p.accepted.push(peer));
        let ended = played_by(SERVER, self.service.serve(stream, connection)).await;
        let cause = ended.as_ref().err().map(Error::cause);
        self.progress.send_modify(|p| p.ended.push(cause));
        ended
    }
}

/// The options of a server.
#[derive(Debug, Default)]
pub(super) struct Setup {
    pub(super) listen: ListenOptions,
    pub(super) limits: Limits,
}

impl Setup {
    /// One client at a time, with this backlog.
    pub(super) fn one_at_a_time(backlog: u32) -> Self {
        let mut setup = Self::default();
        setup.listen.backlog = backlog;
        setup.limits.max_connections = 1;
        setup
    }
}

/// A running server, stopped on drop.
#[derive(Debug)]
pub(super) struct Server {
    address: Address,
    stop: Stop,
    progress: watch::Receiver<Progress>,
    serving: AbortOnDropHandle<Result<LoopTotals>>,
}

impl Server {
    /// Listens, and runs the connection loop.
    pub(super) async fn start(
        address: &Address,
        setup: Setup,
        service: impl Service,
    ) -> Result<Self> {
        let Setup {
            listen: options,
            limits,
        } = setup;
        let listener = listen(address, &options)?;
        let address = listener.local_addr().clone();
        let stop = Stop::new();
        let (sender, progress) = watch::channel(Progress::default());
        let service = Watched {
            service,
            progress: sender,
        };
        let serving = connection_loop(vec![listener], service, limits, stop.clone());
        let serving = AbortOnDropHandle::new(tokio::spawn(played_by(SERVER, serving)));
        Ok(Self {
            address,
            stop,
            progress,
            serving,
        })
    }

    /// The address on which it listens.
    pub(super) const fn address(&self) -> &Address {
        &self.address
    }

    /// Its progress.
    pub(super) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Waits until `count` clients are accepted.
    pub(super) async fn has_accepted(&self, count: usize) -> Result<()> {
        self.until(|p| p.accepted.len() >= count).await
    }

    /// Waits until `count` conversations have ended; returns the cause if the last of them failed.
    pub(super) async fn has_ended(&self, count: usize) -> Result<Option<String>> {
        self.until(|p| p.ended.len() >= count).await?;
        Ok(self.progress().ended.get(count - 1).cloned().flatten())
    }

    async fn until(&self, holds: impl FnMut(&Progress) -> bool) -> Result<()> {
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(holds).await.map(drop);
        reached
            .map_err(|_| Error::because("serve", &self.address, ErrorKind::Other, "it has ended"))
    }

    /// Stops accepting, and waits for the open conversations.
    pub(super) async fn finish(self) -> Result<LoopTotals> {
        self.stop.request();
        let failed = |error| Error::new("serve", &self.address, error);
        self.serving.await.map_err(failed)?
    }
}

/// Listens, as the server.
pub(super) fn listen(address: &Address, options: &ListenOptions) -> Result<Listener> {
    done_by(SERVER, || Listener::bind(address, options))
}

/// A connected client.
#[derive(Debug)]
pub(super) struct Client {
    name: String,
    stream: Stream,
    server: Address,
}

impl Client {
    /// Connects to `server` as `name`.
    pub(super) async fn connect(name: impl Into<String>, server: &Address) -> Result<Self> {
        Self::dial(name.into(), server, &ConnectPlan::default()).await
    }

    /// The same with a time limit.
    pub(super) async fn connect_within(
        limit: Duration,
        name: impl Into<String>,
        server: &Address,
    ) -> Result<Self> {
        let mut plan = ConnectPlan::default();
        plan.timeout = Some(limit);
        Self::dial(name.into(), server, &plan).await
    }

    async fn dial(name: String, server: &Address, plan: &ConnectPlan) -> Result<Self> {
        let target = server.clone().into();
        let (stream, server) = played_by(&name, connect(&target, plan)).await?;
        Ok(Self {
            name,
            stream,
            server,
        })
    }

    /// The connection.
    pub(super) const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sends a message and receives the reply, as `sok call` does.
    pub(super) async fn ask(&self, message: &str, format: MessageFormat) -> Result<String> {
        let request = Request::new(message);
        let mut one = CallOptions::default();
        one.format = format;
        let mut reply = Vec::new();
        let counter = Counter::default();
        let asked = call(
            &self.stream,
            &self.server,
            request,
            one,
            &mut reply,
            &counter,
        );
        played_by(&self.name, asked).await?;
        let delimiter = format.framing.delimiter();
        let reply = reply.strip_suffix(delimiter).unwrap_or(&reply);
        Ok(String::from_utf8_lossy(reply).into_owned())
    }

    /// Sends bytes, without waiting for a reply.
    pub(super) async fn send(&self, bytes: impl AsRef<[u8]>) -> Result<()> {
        let sent = played_by(&self.name, self.stream.send_all(bytes.as_ref())).await;
        sent.map_err(|error| self.failed("send", error))
    }

    /// Receives once.
    pub(super) async fn receive(&self) -> Result<String> {
        let mut buffer = [0; 1024];
        let received = played_by(&self.name, self.stream.receive(&mut buffer)).await;
        let count = received
            .map_err(|error| self.failed("receive", error))?
            .count();
        Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
    }

    /// Waits until `count` bytes are unread.
    pub(super) async fn has_unread(&self, count: usize) -> Result<()> {
        let arrived = played_by(&self.name, self.stream.arrived(count)).await;
        arrived
            .map(drop)
            .map_err(|error| self.failed("receive", error))
    }

    /// Closes the connection.
    pub(super) fn leave(self) {
        done_by(&self.name, || drop(self.stream));
    }

    /// Closes the connection by a reset, where the family has one.
    pub(super) fn reset(self) {
        done_by(&self.name, || self.stream.reset());
    }

    /// Runs `work` as this client.
    pub(super) async fn plays<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        played_by(&self.name, work).await
    }

    fn failed(&self, operation: &'static str, error: impl Into<std::io::Error>) -> Error {
        Error::new(operation, &self.server, error)
    }
}

/// Joins texts with commas.
pub(super) fn listed<T: Display>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = all.into_iter().map(|one| one.to_string()).collect();
    all.join(", ")
}
