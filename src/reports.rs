//! Limits the number of reports that peers can cause.

use std::time::Duration;

use tokio::time::Instant;

/// In each period of this length, [`IN_FULL`] events are reported, and the others counted.
const PERIOD: Duration = Duration::from_secs(1);
const IN_FULL: u64 = 10;

/// The events of one kind, such as failed connections, since the last full report. A period begins with
/// an event: without one there is nothing to wait for.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    ends: Option<Instant>,
    in_full: u64,
    left_out: u64,
}

impl Reports {
    /// Counts an event; returns whether to report it.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        if self.ends.is_none_or(|ends| now >= ends) {
            self.ends = Some(now + PERIOD);
            self.in_full = 0;
        }
        let admitted = self.in_full < IN_FULL;
        match admitted {
            true => self.in_full += 1,
            false => self.left_out += 1,
        }
        admitted
    }

    /// When to report the number of unreported events, if there are any.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.ends.filter(|_| self.left_out > 0)
    }

    /// The number of unreported events, if any; resets it.
    pub(crate) fn take_left_out(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.left_out)).filter(|count| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_events_a_second_are_reported_and_the_others_summed_up_at_its_end() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let mut events = Reports::default();
        assert_eq!(events.due(), None);
        let reported = |events: &mut Reports, millis, count| {
            let admitted = (0..count).filter(|_| events.admit(at(millis)));
            admitted.count()
        };
        assert_eq!(reported(&mut events, 0, 3), 3);
        // All of them are reported: no timer is needed.
        assert_eq!(events.due(), None);
        assert_eq!(reported(&mut events, 500, 4000), 7);
        assert_eq!(events.due(), Some(at(1000)));
        assert_eq!(reported(&mut events, 999, 1000), 0);
        assert_eq!(events.take_left_out(), Some(4993));
        assert_eq!((events.due(), events.take_left_out()), (None, None));
        // The next period begins with its first event, however late that is.
        assert_eq!(reported(&mut events, 5400, 11), 10);
        assert_eq!(events.due(), Some(at(6400)));
        assert_eq!(events.take_left_out(), Some(1));
    }
}
