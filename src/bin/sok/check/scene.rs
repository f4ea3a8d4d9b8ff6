//! The surroundings of a test: fresh names, a time limit, and helpers.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sok::address::{Address, AddressKind};
use sok::error::{Error, ErrorKind, Result};
use sok::net::{self, ConnectOptions, ListenOptions, Listener, Peer, Received, Stream};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use super::report::Cell;

/// The outcome of a test that did not fail.
#[derive(Debug)]
pub(super) enum Tried {
    /// It works, with a detail worth knowing.
    Works(Option<String>),
    /// It works, and its result is a value: in a table, and with its unit.
    Value { shown: String, found: String },
    /// This host cannot test it.
    Not(String),
}

impl Tried {
    pub(super) const WORKS: Self = Self::Works(None);

    pub(super) fn found(what: impl Into<String>) -> Self {
        Self::Works(Some(what.into()))
    }
}

/// The kind of address under test.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) kind: AddressKind,
    pub(super) limit: Duration,
    directory: io::Result<TempDir>,
}

/// Both ends of a connection, and its listener.
#[derive(Debug)]
pub(super) struct ConnectedPair {
    pub(super) listener: Listener,
    pub(super) client: Stream,
    pub(super) server: Stream,
    /// The client, as the server sees it.
    pub(super) peer: Peer,
}

/// No name is used twice by the checks of this process.
static NAMES: AtomicU32 = AtomicU32::new(1);

impl Scene {
    /// A separate scene for a kind. If no directory can be created, a file in the directory for
    /// temporary files is tried, and fails.
    pub(super) fn new(kind: AddressKind, limit: Duration) -> Self {
        let directory = tempfile::Builder::new().prefix("sok-check-").tempdir();
        Self {
            kind,
            limit,
            directory,
        }
    }

    /// A fresh address.
    pub(super) fn fresh(&self) -> Address {
        let directory = self.directory.as_ref().map(TempDir::path);
        let directory = directory.map_or_else(|_| std::env::temp_dir(), Path::to_owned);
        self.kind.fresh(&directory, &self.name())
    }

    /// A name that was never used before, even by a process with the same number in another pid
    /// namespace: abstract names belong to the network namespace.
    pub(super) fn name(&self) -> String {
        let number = NAMES.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = now.unwrap_or_default().subsec_nanos();
        format!("sok-check-{}-{number}-{nanos}", std::process::id())
    }

    /// The directory of the scene's files.
    pub(super) fn directory(&self) -> Result<&Path> {
        self.directory.as_ref().map(TempDir::path).map_err(|error| {
            let parent = std::env::temp_dir();
            let cause = format!("{}: {}", parent.display(), error.kind());
            Error::because("create a directory", "", ErrorKind::Other, cause)
                .with_hint("set TMPDIR to a writable directory")
        })
    }

    /// Whether the addresses of the form are files.
    pub(super) fn has_files(&self) -> bool {
        let address = self.kind.fresh(Path::new(""), "name");
        address.as_path().is_some()
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }

    /// Connects to `address`, as a step of a test.
    pub(super) async fn dial(&self, address: &Address) -> Result<Stream> {
        let mut options = ConnectOptions::default();
        options.bind = None;
        options.deadline = Some(self.deadline());
        Stream::connect(address, &options).await
    }

    /// Listens on `address`, and connects a client to it.
    pub(super) async fn connection(&self, address: &Address) -> Result<ConnectedPair> {
        let listener = Listener::bind(address, &ListenOptions::default())?;
        let target = listener.local_addr().clone();
        self.connected(listener, &target).await
    }

    /// Connects a client to `target`, on which `listener` must be reachable.
    pub(super) async fn connected(
        &self,
        listener: Listener,
        target: &Address,
    ) -> Result<ConnectedPair> {
        let client = self.dial(target).await?;
        let accepted = listener.accept().await;
        let (server, peer) =
            accepted.map_err(|e| Error::new("accept", listener.local_addr(), e))?;
        Ok(ConnectedPair {
            listener,
            client,
            server,
            peer,
        })
    }

    /// The same, also for sockets without connections: the client sends first.
    pub(super) async fn conversation(&self, address: &Address) -> Result<ConnectedPair> {
        let listener = Listener::bind(address, &ListenOptions::default())?;
        let local = listener.local_addr().clone();
        let failed = broken("exchange", &local);
        let client = self.dial(listener.local_addr()).await?;
        client.send_all(b"hello").await.map_err(&failed)?;
        let (server, peer) = listener.accept().await.map_err(&failed)?;
        let first = server.receive(&mut [0; 64]).await.map_err(&failed)?;
        if first != Received::Message(5) {
            let what = format!("a message of 5 bytes arrived as {first:?}");
            return Err(unexpected("receive", listener.local_addr(), what));
        }
        Ok(ConnectedPair {
            listener,
            client,
            server,
            peer,
        })
    }

    /// The cell for the outcome of `attempt`, within the time limit.
    pub(super) async fn cell(
        &self,
        name: impl Into<Cow<'static, str>>,
        attempt: impl Future<Output = Result<Tried>>,
    ) -> Cell {
        let name = name.into();
        match timeout(self.limit, attempt).await {
            Ok(Ok(Tried::Works(found))) => Cell::works(name, found),
            Ok(Ok(Tried::Value { shown, found })) => Cell::value(name, shown, found),
            Ok(Ok(Tried::Not(reason))) => Cell::untried(name, reason),
            Ok(Err(error)) => self.failed(name, &error),
            Err(_) => {
                let reason = format!("{name}: {}", self.incomplete());
                self.explained(name, reason, ErrorKind::TimedOut, None)
            }
        }
    }

    pub(super) fn late(&self, name: &'static str) -> Error {
        Error::because(name, "", ErrorKind::TimedOut, self.incomplete())
    }

    fn incomplete(&self) -> String {
        format!("not complete within {:?}", self.limit)
    }

    /// A failure, with the setting of this host that explains it, if any.
    pub(super) fn failed(&self, name: impl Into<Cow<'static, str>>, error: &Error) -> Cell {
        let reason = format!("{}: {}", error.operation(), error.cause());
        self.explained(name.into(), reason, error.kind(), error.hint())
    }

    fn explained(
        &self,
        name: Cow<'static, str>,
        mut reason: String,
        kind: ErrorKind,
        hint: Option<&str>,
    ) -> Cell {
        let hint = if let Some(obstacle) = net::obstacle(self.kind.family()) {
            reason = format!("{reason} ({})", obstacle.setting);
            Some(obstacle.remedy)
        } else if let (true, Err(missing)) = (self.has_files(), self.directory()) {
            missing.hint().map(str::to_owned)
        } else if hint.is_none() && kind == ErrorKind::TimedOut {
            Some("check for a firewall that drops it (nft list ruleset)".to_owned())
        } else {
            hint.map(str::to_owned)
        };
        Cell::fails(name, reason, hint)
    }
}

/// The failure of a step on a connection within this host.
pub(super) fn broken(operation: &'static str, address: &Address) -> impl Fn(io::Error) -> Error {
    move |source| Error::new(operation, address, source)
}

/// The failure of a test with an unexpected result.
pub(super) fn unexpected(operation: &'static str, address: &Address, what: String) -> Error {
    Error::because(operation, address, ErrorKind::Other, what)
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    #[tokio::test]
    async fn a_test_that_does_not_end_fails_with_a_hint() {
        for kind in AddressKind::ALL {
            let scene = Scene::new(kind, Duration::from_millis(1));
            let cell = scene.cell("connect", std::future::pending()).await;
            assert_eq!(cell.outcome, Verdict::Fails);
            assert_eq!(
                cell.reason.as_deref(),
                Some("connect: not complete within 1ms")
            );
            assert!(cell.hint.is_some_and(|hint| hint.contains("firewall")));
        }
    }
}
