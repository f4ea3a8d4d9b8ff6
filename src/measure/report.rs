//! What came out.

use std::time::Duration;

use serde::Serialize;

use super::plan::Measure;
use super::samples::{Samples, Times};
use crate::address::Family;
use crate::error::Error;

/// Everything that a run has measured. Its JSON form is stable: [`Report::VERSION`] changes when
/// a key changes its meaning or goes, not when one is added.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of this form.
    pub version: u32,
    /// When it began, in seconds since 1970.
    pub began: f64,
    /// Where it ran.
    pub machine: Machine,
    /// What was asked for.
    pub plan: Planned,
    /// What came out, in the order of the measures and in each of the servers.
    pub results: Vec<Outcome>,
    /// What to bear in mind when the results are read.
    pub warnings: Vec<String>,
    /// The first failure that some of the results lack something for.
    #[serde(skip)]
    pub failure: Option<Error>,
}

impl Report {
    /// The version of the JSON form.
    pub const VERSION: u32 = 1;
}

/// The machine of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// How many processors the run might use.
    pub cpus: usize,
    /// The release of the kernel.
    pub kernel: String,
    /// The instruction set.
    pub architecture: &'static str,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Planned {
    /// Connections at once.
    pub connections: usize,
    /// The time that each family is measured for each measure, in seconds.
    pub duration: f64,
    /// Messages or connections begun in a second, if on a schedule.
    pub rate: Option<f64>,
    /// Whether both ends polled in `rtt`.
    pub spin: bool,
    /// How many slices the time was cut into.
    pub slices: u32,
    /// The processor of the client, if it was bound to one.
    pub client_cpu: Option<usize>,
}

/// What came out of one measure on one server.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// What was measured.
    pub measure: Measure,
    /// The family, by name.
    #[serde(serialize_with = "by_name")]
    pub family: Family,
    /// The server.
    pub address: String,
    /// Whether it was a child of this process.
    pub own_server: bool,
    /// The bytes of a message.
    pub size: usize,
    /// Round trips, connections, or sends.
    pub count: u64,
    /// The time that they took, in seconds.
    pub seconds: f64,
    /// How many there were in a second.
    pub per_second: f64,
    /// Compared to the first server: the median time, or for `throughput` the rate, divided by
    /// that of the first.
    pub relative: Option<f64>,
    /// The times of a round trip (there and back), or of a connection.
    pub times: Option<Times>,
    /// The bytes that the receiver has counted.
    pub bytes: Option<u64>,
    /// How many of them there were in a second.
    pub bytes_per_second: Option<Rates>,
    /// Connections that failed after the warm-up.
    pub errors: u64,
    /// Messages that were sent without an echo or came due and were never sent; for `throughput`
    /// the bytes that were sent and not received.
    pub dropped: u64,
    /// How many processors the client kept busy.
    pub client_cpus: f64,
    /// How many processors the server kept busy, if it is ours.
    pub server_cpus: Option<f64>,
    /// The fastest handshake, where connections are made to be used: the way there and back
    /// without the server.
    #[serde(skip)]
    pub handshake: Option<Duration>,
    /// Each time, where there are times.
    #[serde(skip)]
    pub samples: Samples,
}

/// Rates in bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rates {
    /// Of the slowest slice.
    pub min: f64,
    /// Of all.
    pub mean: f64,
    /// Of the fastest slice.
    pub max: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn by_name<S: serde::Serializer>(family: &Family, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(family.name())
}
