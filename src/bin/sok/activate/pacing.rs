//! When a program that has ended starts again.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two starts.
const INTERVAL: Duration = Duration::from_millis(100);
/// A program that ran for this time does not fail at its start.
const STEADY: Duration = Duration::from_secs(10);
/// The longest pause before a start.
const LONGEST: Duration = Duration::from_secs(10);

/// Spaces the starts of a program that fails soon after each: the pauses double.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    failures: u32,
}

impl Pacing {
    /// The time of the next start, after a run from `began` until `now`. A run that `may_be_short`
    /// has not failed, however soon it ended.
    pub(super) fn next_start(
        &mut self,
        began: Instant,
        now: Instant,
        may_be_short: bool,
    ) -> Instant {
        let is_failure = !may_be_short && now.duration_since(began) < STEADY;
        self.failures = match is_failure {
            true => self.failures.saturating_add(1),
            false => 0,
        };
        let doubled = |failures: u32| INTERVAL.saturating_mul(1 << (failures - 1).min(16));
        let pause = match self.failures {
            0 => Duration::ZERO,
            failures => doubled(failures).min(LONGEST),
        };
        (now + pause).max(began + INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_pauses_of_a_program_that_fails_at_once_double() {
        let (mut pacing, now) = (Pacing::default(), Instant::now());
        let mut pause = || pacing.next_start(now, now, false) - now;
        let pauses: Vec<u128> = (0..9).map(|_| pause().as_millis()).collect();
        assert_eq!(
            pauses,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        for _ in 0..100 {
            assert_eq!(pause(), LONGEST);
        }
    }

    #[test]
    fn a_program_that_ran_for_long_starts_at_once() {
        let (mut pacing, began) = (Pacing::default(), Instant::now());
        pacing.next_start(began, began + SECOND, false);
        let now = began + STEADY;
        assert_eq!(pacing.next_start(began, now, false), now);
        // The count of failures begins again.
        let soon = now + SECOND;
        assert_eq!(pacing.next_start(now, soon, false) - soon, INTERVAL);
    }

    #[test]
    fn a_program_that_may_be_short_starts_at_most_ten_times_a_second() {
        let (mut pacing, began) = (Pacing::default(), Instant::now());
        for _ in 0..20 {
            assert_eq!(pacing.next_start(began, began, true), began + INTERVAL);
        }
        let now = began + SECOND;
        assert_eq!(pacing.next_start(began, now, true), now);
    }
}
