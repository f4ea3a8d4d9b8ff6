//! Several targets, tried in order: one that fails is left out for a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::candidate::{Candidate, TargetState, Turn};
use super::connect::{ConnectPlan, try_once};
use super::failures::ConnectErrors;
use super::waiting::WaitQueue;
use crate::address::{Address, Target};
use crate::error::{Error, Result};
use crate::net::Stream;

/// The targets of a relay in the order in which they are tried, and what is known about each. Clones
/// share it.
///
/// The first target that accepts gets the connection. One that refused, or did not answer in time,
/// is left out for [`retry_after`](Self::with_retry_after); then one connection tries it again, while
/// the others use the next target. If none of the others accepts, those left out are tried too, so no
/// connection fails before each target has.
///
/// ```
/// use std::time::Duration;
///
/// use sok::client::{ConnectPlan, Targets};
/// use sok::net::{ListenOptions, Listener};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let listener = Listener::bind(&"inet:127.0.0.1:0".parse()?, &ListenOptions::default())?;
/// let second = listener.local_addr().clone();
/// let first = "unix:@nobody-listens-here".parse::<sok::Address>()?;
/// let targets = Targets::new([first.into(), second.clone().into()]);
/// let connected = targets.connect(&ConnectPlan::default()).await?;
/// assert_eq!((connected.address, connected.place), (second, 1));
/// assert!(!targets.states()[0].is_up);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Targets {
    all: Arc<[Candidate]>,
    waiting: WaitQueue,
    retry_after: Duration,
}

/// A connection to one of several targets.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connected {
    /// The connection.
    pub stream: Stream,
    /// The address that accepted.
    pub address: Address,
    /// The place of its target among the targets, from 0.
    pub place: usize,
}

impl From<Target> for Targets {
    fn from(target: Target) -> Self {
        Self::new([target])
    }
}

impl Targets {
    /// The default of [`with_retry_after`](Self::with_retry_after).
    pub const RETRY_AFTER: Duration = Duration::from_secs(1);

    /// These targets, the preferred one first.
    pub fn new(targets: impl IntoIterator<Item = Target>) -> Self {
        Self {
            all: targets.into_iter().map(Candidate::new).collect(),
            waiting: WaitQueue::default(),
            retry_after: Self::RETRY_AFTER,
        }
    }

    /// The same targets; one that failed is left out for `time`.
    #[must_use]
    pub const fn with_retry_after(mut self, time: Duration) -> Self {
        self.retry_after = time;
        self
    }

    /// The targets in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Target> + Clone {
        self.all.iter().map(Candidate::target)
    }

    /// What is known about each target, in their order.
    #[must_use]
    pub fn states(&self) -> Vec<TargetState> {
        self.all.iter().map(Candidate::state).collect()
    }

    /// Connects to the first target that accepts. The timeout of `plan` applies to each target; with
    /// its `retry_for`, all are tried again until then.
    ///
    /// # Errors
    /// As [`connect`](super::connect()), with the errors of all targets.
    pub async fn connect(&self, plan: &ConnectPlan) -> Result<Connected> {
        let attempt = |end| self.try_each(plan, end);
        let connected = self.waiting.retry(self.iter(), plan.retry_for, attempt);
        connected
            .await
            .map_err(|failures| failures.into_error(self.words()))
    }

    /// Leaves out the target at `place`, which has just refused what was sent on a connection: only a
    /// datagram is refused after the connect.
    pub fn refused(&self, place: usize, error: &Error) {
        if let Some(candidate) = self.all.get(place) {
            let (now, failure) = (Instant::now(), error.to_string());
            candidate.failed(now, now, failure, self.retry_after, self.reports());
        }
    }

    /// One round: each target until one accepts, or `end`.
    async fn try_each(
        &self,
        plan: &ConnectPlan,
        end: Option<Instant>,
    ) -> std::result::Result<Connected, ConnectErrors> {
        let mut failures = Vec::new();
        let mut left_out = Vec::new();
        for (place, candidate) in self.all.iter().enumerate() {
            let Some(turn) = candidate.turn(Instant::now()) else {
                left_out.push(place);
                continue;
            };
            let end = share(end, self.all.len() - failures.len());
            match self.try_one(place, turn, plan, end).await {
                Err(failure) => failures.push((place, failure)),
                connected => return connected,
            }
        }
        for place in left_out {
            let turn = self.all[place].turn_anyway(Instant::now());
            let end = share(end, self.all.len() - failures.len());
            match self.try_one(place, turn, plan, end).await {
                Err(failure) => failures.push((place, failure)),
                connected => return connected,
            }
        }
        failures.sort_by_key(|(place, _)| *place);
        Err(failures.into_iter().map(|(_, failure)| failure).collect())
    }

    async fn try_one(
        &self,
        place: usize,
        turn: Turn<'_>,
        plan: &ConnectPlan,
        end: Option<Instant>,
    ) -> std::result::Result<Connected, ConnectErrors> {
        match try_once(self.all[place].target(), plan, end).await {
            Ok((stream, address)) => {
                turn.accepted(Instant::now(), self.reports());
                Ok(Connected {
                    stream,
                    address,
                    place,
                })
            }
            Err(failures) => {
                turn.failed(Instant::now(), &failures, self.retry_after, self.reports());
                Err(failures)
            }
        }
    }

    /// Whether a target that is left out is reported: a single one never is.
    fn reports(&self) -> bool {
        self.all.len() > 1
    }

    fn words(&self) -> String {
        let words: Vec<String> = self.iter().map(Target::to_string).collect();
        words.join(" ")
    }
}

/// The end for one of `left` targets, so that each gets a turn before `end`.
fn share(end: Option<Instant>, left: usize) -> Option<Instant> {
    let end = end?;
    let now = Instant::now();
    let turns = u32::try_from(left.max(1)).unwrap_or(u32::MAX);
    Some(now + end.saturating_duration_since(now) / turns)
}
