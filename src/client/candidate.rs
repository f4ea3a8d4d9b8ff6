//! What is known about one of several targets: whether it accepts, or is left out for a while.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::connect::tells_missing_server;
use super::failures::ConnectErrors;
use crate::address::Target;

/// At most one line is reported about a target in this time, however often it fails.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A target, and what the connects to it have shown.
#[derive(Debug)]
pub(super) struct Candidate {
    target: Target,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The end of the time for which it is left out, if it failed last.
    left_out_until: Option<Instant>,
    /// Whether a connection tries it again after that time. The others use the next target: a silent
    /// one delays only this connection.
    is_tried_again: bool,
    /// The last time that it accepted, if a connect tells.
    accepted: Option<Instant>,
    /// The last time that it was reported as left out.
    reported: Option<Instant>,
    connections: u64,
    failures: u64,
    last_failure: Option<(Instant, String)>,
}

/// A target as the connects to it have shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetState {
    /// The target.
    pub target: Target,
    /// Whether it is used: it has not failed since it last accepted, or was never tried.
    pub is_up: bool,
    /// The connects that succeeded.
    pub connections: u64,
    /// The connects that failed because of the target.
    pub failures: u64,
    /// The last failure, and the time since then.
    pub last_failure: Option<(String, Duration)>,
}

/// One connect to a target. If it is dropped without a result, another connection may try.
pub(super) struct Turn<'a> {
    candidate: &'a Candidate,
    began: Instant,
    tries_again: bool,
}

impl Candidate {
    pub(super) fn new(target: Target) -> Self {
        let known = Mutex::default();
        Self { target, known }
    }

    pub(super) const fn target(&self) -> &Target {
        &self.target
    }

    /// A connect that begins `now`; `None` while the target is left out, or another connection tries
    /// it again.
    pub(super) fn turn(&self, now: Instant) -> Option<Turn<'_>> {
        let mut known = self.known();
        let tries_again = match known.left_out_until {
            None => false,
            Some(until) if now < until || known.is_tried_again => return None,
            Some(_) => true,
        };
        known.is_tried_again = tries_again;
        drop(known);
        Some(self.begin(now, tries_again))
    }

    /// The same, even while it is left out.
    pub(super) const fn turn_anyway(&self, now: Instant) -> Turn<'_> {
        self.begin(now, false)
    }

    const fn begin(&self, began: Instant, tries_again: bool) -> Turn<'_> {
        Turn {
            candidate: self,
            began,
            tries_again,
        }
    }

    /// The target failed `now` for a connection that `began` then: leaves it out for `retry_after`,
    /// unless it has accepted a later one. With `reports`, says so.
    pub(super) fn failed(
        &self,
        began: Instant,
        now: Instant,
        failure: String,
        retry_after: Duration,
        reports: bool,
    ) {
        let mut known = self.known();
        known.failures += 1;
        let accepted_later = known.accepted.is_some_and(|accepted| accepted > began);
        let is_first = known.left_out_until.is_none() && !accepted_later;
        if !accepted_later {
            known.left_out_until = Some(now + retry_after);
        }
        let due = known.reported.is_none_or(|last| now >= last + REPORT_EVERY);
        let reports = reports && is_first && due;
        if reports {
            known.reported = Some(now);
        }
        let reported = reports.then(|| failure.clone());
        known.last_failure = Some((now, failure));
        // Nothing is written while others wait for the lock.
        drop(known);
        if let Some(error) = reported {
            let (target, seconds) = (&self.target, retry_after.as_secs_f64());
            warn!(%target, seconds, %error, "target left out");
        }
    }

    pub(super) fn state(&self) -> TargetState {
        let known = self.known();
        let last = known.last_failure.as_ref();
        TargetState {
            target: self.target.clone(),
            is_up: known.left_out_until.is_none(),
            connections: known.connections,
            failures: known.failures,
            last_failure: last.map(|(at, failure)| (failure.clone(), at.elapsed())),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The target accepted `now`.
    pub(super) fn accepted(self, now: Instant, reports: bool) {
        let target = &self.candidate.target;
        let tells = tells_missing_server(target);
        let mut known = self.candidate.known();
        known.connections += 1;
        if tells {
            known.accepted = Some(now);
        }
        let was_left_out = known.left_out_until.take().is_some();
        drop(known);
        if was_left_out && reports && tells {
            info!(%target, "target accepts again");
        }
    }

    /// The target failed `now`, or this machine did: that says nothing about the target.
    pub(super) fn failed(
        self,
        now: Instant,
        failures: &ConnectErrors,
        retry_after: Duration,
        reports: bool,
    ) {
        if !failures.are_ours() {
            let failure = failures.to_string();
            self.candidate
                .failed(self.began, now, failure, retry_after, reports);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.tries_again {
            self.candidate.known().is_tried_again = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::Error as E;

    use super::*;
    use crate::error::{Error, ErrorKind};

    const PAUSE: Duration = Duration::from_secs(1);

    fn candidate() -> Candidate {
        Candidate::new(Target::parse("unix:@target").expect("an address"))
    }

    fn failure(errno: E) -> ConnectErrors {
        Error::new("connect", "unix:@target", errno).into()
    }

    fn fail(turn: Turn<'_>, now: Instant) {
        turn.failed(now, &failure(E::ECONNREFUSED), PAUSE, true);
    }

    #[test]
    fn a_target_that_failed_is_left_out_and_then_one_connection_tries_it_again() {
        let (one, began) = (candidate(), Instant::now());
        fail(one.turn(began).expect("nothing is known yet"), began);
        let later = began + PAUSE;
        assert!(one.turn(began).is_none() && !one.state().is_up);
        let again = one.turn(later).expect("the time is over");
        assert!(one.turn(later).is_none(), "one at a time");
        // Its client has gone: the next one tries.
        drop(again);
        fail(one.turn(later).expect("the next one"), later);
        assert!(one.turn(later).is_none());
        let later = later + PAUSE;
        let again = one.turn(later).expect("the time is over");
        again.accepted(later, true);
        let (first, second) = (one.turn(later), one.turn(later));
        assert!(first.is_some() && second.is_some() && one.state().is_up);
        assert_eq!((one.state().connections, one.state().failures), (1, 2));
    }

    #[test]
    fn an_attempt_that_fails_after_a_later_one_was_accepted_says_nothing() {
        let (one, began) = (candidate(), Instant::now());
        let slow = one.turn(began).expect("nothing is known yet");
        let later = began + PAUSE;
        let accepted = one.turn(later).expect("nothing is known yet");
        accepted.accepted(later, true);
        fail(slow, later + PAUSE);
        assert!(one.state().is_up && one.turn(later).is_some());
        assert_eq!(one.state().failures, 1);
    }

    #[test]
    fn a_lack_of_this_machine_leaves_out_no_target() {
        let (one, now) = (candidate(), Instant::now());
        for errno in [
            E::EMFILE,
            E::ENFILE,
            E::ENOBUFS,
            E::EADDRNOTAVAIL,
            E::EADDRINUSE,
        ] {
            let turn = one.turn(now).expect("nothing is known yet");
            turn.failed(now, &failure(errno), PAUSE, true);
            assert!(one.state().is_up, "{errno}");
        }
        assert_eq!(one.state().failures, 0);
    }

    #[test]
    fn a_request_that_can_never_work_leaves_out_no_target() {
        let (one, now) = (candidate(), Instant::now());
        let target = "tcp:127.0.0.1:9";
        let usage = Error::because("connect", target, ErrorKind::Usage, "to itself");
        let turn = one.turn(now).expect("nothing is known yet");
        turn.failed(now, &usage.into(), PAUSE, true);
        assert!(one.state().is_up);
        assert_eq!(one.state().failures, 0);
    }

    #[test]
    fn a_connect_that_tells_nothing_does_not_outweigh_a_refusal() {
        let one = Candidate::new(Target::parse("udp:127.0.0.1:9").expect("an address"));
        let began = Instant::now();
        let turn = one.turn(began).expect("nothing is known yet");
        turn.accepted(began + PAUSE, true);
        one.failed(began, began + PAUSE, "refused".to_owned(), PAUSE, true);
        assert!(!one.state().is_up);
    }
}
