//! Measures round trips, throughput and connections of each family: plan, run and statistics.
//! Nothing here prints.
//!
//! The families take turns in short slices, so that other load affects all of them, and the first
//! slice of each is a warm-up that does not count. Each slice has its own connections, so that the
//! server of a family that is not measured is idle, even if it polls.

mod child;
mod clock;
mod connections;
mod datagrams;
mod hdr_log;
mod judge;
mod pace;
mod placement;
mod plan;
mod report;
mod rtt;
mod run;
mod samples;
mod server;
mod slice;
mod throughput;

pub(crate) use self::child::OwnServer;
pub(crate) use self::hdr_log::write_hdr_log;
pub(crate) use self::placement::{allowed_cpus, pin};
pub(crate) use self::plan::{BenchPlan, Job, Measure, ServerEnd};
pub(crate) use self::report::{BenchReport, Measurement, PlanSummary, Rates};
pub(crate) use self::run::{Progress, run};
pub(crate) use self::samples::Times;
pub(crate) use self::server::{Role, serve, serve_datagrams};
