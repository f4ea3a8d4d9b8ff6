//! Admits peers, by rules and by how many connections each has.

use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tracing::{Level, enabled, info};

use super::list::RuleList;
use super::places::{Held, Places};
use super::refusal::Refusal;
use super::rules::Rules;
use crate::net::{Peer, SessionGate, SessionPlace};
use crate::reports::Reports;

/// Who may connect, and how often at once; clones share the counts. By default, everyone.
#[derive(Debug, Clone, Default)]
pub struct Access(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    rules: Rules,
    places: Option<Arc<Places>>,
    refused: AtomicU64,
    reports: Mutex<Reports>,
}

/// For datagram sockets, whose peers are admitted before they take the place of another one.
impl SessionGate for Access {
    fn admit(&self, peer: &Peer) -> Option<SessionPlace> {
        // No datagram comes with groups.
        let no_groups = || Err(io::ErrorKind::Unsupported.into());
        let admitted = Self::admit(self, peer, no_groups).ok()?;
        Some(Box::new(admitted))
    }
}

/// A peer that was admitted; it has its place until this is dropped.
#[derive(Debug, Default)]
pub struct Admitted {
    // Boxed, as most connections have none.
    _place: Option<Box<Held>>,
}

impl Access {
    /// Those that `rules` admit, each with at most `max_per_peer` connections: of an IPv4 address, of
    /// the first 64 bits of an IPv6 address, of a user of this machine.
    #[must_use]
    pub fn new(rules: Rules, max_per_peer: Option<NonZero<usize>>) -> Self {
        Self(Arc::new(Shared {
            rules,
            places: max_per_peer.map(|most| Arc::new(Places::new(most))),
            ..Shared::default()
        }))
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Arc<RuleList> {
        self.0.rules.list()
    }

    /// Whether it may refuse a peer now.
    #[must_use]
    pub fn may_refuse(&self) -> bool {
        self.0.places.is_some() || !self.rules().entries().is_empty()
    }

    /// How many connections, and datagrams that would have begun a session, were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Admits `peer`, whose supplementary groups `groups` returns if a rule depends on them. A refusal is
    /// counted and logged.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn admit(
        &self,
        peer: &Peer,
        groups: impl FnOnce() -> io::Result<Vec<u32>>,
    ) -> Result<Admitted, Refusal> {
        let decided = self.0.rules.list().decide(peer, groups);
        let admitted = decided.and_then(|()| {
            let place = self.0.places.as_ref().map(|places| places.take(peer));
            let place = place.transpose()?.map(Box::new);
            Ok(Admitted { _place: place })
        });
        admitted.map_err(|reason| self.refuse(peer, reason))
    }

    /// Counts and logs that `peer` is refused for `reason`, which is returned.
    pub fn refuse(&self, peer: &Peer, reason: Refusal) -> Refusal {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
        self.report(peer, &reason);
        reason
    }

    /// Logs a refusal, unless there are many: a peer can be refused again and again.
    fn report(&self, peer: &Peer, reason: &Refusal) {
        if !enabled!(Level::INFO) {
            return;
        }
        let mut reports = self
            .0
            .reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !reports.admit(Instant::now()) {
            return;
        }
        let unreported = reports.take_left_out();
        drop(reports);
        let process = peer.credentials;
        let (pid, uid, gid) = (
            process.map(|process| process.pid),
            process.map(|process| process.uid),
            process.map(|process| process.gid),
        );
        info!(%peer, pid, uid, gid, %reason, unreported, "refused");
    }
}
