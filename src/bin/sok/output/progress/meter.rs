//! The rates of a transfer.

use std::collections::VecDeque;
use std::time::Duration;

use sok::loops::Traffic;

/// The time that a rate is the mean of, as in curl.
const WINDOW: Duration = Duration::from_secs(5);

/// Bytes in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) sent: f64,
    pub(super) received: f64,
}

/// Measures the rates of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Meter(VecDeque<(Duration, Traffic)>);

impl Meter {
    /// One that measures from `now` on; the default begins at the start, without traffic.
    pub(super) fn starting(now: Duration, traffic: Traffic) -> Self {
        Self(VecDeque::from([(now, traffic)]))
    }

    /// The rates until `now`, a time since the start.
    pub(super) fn rates(&mut self, now: Duration, traffic: Traffic) -> Rates {
        // The count at the beginning of the window stays.
        while self.0.get(1).is_some_and(|(at, _)| now - *at >= WINDOW) {
            self.0.pop_front();
        }
        let (since, before) = self.0.front().copied().unwrap_or_default();
        self.0.push_back((now, traffic));
        let since_then = Traffic {
            sent: traffic.sent.saturating_sub(before.sent),
            received: traffic.received.saturating_sub(before.received),
            undelivered: 0,
        };
        mean(since_then, now - since)
    }
}

/// The rates of `traffic` in a time.
pub(super) fn mean(traffic: Traffic, time: Duration) -> Rates {
    #[allow(clippy::cast_precision_loss)]
    let rate = |count: u64| match time.as_secs_f64() {
        seconds if seconds > 0.0 => count as f64 / seconds,
        _ => 0.0,
    };
    Rates {
        sent: rate(traffic.sent),
        received: rate(traffic.received),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let mut meter = Meter::default();
        let mut at = |seconds: u64, sent: u64| {
            let traffic = Traffic {
                sent,
                received: 2 * sent,
                undelivered: 0,
            };
            let rates = meter.rates(Duration::from_secs(seconds), traffic);
            assert_eq!(rates.received.to_bits(), (2.0 * rates.sent).to_bits());
            rates.sent
        };
        let mut rates = vec![at(0, 0)];
        for second in 1..=5 {
            rates.push(at(second, 100 * second));
        }
        // Then nothing more is sent.
        for second in 6..=11 {
            rates.push(at(second, 500));
        }
        let wanted = [
            0.0, 100.0, 100.0, 100.0, 100.0, 100.0, 80.0, 60.0, 40.0, 20.0, 0.0, 0.0,
        ];
        assert_eq!(rates, wanted);
    }
}
