//! The option `--status`: a second connection loop, which answers HTTP requests.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sok::address::Target;
use sok::client::Targets;
use sok::error::{Error, ErrorKind, Result};
use sok::loops::{Limits, Sources, Stop, connection_loop};
use sok::net::ListenOptions;
use sok::service::ConnectionTable;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;

use super::inherited::ListenOn;
use super::listening::listen;
use crate::output::status;
use crate::status::{
    Counts, KeptPage, LISTED, PLACES, Page, Pages, Snapshot, StatusCode, StatusService,
};

/// The descriptors of the status: its listeners, and twice its places, as those that are dropped are open
/// a moment longer.
pub(crate) const DESCRIPTORS: usize = 2 + 2 * PLACES;
/// The same where few are left: the status still answers some requests at once.
pub(crate) fn held_back(descriptors: u64) -> usize {
    DESCRIPTORS.min(usize::try_from(descriptors / 8).unwrap_or(DESCRIPTORS))
}

/// The time that an answer has at the end of the server.
const GRACE: Duration = Duration::from_millis(250);

/// Where the status is to be served, and what it shows besides the connections.
#[derive(Debug)]
pub(crate) struct StatusPlan {
    places: ListenOn,
    forwards_to: Option<Targets>,
}

/// What a server knows about itself.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) table: ConnectionTable,
    pub(crate) stop: Stop,
    /// The connections after which it accepts no more.
    pub(crate) exit_after: Option<u64>,
    pub(crate) listening: Vec<String>,
}

impl StatusPlan {
    /// The status at `places`, if there are any.
    ///
    /// # Errors
    /// If they are not of streams that listen.
    pub(crate) fn of(places: ListenOn, forwards_to: Option<Targets>) -> Result<Option<Self>> {
        let usage = |target: &Target, cause: String| {
            let error = Error::because("status", target, ErrorKind::Usage, cause);
            Err(error.with_hint("give a socket file, or a port of TCP"))
        };
        let targets = places.targets();
        let mut types = targets.iter().map(|target| (target, target.socket_type()));
        if let Some((target, kind)) = types.find(|(_, kind)| kind.keeps_messages()) {
            let cause = format!("--status needs a stream, for HTTP; this is a {kind} socket");
            return usage(target, cause);
        }
        match targets.first() {
            None => Ok(None),
            Some(target) if places.is_one_connection() => {
                let cause = "--status needs a listening socket; this is a connection";
                usage(target, cause.to_owned())
            }
            Some(_) => Ok(Some(Self {
                places,
                forwards_to,
            })),
        }
    }

    /// Listens; requests wait until [`serve`](Self::serve).
    pub(crate) async fn listen(&mut self) -> Result<Sources> {
        let mut options = ListenOptions::default();
        options.take_descriptors = false;
        listen(std::mem::take(&mut self.places), &options).await
    }

    /// Answers the requests of `sources` about `server`.
    pub(crate) fn serve(self, sources: Sources, server: Served) -> StatusServer {
        let counts = Arc::new(Counts::default());
        let source = Source {
            server,
            forwards_to: self.forwards_to,
            began: (SystemTime::now(), Instant::now()),
            counts: Arc::clone(&counts),
            object: KeptPage::default(),
            metrics: KeptPage::default(),
        };
        let mut limits = Limits::default();
        limits.max_connections = 2 * PLACES;
        limits.grace = GRACE;
        // The log is of the clients.
        limits.logs = false;
        let stop = Stop::new();
        let service = StatusService::new(source, counts);
        let serving = connection_loop(sources, service, limits, stop.clone());
        let serving = tokio::spawn(async {
            if let Err(error) = serving.await {
                warn!(%error, "the status is not served any more");
            }
        });
        StatusServer { stop, serving }
    }
}

/// The running status of a server.
pub(crate) struct StatusServer {
    stop: Stop,
    serving: JoinHandle<()>,
}

impl StatusServer {
    /// Ends it, after the server.
    pub(crate) async fn end(self) {
        self.stop.request();
        let _ = self.serving.await;
    }
}

/// What the pages show.
#[derive(Debug)]
struct Source {
    server: Served,
    forwards_to: Option<Targets>,
    began: (SystemTime, Instant),
    counts: Arc<Counts>,
    object: KeptPage,
    metrics: KeptPage,
}

impl Source {
    /// Whether new clients are accepted.
    fn accepts(&self) -> bool {
        let served = self.server.table.connections();
        let is_done = self.server.exit_after.is_some_and(|most| served >= most);
        !is_done && !self.server.stop.is_requested()
    }

    /// At most `most` open connections are listed.
    fn snapshot(&self, most: usize) -> Snapshot {
        let (totals, open, listed) = self.server.table.oldest(most);
        let targets = self.forwards_to.as_ref().map(Targets::states);
        Snapshot {
            began: self.began.0,
            uptime: self.began.1.elapsed(),
            accepting: self.accepts(),
            listening: self.server.listening.clone(),
            totals,
            open,
            listed,
            targets: targets.unwrap_or_default(),
            answered: self.counts.answered(),
            dropped: self.counts.dropped(),
        }
    }
}

impl Pages for Source {
    fn page(&self, path: &str) -> Page {
        match path {
            "/" => Page {
                code: StatusCode::Ok,
                content_type: "application/json",
                body: self.object.body(|| {
                    let snapshot = self.snapshot(LISTED);
                    (status::json(&snapshot), snapshot.validity())
                }),
            },
            "/metrics" => Page {
                code: StatusCode::Ok,
                content_type: status::METRICS,
                body: self.metrics.body(|| {
                    let snapshot = self.snapshot(0);
                    (status::metrics(&snapshot), snapshot.validity())
                }),
            },
            "/healthz" if self.accepts() => Page::text(StatusCode::Ok, "ok\n"),
            "/healthz" => Page::text(StatusCode::Unavailable, "stopping\n"),
            _ => Page::text(
                StatusCode::NotFound,
                "404 Not Found: the pages are /, /metrics and /healthz\n",
            ),
        }
    }
}
