//! What came out.

use std::time::Duration;

use serde::Serialize;
use sok::address::Family;
use sok::error::Error;

use super::plan::Measure;
use super::samples::{Samples, Times};

/// Everything that a run has measured. Its JSON form is stable: [`BenchReport::VERSION`] changes when
/// a key changes its meaning or goes, not when one is added.
#[derive(Debug, Serialize)]
pub(crate) struct BenchReport {
    /// The version of this form.
    pub(crate) version: u32,
    /// When it began, in seconds since 1970.
    pub(crate) began: f64,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// What was asked for.
    pub(crate) plan: PlanSummary,
    /// What came out, in the order of the measures and in each of the servers.
    pub(crate) results: Vec<Measurement>,
    /// What to bear in mind when the results are read.
    pub(crate) warnings: Vec<String>,
    /// The first failure that some of the results lack something for.
    #[serde(skip)]
    pub(crate) failure: Option<Error>,
}

impl BenchReport {
    /// The version of the JSON form.
    pub(crate) const VERSION: u32 = 1;
}

/// The machine of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// How many processors the run might use.
    pub(crate) cpus: usize,
    /// The release of the kernel.
    pub(crate) kernel: String,
    /// The instruction set.
    pub(crate) architecture: &'static str,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlanSummary {
    /// Connections at once.
    pub(crate) connections: usize,
    /// The time that each family is measured for each measure, in seconds.
    pub(crate) duration: f64,
    /// Messages or connections begun in a second, if on a schedule.
    pub(crate) rate: Option<f64>,
    /// Whether both ends polled in `rtt`.
    pub(crate) spin: bool,
    /// How many slices the time was cut into.
    pub(crate) slices: u32,
    /// The processor of the client, if it was bound to one.
    pub(crate) client_cpu: Option<usize>,
}

/// What came out of one measure on one server.
#[derive(Debug, Serialize)]
pub(crate) struct Measurement {
    /// What was measured.
    pub(crate) measure: Measure,
    /// The family, by name.
    #[serde(serialize_with = "by_name")]
    pub(crate) family: Family,
    /// The server.
    pub(crate) address: String,
    /// Whether it was a child of this process.
    pub(crate) own_server: bool,
    /// The bytes of a message.
    pub(crate) size: usize,
    /// Round trips, connections, or sends.
    pub(crate) count: u64,
    /// The time that they took, in seconds.
    pub(crate) seconds: f64,
    /// How many there were in a second.
    pub(crate) per_second: f64,
    /// Compared to the first server: the median time, or for `throughput` the rate, divided by
    /// that of the first.
    pub(crate) relative: Option<f64>,
    /// The times of a round trip (there and back), or of a connection.
    pub(crate) times: Option<Times>,
    /// The bytes that the receiver has counted.
    pub(crate) bytes: Option<u64>,
    /// How many of them there were in a second.
    pub(crate) bytes_per_second: Option<Rates>,
    /// Connections that failed after the warm-up.
    pub(crate) errors: u64,
    /// Messages that were sent without an echo or came due and were never sent; for `throughput`
    /// the bytes that were sent and not received.
    pub(crate) dropped: u64,
    /// How many processors the client kept busy.
    pub(crate) client_cpus: f64,
    /// How many processors the server kept busy, if it is ours.
    pub(crate) server_cpus: Option<f64>,
    /// The fastest handshake, where connections are made to be used: the way there and back
    /// without the server.
    #[serde(skip)]
    pub(crate) handshake: Option<Duration>,
    /// Each time, where there are times.
    #[serde(skip)]
    pub(crate) samples: Samples,
}

/// Rates in bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Rates {
    /// Of the slowest slice.
    pub(crate) min: f64,
    /// Of all.
    pub(crate) mean: f64,
    /// Of the fastest slice.
    pub(crate) max: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn by_name<S: serde::Serializer>(family: &Family, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(family.name())
}
