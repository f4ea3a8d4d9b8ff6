//! What a server is doing, at one moment.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sok::client::TargetState;
use sok::loops::Connection;
use sok::service::Totals;

/// The most open connections that are listed: a page has a bounded size, whatever is open.
pub(crate) const LISTED: usize = 1000;
/// How long a page is used again, for each open connection that was visited for its totals, and for each
/// that was listed. Each is at least ten times the time that it takes, so that requests in a row cannot
/// keep the thread busy which accepts clients.
const VISITED: Duration = Duration::from_micros(2);
const WRITTEN: Duration = Duration::from_micros(20);

/// What a server is doing.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) began: SystemTime,
    pub(crate) uptime: Duration,
    /// Whether new clients are accepted: the server does not stop.
    pub(crate) accepting: bool,
    pub(crate) listening: Vec<String>,
    pub(crate) totals: Totals,
    /// How many connections are open.
    pub(crate) open: usize,
    /// At most [`LISTED`] of them, oldest first.
    pub(crate) listed: Vec<Arc<Connection>>,
    /// The targets of a relay.
    pub(crate) targets: Vec<TargetState>,
    /// The status requests that were answered.
    pub(crate) answered: u64,
    /// Those that were dropped.
    pub(crate) dropped: u64,
}

impl Snapshot {
    /// How long a page of it is used again.
    pub(crate) fn validity(&self) -> Duration {
        let times = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let visited = VISITED.saturating_mul(times(self.open));
        visited.saturating_add(WRITTEN.saturating_mul(times(self.listed.len())))
    }
}
