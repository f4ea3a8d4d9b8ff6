//! What a server is doing, at one moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sok::client::TargetState;
use sok::loops::Connection;
use sok::service::{ConnectionTable, Totals};
use tokio::time::Instant;

/// The most open connections that are listed: a page has a bounded size, whatever is open.
pub(crate) const LISTED: usize = 1000;
/// How long the totals are used again, for each open connection that was visited for them. A visit
/// takes about a twentieth of it, so requests in a row never take more of the time of the clients.
const AGAIN: Duration = Duration::from_micros(2);

/// What a server is doing.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) began: SystemTime,
    pub(crate) uptime: Duration,
    /// Whether new clients are accepted: the server does not stop.
    pub(crate) accepting: bool,
    pub(crate) listening: Vec<String>,
    pub(crate) connections: Walk,
    /// The targets of a relay.
    pub(crate) targets: Vec<TargetState>,
    /// The status requests that were answered.
    pub(crate) answered: u64,
    /// Those that were dropped.
    pub(crate) dropped: u64,
}

/// The totals, and the oldest open connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Walk {
    pub(crate) totals: Totals,
    /// How many are open.
    pub(crate) open: usize,
    /// At most [`LISTED`] of them, oldest first.
    pub(crate) listed: Arc<[Arc<Connection>]>,
}

/// Visits the connections of a table, but not too often.
#[derive(Debug)]
pub(crate) struct Walker {
    table: ConnectionTable,
    last: Mutex<Option<(Instant, Walk)>>,
}

impl Walker {
    pub(crate) fn new(table: ConnectionTable) -> Self {
        let last = Mutex::default();
        Self { table, last }
    }

    /// The totals of now, or of a moment ago if there are many connections.
    pub(crate) fn walk(&self) -> Walk {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((until, walk)) = last.as_ref()
            && now < *until
        {
            return walk.clone();
        }
        let (totals, open, listed) = self.table.oldest(LISTED);
        let listed = listed.into();
        let walk = Walk {
            totals,
            open,
            listed,
        };
        let visits = u32::try_from(open).unwrap_or(u32::MAX);
        *last = Some((now + AGAIN.saturating_mul(visits), walk.clone()));
        walk
    }
}
