//! The results of a run.

use std::time::Duration;

use serde::Serialize;
use sok::address::{Family, SocketType};
use sok::error::Error;

use super::plan::Measure;
use super::samples::{Samples, Times};

/// All results of a run. The JSON form is stable: [`BenchReport::VERSION`] changes when a key
/// changes its meaning or is removed, not when one is added.
#[derive(Debug, Serialize)]
pub(crate) struct BenchReport {
    /// The version of this form.
    pub(crate) version: u32,
    /// The start, in seconds since 1970.
    pub(crate) began: f64,
    /// The machine.
    pub(crate) machine: Machine,
    /// The plan.
    pub(crate) plan: PlanSummary,
    /// The results, in the order of the measures and of the servers.
    pub(crate) results: Vec<Measurement>,
    /// Warnings about the results.
    pub(crate) warnings: Vec<String>,
    /// The first failure, which leaves some results incomplete.
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
    /// The number of processors that the run could use.
    pub(crate) cpus: usize,
    /// The release of the kernel.
    pub(crate) kernel: String,
    /// The instruction set.
    pub(crate) architecture: &'static str,
}

/// The plan of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlanSummary {
    /// Connections at once.
    pub(crate) connections: usize,
    /// The time to measure each family, for each measure, in seconds.
    pub(crate) duration: f64,
    /// Messages or connections started in a second, if on a schedule.
    pub(crate) rate: Option<f64>,
    /// Whether both ends polled in `rtt`.
    pub(crate) spin: bool,
    /// The number of slices.
    pub(crate) slices: u32,
    /// The processor of the client, if it was bound to one.
    pub(crate) client_cpu: Option<usize>,
}

/// The result of one measure on one server.
#[derive(Debug, Serialize)]
pub(crate) struct Measurement {
    /// What was measured.
    pub(crate) measure: Measure,
    /// The family, by name.
    #[serde(serialize_with = "by_name")]
    pub(crate) family: Family,
    /// The socket type, by name.
    #[serde(rename = "type", serialize_with = "type_by_name")]
    pub(crate) socket_type: SocketType,
    /// The server.
    pub(crate) address: String,
    /// Whether it was a child of this process.
    pub(crate) own_server: bool,
    /// The message size in bytes.
    pub(crate) size: usize,
    /// Round trips, connections, or sends.
    pub(crate) count: u64,
    /// Their time, in seconds.
    pub(crate) seconds: f64,
    /// Their number in a second.
    pub(crate) per_second: f64,
    /// The median time, or for `throughput` the rate, divided by that of the first server.
    pub(crate) relative: Option<f64>,
    /// The times of a round trip, or of a connection.
    pub(crate) times: Option<Times>,
    /// The bytes that the receiver counted.
    pub(crate) bytes: Option<u64>,
    /// The bytes in a second.
    pub(crate) bytes_per_second: Option<Rates>,
    /// Connections that failed after the warm-up.
    pub(crate) errors: u64,
    /// Messages without an echo, or that were due and never sent; for `throughput` the bytes that
    /// were sent and not received.
    pub(crate) dropped: u64,
    /// How many of a hundred datagrams were lost; without a connection, that is no failure.
    pub(crate) lost_percent: Option<f64>,
    /// The processors that the client used.
    pub(crate) client_cpus: f64,
    /// The processors that the server used, if it is ours.
    pub(crate) server_cpus: Option<f64>,
    /// The fastest handshake, for connections that are used: the network round trip, without the
    /// server.
    #[serde(skip)]
    pub(crate) handshake: Option<Duration>,
    /// All times, if there are any.
    #[serde(skip)]
    pub(crate) samples: Samples,
}

impl Measurement {
    /// The family and the type as an address has them: `unix`, `udp4`.
    #[must_use]
    pub(crate) fn form(&self) -> &'static str {
        self.family.prefix(self.socket_type)
    }
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

#[allow(clippy::trivially_copy_pass_by_ref)]
fn type_by_name<S: serde::Serializer>(one: &SocketType, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(one.name())
}
