//! The plan: what to measure, and how.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use sok::address::Address;

use super::server::Role;

/// A measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Measure {
    /// The time of a message and its echo.
    Rtt,
    /// The bytes that arrive in a second.
    Throughput,
    /// The time until a new connection is served: a connect, a message and its echo, since a kernel
    /// completes connections that no server has accepted.
    Connect,
}

impl Measure {
    /// All measures.
    pub(crate) const ALL: [Self; 3] = [Self::Rtt, Self::Throughput, Self::Connect];

    /// Its name.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rtt => "rtt",
            Self::Throughput => "throughput",
            Self::Connect => "connect",
        }
    }

    /// The default size of a message in bytes.
    #[must_use]
    pub(crate) const fn usual_size(self) -> usize {
        match self {
            Self::Rtt | Self::Connect => 64,
            Self::Throughput => 64 * 1024,
        }
    }

    /// The role of our own server for it.
    #[must_use]
    pub(crate) const fn role(self) -> Role {
        match self {
            Self::Rtt => Role::Echo,
            Self::Throughput => Role::Sink,
            Self::Connect => Role::Accept,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The options of a measurement.
#[derive(Debug, Clone)]
pub(crate) struct BenchPlan {
    /// The message size, or the [usual](Measure::usual_size) one.
    pub(crate) size: Option<usize>,
    /// The size of the largest message that all servers take.
    pub(crate) longest: usize,
    /// The number of concurrent connections, one thread each.
    pub(crate) connections: usize,
    /// The time to measure each family, without warm-up and preparations.
    pub(crate) duration: Duration,
    /// The messages or connections to start in a second, on all connections together; each is timed
    /// from its scheduled start. Without it, each starts when the previous one is complete.
    pub(crate) rate: Option<f64>,
    /// Whether both ends of [`Measure::Rtt`] poll their sockets, and never sleep.
    pub(crate) spin: bool,
    /// The processor of the client.
    pub(crate) cpu: Option<usize>,
    /// The time limit for each operation of the server.
    pub(crate) timeout: Duration,
}

/// The maximum length of a slice, as a share of the duration. The scheduler takes some tens of
/// milliseconds to place the two ends, and a pair that runs long stays in place.
const SLICE: Duration = Duration::from_millis(250);
/// The same for a single server.
const SLICE_ALONE: Duration = Duration::from_secs(1);
/// The time that a connection adds to a slice: about what it takes to make one.
const SLICE_PER_CONNECTION: Duration = Duration::from_micros(100);
/// The minimum of scheduled messages for each connection in a slice.
const PER_SLICE: f64 = 10.0;
/// The minimum of turns for each of several servers, if there is enough time.
const ROUNDS: u32 = 4;

impl BenchPlan {
    /// The message size of `measure`: the same for all servers, so that they compare.
    #[must_use]
    pub(crate) fn size_of(&self, measure: Measure) -> usize {
        self.size.unwrap_or_else(|| {
            let mut size = measure.usual_size();
            while size > self.longest {
                size /= 2;
            }
            size
        })
    }

    /// Whether both ends poll in `measure`. Throughput does not depend on the scheduler, and
    /// connect needs it.
    #[must_use]
    pub(crate) fn polls(&self, measure: Measure) -> bool {
        self.spin && measure == Measure::Rtt
    }

    /// The number of counted slices for each server, and their length.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn slices(&self, servers: usize) -> (u32, Duration) {
        let (turns, slice) = match servers {
            ..=1 => (1, SLICE_ALONE),
            _ => (ROUNDS, SLICE),
        };
        let connections = u32::try_from(self.connections).unwrap_or(u32::MAX);
        let preparing = SLICE_PER_CONNECTION.saturating_mul(connections);
        let scheduled = self
            .rate
            .map(|rate| self.connections as f64 / rate * PER_SLICE);
        let scheduled = scheduled.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let shortest = scheduled.unwrap_or_default().max(preparing);
        let shortest = shortest.max(Duration::from_nanos(1));
        let longest = slice.saturating_add(preparing).max(shortest);
        let slice = (self.duration / turns).clamp(shortest, longest);
        let rounds = (self.duration.as_secs_f64() / slice.as_secs_f64()).round();
        // A cast of a float saturates.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rounds = (rounds as u32).max(1);
        (rounds, self.duration / rounds)
    }
}

/// A measured server.
#[derive(Debug, Clone)]
pub(crate) struct ServerEnd {
    /// Its address.
    pub(crate) address: Address,
    /// Its process, if it is [ours](super::OwnServer).
    pub(crate) own: Option<u32>,
}

/// One measure, on each of the servers.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// What is measured.
    pub(crate) measure: Measure,
    /// The servers; the others are compared with the first.
    pub(crate) servers: Vec<ServerEnd>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(millis: u64, connections: usize) -> (u32, Duration) {
        at_rate(millis, connections, None)
    }

    fn at_rate(millis: u64, connections: usize, rate: Option<f64>) -> (u32, Duration) {
        let plan = BenchPlan {
            size: None,
            longest: usize::MAX,
            connections,
            duration: Duration::from_millis(millis),
            rate,
            spin: false,
            cpu: None,
            timeout: Duration::from_secs(5),
        };
        plan.slices(3)
    }

    #[test]
    fn slices_are_short_and_add_up_to_the_duration() {
        assert_eq!(slices(1000, 1), (4, Duration::from_millis(250)));
        assert_eq!(slices(100, 1), (4, Duration::from_millis(25)));
        let (rounds, slice) = slices(60_000, 1);
        assert_eq!(rounds, 240);
        assert!((slice * rounds).abs_diff(Duration::from_secs(60)) < Duration::from_micros(1));
    }

    #[test]
    fn a_single_server_takes_no_turns() {
        let plan = |millis| BenchPlan {
            size: None,
            longest: usize::MAX,
            connections: 1,
            duration: Duration::from_millis(millis),
            rate: None,
            spin: false,
            cpu: None,
            timeout: Duration::from_secs(5),
        };
        assert_eq!(plan(500).slices(1), (1, Duration::from_millis(500)));
        assert_eq!(plan(10_000).slices(1).0, 10);
    }

    #[test]
    fn a_slice_is_long_enough_for_its_connections() {
        assert_eq!(slices(1000, 10_000), (1, Duration::from_secs(1)));
        assert_eq!(slices(12_500, 10_000).0, 10);
        assert_eq!(slices(1, 10_000).0, 1);
    }

    #[test]
    fn a_slice_is_long_enough_for_the_schedule() {
        assert_eq!(at_rate(1000, 1, Some(1000.0)).0, 4);
        assert_eq!(at_rate(10_000, 1, Some(10.0)), (10, Duration::from_secs(1)));
        assert_eq!(at_rate(10_000, 5, Some(10.0)).0, 2);
        assert_eq!(at_rate(1000, 1, Some(2.0)), (1, Duration::from_secs(1)));
    }
}
