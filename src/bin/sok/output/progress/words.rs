//! The text of a line of progress.

use std::time::Duration;

use humantime::format_duration;
use sok::loops::Traffic;

use super::meter::Rates;
use crate::bench::{Measure, Progress as Measured};
use crate::output::bench::{bytes_per_second, decimal_bytes};
use crate::output::table::bar_of;

/// The width of the bar.
const BAR: usize = 20;
/// A time left above this says nothing.
const LONGEST: f64 = 1e7;

/// What has been transferred.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    /// The bytes of all connections so far.
    pub(crate) traffic: Traffic,
    /// The bytes sent on the open ones.
    pub(crate) current: u64,
    /// How many those will be, if that is known.
    pub(crate) total: Option<u64>,
    /// The number of those; without one, nothing is shown.
    pub(crate) open: usize,
}

/// What a line says.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// How much is done, if that is known.
    share: Option<f64>,
    words: Vec<String>,
}

impl Words {
    /// Those of a transfer.
    pub(super) fn during(count: Count, rates: Rates, elapsed: Duration) -> Self {
        let left = count
            .total
            .and_then(|total| total.checked_sub(count.current))
            .filter(|left| *left > 0);
        #[allow(clippy::cast_precision_loss)]
        let time = match left {
            Some(left) => time_left(left as f64 / rates.sent),
            None => Some(seconds(elapsed)),
        };
        Self::of(count, rates, time)
    }

    /// Those of a transfer that has ended, with its mean rates.
    pub(super) fn after(count: Count, rates: Rates, elapsed: Duration) -> Self {
        Self::of(count, rates, Some(seconds(elapsed)))
    }

    fn of(count: Count, rates: Rates, time: Option<String>) -> Self {
        let Traffic { sent, received, .. } = count.traffic;
        // A file may have grown.
        let total = count.total.filter(|total| *total >= count.current.max(1));
        let now = decimal_bytes(count.current);
        let mut words = Vec::new();
        if let Some(total) = total {
            words.push(format!("{now} of {}", decimal_bytes(total)));
        } else if sent > 0 || received == 0 {
            words.push(format!("sent {now}"));
        }
        if !words.is_empty() {
            words.push(bytes_per_second(rates.sent));
        }
        if received > 0 {
            words.push(format!("received {}", decimal_bytes(received)));
            words.push(bytes_per_second(rates.received));
        }
        words.extend(time);
        if count.open > 1 {
            words.push(format!("{} connections", count.open));
        }
        #[allow(clippy::cast_precision_loss)]
        let share = total.map(|total| count.current as f64 / total as f64);
        Self { share, words }
    }

    /// Those of a measurement.
    pub(super) fn measuring(now: Measured<'_>, elapsed: Duration) -> Self {
        #[allow(clippy::cast_precision_loss)]
        let share = now.done as f64 / now.all.max(1) as f64;
        let mut words = vec![format!("{} over {}", now.measure, now.address.family())];
        if now.count > 0 && now.seconds > 0.0 {
            #[allow(clippy::cast_precision_loss)]
            let rate = now.count as f64 / now.seconds;
            words.extend(match now.measure {
                Measure::Throughput => [decimal_bytes(now.count), bytes_per_second(rate)],
                Measure::Rtt => [format!("{} messages", now.count), format!("{rate:.0}/s")],
                Measure::Connect => [format!("{} connections", now.count), format!("{rate:.0}/s")],
            });
        }
        words.extend(time_left(elapsed.as_secs_f64() * (1.0 - share) / share));
        let share = Some(share);
        Self { share, words }
    }

    /// The line; a narrow terminal gets no bar, and then what fits.
    pub(super) fn fitting(&self, columns: usize) -> String {
        let words = self.words.join("  ");
        let percent = self.share.map(|share| format!("{:3.0}%", share * 100.0));
        let bar = self
            .share
            .map(|share| format!("{:BAR$}", bar_of(share, BAR)));
        let joined = |parts: &[Option<&str>]| {
            let parts = parts.iter().copied().flatten();
            parts.collect::<Vec<_>>().join("  ")
        };
        let with_bar = joined(&[bar.as_deref(), percent.as_deref(), Some(&words)]);
        // The last column stays free: some terminals go to the next line after it.
        if with_bar.chars().count() < columns {
            return with_bar;
        }
        let without = joined(&[percent.as_deref(), Some(&words)]);
        without.chars().take(columns.saturating_sub(1)).collect()
    }
}

/// A time in whole seconds.
fn seconds(time: Duration) -> String {
    format_duration(Duration::from_secs(time.as_secs())).to_string()
}

fn time_left(left: f64) -> Option<String> {
    let is_known = (0.0..LONGEST).contains(&left);
    is_known.then(|| format!("{} left", seconds(Duration::from_secs_f64(left.ceil()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn during(sent: u64, received: u64, total: Option<u64>, rate: f64) -> Words {
        let count = Count {
            traffic: Traffic {
                sent,
                received,
                undelivered: 0,
            },
            current: sent,
            total,
            open: 1,
        };
        let rates = Rates {
            sent: rate,
            received: rate / 2.0,
        };
        Words::during(count, rates, Duration::from_millis(65_500))
    }

    #[test]
    fn a_known_total_gives_the_share_and_the_time_left() {
        let line = during(250_000_000, 0, Some(1_000_000_000), 1e6).fitting(80);
        let wanted = "█████                  25%  250 MB of 1.00 GB  1.00 MB/s  12m 30s left";
        assert_eq!(line, wanted);
    }

    #[test]
    fn without_a_total_the_line_says_how_long_it_took_so_far() {
        let line = |sent, received| during(sent, received, None, 2e3).fitting(80);
        assert_eq!(line(5_000, 0), "sent 5.00 kB  2.00 kB/s  1m 5s");
        assert_eq!(line(0, 5_000), "received 5.00 kB  1.00 kB/s  1m 5s");
        assert_eq!(
            line(1, 2),
            "sent 1 B  2.00 kB/s  received 2 B  1.00 kB/s  1m 5s"
        );
        assert_eq!(line(0, 0), "sent 0 B  2.00 kB/s  1m 5s");
    }

    #[test]
    fn no_time_is_left_at_the_end_or_known_without_a_rate() {
        let line = |sent, rate| during(sent, 0, Some(10), rate).fitting(80);
        assert!(line(10, 5.0).ends_with("1m 5s"), "{}", line(10, 5.0));
        assert!(line(5, 0.0).ends_with("0 B/s"), "{}", line(5, 0.0));
        // The file has grown.
        assert_eq!(line(11, 5.0), "sent 11 B  5.00 B/s  1m 5s");
    }

    #[test]
    fn a_narrow_terminal_gets_no_bar_and_no_second_line() {
        let words = during(5, 0, Some(10), 1.0);
        assert_eq!(words.fitting(50), " 50%  5 B of 10 B  1.00 B/s  5s left");
        assert_eq!(words.fitting(20), " 50%  5 B of 10 B  ");
        assert_eq!(words.fitting(0), "");
    }
}
