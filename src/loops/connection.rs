//! The connection loop: accept, hand over to the service, repeat.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::field::display;
use tracing::{Level, enabled, info, warn};

use super::accepting::{Pauses, accept, make_room};
use super::admission::{Admission, Guest};
use super::arrivals::AcceptProxy;
use super::connection_errors::{cut_off, lost};
use super::service::{Connection, Service, Traffic};
use super::sources::{Sources, last_accepted};
use super::stop::Stop;
use crate::access::Access;
use crate::error::{Error, Result};
use crate::net::{ClosedListener, Listener};
use crate::reports::Reports;

/// The limits of a connection loop.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum number of connections served at once; with 1, one after another. The others wait
    /// in the backlog: the limit applies before `accept(2)`.
    pub max_connections: usize,
    /// The number of connections after which the loop ends, if any.
    pub exit_after: Option<u64>,
    /// The time after which the loop ends if no connection was open meanwhile, if any.
    pub accept_timeout: Option<Duration>,
    /// The time that a requested stop waits for open connections.
    pub grace: Duration,
    /// Whether connections are logged: when each begins and ends, and those that fail.
    pub logs: bool,
    /// Who is served. Others are refused before anything is received from them, and count for no other
    /// limit.
    pub access: Access,
    /// Whether each connection must begin with a PROXY header. Those that wait for it count for
    /// `max_connections`, and a stop waits for them. A session of datagrams has none, and is refused.
    pub accept_proxy: Option<AcceptProxy>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // More than a peer can open from one address, so that no peer can take every place.
            max_connections: 65_536,
            exit_after: None,
            accept_timeout: None,
            grace: Duration::from_secs(5),
            logs: true,
            access: Access::default(),
            accept_proxy: None,
        }
    }
}

/// The totals of a connection loop.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct LoopTotals {
    /// The connections served.
    pub connections: u64,
    /// The connections refused, see [`Access::refused`].
    pub refused: u64,
    /// The connections that ended with an error.
    pub failed: u64,
    /// The first error of a connection, or that some were cut off.
    pub first_failure: Option<Error>,
    /// Whether the loop ended since no connection was open for [`Limits::accept_timeout`].
    pub was_idle: bool,
    /// The connections that were cut off at the end of the grace period.
    pub cut: usize,
    /// The bytes of the ended connections.
    pub traffic: Traffic,
}

/// Accepts connections from `sources`, which may be just listeners, and serves each with `service`,
/// until `stop` or a limit.
///
/// A failed connection never ends the loop. When descriptors or memory run out, accepting pauses
/// and then continues. At the end, the listeners are closed first, so that a new server can bind
/// their addresses while the open connections are drained.
///
/// # Errors
/// An error of `accept(2)` that is permanent, after the open connections have ended.
pub async fn connection_loop(
    sources: impl Into<Sources>,
    service: impl Service,
    limits: Limits,
    stop: Stop,
) -> Result<LoopTotals> {
    let (service, sources) = (Arc::new(service), sources.into());
    let (listeners, mut given) = (sources.listeners, sources.connections);
    // Those that exist already are all that there is.
    let only_given = listeners.is_empty() && !given.is_empty();
    let mut connections = Connections {
        logs: limits.logs,
        most: limits.max_connections,
        ..Connections::default()
    };
    let mut admission = Admission::new(limits.access, limits.accept_proxy);
    let mut pauses = Pauses::default();
    let mut broken = None;
    // Refused connections count here too: those at one listener must not delay those at another.
    let mut accepted_so_far = 0;
    let mut idle_since = Instant::now();
    let mut not_idle_before = idle_since;
    let mut stopping = pin!(stop.requested());
    while !(only_given && given.is_empty() && admission.waiting() == 0)
        && limits
            .exit_after
            .is_none_or(|limit| connections.totals.connections < limit)
    {
        let free = connections.under_way.len() + admission.waiting() < limits.max_connections;
        // A connection that sends no PROXY header does not keep the loop.
        let is_idle = connections.under_way.is_empty();
        let idle = limits.accept_timeout.filter(|_| is_idle);
        let idle_due = idle.map(|limit| (idle_since + limit).max(not_idle_before));
        if free && let Some((stream, peer)) = given.pop_front() {
            connections.begin(&service, admission.accepted(stream, peer));
            continue;
        }
        tokio::select! {
            biased;
            () = &mut stopping => break,
            Some(ended) = connections.under_way.join_next() => {
                connections.ended(ended);
                idle_since = Instant::now();
            }
            guest = admission.next() => connections.begin(&service, guest),
            () = pauses.over(), if pauses.is_on() => {}
            () = sleep_until_or_forever(connections.failures.due()) => connections.sum_up(),
            () = make_room(&listeners), if !free => {}
            (at, accepted) = accept(&listeners, accepted_so_far), if free && !pauses.is_on() => {
                match accepted {
                    Ok((stream, peer)) => {
                        pauses.accepted(at);
                        accepted_so_far += 1;
                        connections.begin(&service, admission.accepted(stream, peer));
                    }
                    Err(error) => if let Err(error) = pauses.failed(at, error) {
                        broken = Some(error);
                        break;
                    },
                }
            }
            // The last: a client that waits is accepted.
            () = sleep_until_or_forever(idle_due) => {
                // If this process was stopped, its timers end before it learns of clients.
                if free && !pauses.is_on() && listeners.iter().any(Listener::has_waiting) {
                    not_idle_before = Instant::now() + NEXT_LOOK;
                    continue;
                }
                connections.totals.was_idle = true;
                break;
            }
        }
    }
    let at: Vec<String> = listeners
        .iter()
        .map(|at| at.local_addr().to_string())
        .collect();
    let closed: Vec<ClosedListener> = listeners.into_iter().map(Listener::close).collect();
    let was_idle = connections.totals.was_idle;
    if !stop.is_requested() && broken.is_none() && !was_idle {
        // As many as may be have been served.
        let waiting = admission.waiting();
        if waiting > 0 && connections.logs {
            warn!(
                connections = waiting,
                "reset, as no PROXY header had arrived"
            );
        }
        admission.give_up().await;
    }
    connections
        .drain(
            &at.join(" "),
            &closed,
            &stop,
            limits.grace,
            &service,
            &mut admission,
        )
        .await;
    for (address, closed) in at.iter().zip(&closed) {
        let datagrams = closed.unserved();
        if datagrams > 0 {
            warn!(%address, datagrams, "dropped, as their peers were not accepted");
        }
        connections.totals.traffic.undelivered += datagrams;
    }
    connections.totals.refused = admission.refused();
    if only_given && let Some(refused) = admission.take_last_refusal() {
        connections.totals.first_failure.get_or_insert(refused);
    }
    broken.map_or(Ok(connections.totals), Err)
}

/// The time in which a client that waits is accepted, if no other process takes it.
const NEXT_LOOK: Duration = Duration::from_millis(10);

/// How long a stop, or a loop without clients, waits for a connection that is being accepted, while none
/// is open.
const LAST_ACCEPT: Duration = Duration::from_millis(500);

/// Waits until `due`, or for ever.
async fn sleep_until_or_forever(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

/// The open connections, and the totals of the ended ones.
#[derive(Default)]
struct Connections {
    logs: bool,
    /// The maximum number of connections served at once.
    most: usize,
    under_way: JoinSet<Ended>,
    totals: LoopTotals,
    failures: Reports,
}

struct Ended {
    connection: Arc<Connection>,
    result: Result<()>,
}

impl Connections {
    /// Serves a connection, if it is admitted.
    fn begin<S: Service>(&mut self, service: &Arc<S>, guest: Option<Guest>) {
        let Some(Guest {
            stream,
            peer,
            proxied,
            admitted,
            place,
        }) = guest
        else {
            return;
        };
        self.totals.connections += 1;
        // If it came at the last moment.
        self.totals.was_idle = false;
        let connection = Connection::new(self.totals.connections, peer);
        if let Some(proxied) = proxied {
            connection.set_proxied(proxied);
        }
        if let Some(losses) = stream.losses() {
            connection.set_losses(losses);
        }
        let connection = Arc::new(connection);
        if self.logs {
            let peer = &connection.peer().address;
            let (pid, uid, gid) = process(&connection);
            let proxy = connection.proxy().map(display);
            info!(connection = connection.id(), %peer, pid, uid, gid, proxy, "connected");
        }
        let service = Arc::clone(service);
        self.under_way.spawn(async move {
            let result = service.serve(stream, &connection).await;
            drop((admitted, place));
            Ended { connection, result }
        });
    }

    fn ended(&mut self, ended: std::result::Result<Ended, JoinError>) {
        let Ended { connection, result } = match ended {
            Ok(ended) => ended,
            Err(error) => {
                self.totals.failed += 1;
                if self.reports_failure() {
                    warn!(%error, "the service of a connection failed");
                }
                let failure = || Error::new("serve", "a connection", error);
                self.totals.first_failure.get_or_insert_with(failure);
                return;
            }
        };
        let traffic = connection.traffic();
        let Traffic {
            received,
            sent,
            undelivered,
        } = traffic;
        let undelivered = (undelivered > 0).then_some(undelivered);
        let result = result.and_then(|()| undelivered.map_or(Ok(()), |_| Err(lost(&connection))));
        let (id, peer) = (connection.id(), &connection.peer().address);
        let (pid, uid, gid) = process(&connection);
        let forwarded_to = connection.forwarded_to().map(display);
        let seconds = connection.age().as_secs_f64();
        self.totals.traffic += traffic;
        let descriptors = connection.dropped();
        if descriptors > 0 && self.reports_failure() {
            warn!(connection = id, %peer, descriptors, "descriptors dropped");
        }
        match result {
            Ok(()) if !self.logs => {}
            Ok(()) => {
                info!(connection = id, %peer, pid, uid, gid, forwarded_to, received, sent, seconds, "ended");
            }
            Err(error) => {
                if self.reports_failure() {
                    warn!(connection = id, %peer, pid, uid, gid, forwarded_to, received, sent, undelivered, seconds, %error, "failed");
                }
                self.totals.failed += 1;
                self.totals.first_failure.get_or_insert(error);
            }
        }
    }

    /// Whether to report this failure. With a line for each connection requested, all are reported;
    /// otherwise the number is limited, since a peer can fail again and again.
    fn reports_failure(&mut self) -> bool {
        if !self.logs {
            return false;
        }
        if enabled!(Level::INFO) {
            return true;
        }
        let now = Instant::now();
        if self.failures.due().is_some_and(|due| now >= due) {
            self.sum_up();
        }
        self.failures.admit(now)
    }

    /// Reports the number of unreported failures, if any.
    fn sum_up(&mut self) {
        if let Some(connections) = self.failures.take_left_out() {
            warn!(connections, "more connections failed");
        }
    }

    /// Waits for the open connections of the `closed` listeners, and for what they have received or are
    /// accepting; after a requested stop, for at most the grace period. Then cuts off the rest of the
    /// connections of `at`, the listening address.
    async fn drain<S: Service>(
        &mut self,
        at: &str,
        closed: &[ClosedListener],
        stop: &Stop,
        grace: Duration,
        service: &Arc<S>,
        admission: &mut Admission,
    ) {
        let graceful = async {
            stop.requested().await;
            closed.iter().for_each(ClosedListener::end_sessions);
            tokio::select! {
                () = sleep(grace) => format!("at the end of the grace period ({grace:?})"),
                () = stop.given_up() => "by a second stop".to_owned(),
            }
        };
        let mut given_up = pin!(graceful);
        let is_stop = stop.is_requested();
        let takes_last = is_stop || self.totals.was_idle;
        let open = self.under_way.len() + admission.waiting();
        if self.logs && is_stop && open > 0 {
            info!(connections = open, ?grace, "draining");
        }
        let mut accepts = takes_last;
        let mut last_accept = pin!(sleep(LAST_ACCEPT));
        let when = loop {
            let waiting = closed.iter().any(ClosedListener::has_waiting);
            accepts = accepts && closed.iter().any(ClosedListener::is_accepting);
            let open = self.under_way.len() + admission.waiting();
            // Without a stop, a limit has ended the loop: it begins no more sessions.
            if open == 0 && !(waiting && takes_last) && !accepts {
                return self.sum_up();
            }
            let takes = open < self.most && (takes_last || !waiting);
            tokio::select! {
                biased;
                (stream, peer) = last_accepted(closed), if takes => {
                    self.begin(service, admission.accepted(stream, peer));
                }
                Some(ended) = self.under_way.join_next() => self.ended(ended),
                guest = admission.next() => self.begin(service, guest),
                when = &mut given_up => break when,
                () = &mut last_accept, if accepts => accepts = false,
                () = sleep_until_or_forever(self.failures.due()) => self.sum_up(),
            }
        };
        self.sum_up();
        let cut = self.under_way.len() + admission.waiting();
        if cut == 0 {
            return;
        }
        admission.give_up().await;
        self.totals.cut = cut;
        self.totals.first_failure = Some(cut_off(at, cut, &when));
        self.under_way.shutdown().await;
    }
}

/// The process of the peer, if the family reports it.
fn process(connection: &Connection) -> (Option<i32>, Option<u32>, Option<u32>) {
    let credentials = connection.peer().credentials;
    (
        credentials.map(|process| process.pid),
        credentials.map(|process| process.uid),
        credentials.map(|process| process.gid),
    )
}
