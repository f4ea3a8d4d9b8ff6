//! Times, counted in a histogram.

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is recorded exactly, in nanoseconds: an hour.
const LONGEST: u64 = 3_600_000_000_000;
/// The number of exact digits of a time.
const DIGITS: u8 = 3;

/// Times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Times {
    /// The minimum.
    pub(crate) min_ns: u64,
    /// The mean.
    pub(crate) mean_ns: f64,
    /// The median.
    pub(crate) p50_ns: u64,
    /// The 90th percentile.
    pub(crate) p90_ns: u64,
    /// The 99th percentile.
    pub(crate) p99_ns: u64,
    /// The 99.9th percentile.
    pub(crate) p999_ns: u64,
    /// The maximum.
    pub(crate) max_ns: u64,
    /// The standard deviation.
    pub(crate) stdev_ns: f64,
}

/// Times in nanoseconds, exact to three digits.
#[derive(Debug, Clone)]
pub(crate) struct Samples {
    histogram: Histogram<u64>,
}

impl Default for Samples {
    fn default() -> Self {
        // Constants that are known to be valid.
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS)
            .or_else(|_| Histogram::new(DIGITS))
            .unwrap_or_else(|_| unreachable!("three digits are allowed"));
        Self { histogram }
    }
}

impl Samples {
    /// Records one time; a longer one counts as an hour.
    pub(crate) fn record(&mut self, nanos: u64) {
        self.histogram.saturating_record(nanos.max(1));
    }

    /// Adds the times of another one.
    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same bounds, so every time fits.
        let _ = self.histogram.add(&other.histogram);
    }

    /// How many times were counted.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The time that this share of all, from 0 to 1, does not exceed; 0 if there is none.
    #[must_use]
    pub(crate) fn at(&self, share: f64) -> u64 {
        self.histogram.value_at_quantile(share)
    }

    /// The histogram itself.
    #[must_use]
    pub(crate) const fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// The summary, if there are any times.
    #[must_use]
    pub(crate) fn times(&self) -> Option<Times> {
        (self.count() > 0).then(|| Times {
            min_ns: self.histogram.min(),
            mean_ns: self.histogram.mean(),
            p50_ns: self.at(0.5),
            p90_ns: self.at(0.9),
            p99_ns: self.at(0.99),
            p999_ns: self.at(0.999),
            max_ns: self.histogram.max(),
            stdev_ns: self.histogram.stdev(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, wanted: f64) -> bool {
        (value - wanted).abs() <= wanted / 1000.0
    }

    #[test]
    fn the_summary_is_that_of_the_samples() {
        let mut samples = Samples::default();
        for micros in 1..=1000 {
            samples.record(micros * 1000);
        }
        let times = samples.times().unwrap();
        assert_eq!(samples.count(), 1000);
        for (value, wanted) in [
            (times.min_ns, 1_000.0),
            (times.p50_ns, 500_000.0),
            (times.p90_ns, 900_000.0),
            (times.p99_ns, 990_000.0),
            (times.p999_ns, 999_000.0),
            (times.max_ns, 1_000_000.0),
        ] {
            #[allow(clippy::cast_precision_loss)]
            let value = value as f64;
            assert!(near(value, wanted), "{value} is not {wanted}");
        }
        assert!(near(times.mean_ns, 500_500.0), "{}", times.mean_ns);
        // For the numbers 1 to n, it is the root of (n² - 1) / 12.
        assert!(near(times.stdev_ns, 288_675.0), "{}", times.stdev_ns);
    }

    #[test]
    fn nothing_has_no_summary() {
        assert_eq!(Samples::default().times(), None);
    }

    #[test]
    fn samples_of_several_connections_are_one() {
        let (mut one, mut other) = (Samples::default(), Samples::default());
        one.record(10);
        other.record(30);
        one.add(&other);
        let times = one.times().unwrap();
        assert_eq!((one.count(), times.min_ns, times.max_ns), (2, 10, 30));
        assert!(near(times.mean_ns, 20.0));
    }

    #[test]
    fn more_than_an_hour_counts_as_an_hour() {
        let mut samples = Samples::default();
        samples.record(u64::MAX);
        let times = samples.times().unwrap();
        #[allow(clippy::cast_precision_loss)]
        let max = times.max_ns as f64;
        assert!(near(max, 3.6e12), "{max}");
    }
}
