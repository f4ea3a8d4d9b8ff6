//! A run: the servers take turns, slice by slice.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sok::address::Address;
use sok::error::{Error, ErrorKind, Result};

use super::judge;
use super::placement::{allowed_cpus, pin};
use super::plan::{BenchPlan, Job, Measure};
use super::report::{BenchReport, Machine, Measurement, PlanSummary, Rates};
use super::rtt::no_reply;
use super::samples::Samples;
use super::slice::{Part, one_slice};

/// The progress of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress<'a> {
    /// The current measure.
    pub(crate) measure: Measure,
    /// The current server.
    pub(crate) address: &'a Address,
    /// The completed slices, including warm-ups.
    pub(crate) done: u64,
    /// The total of slices.
    pub(crate) all: u64,
    /// The messages, connections or bytes of this measure on this server so far.
    pub(crate) count: u64,
    /// The time that they took.
    pub(crate) seconds: f64,
}

/// The maximum length of the warm-up.
const WARM_UP: Duration = Duration::from_millis(250);

/// Measures the servers of each job in turns, and reports the start of each slice.
///
/// # Errors
/// A failure in the warm-up, or a server that does not fit the measure. A connection that fails
/// later is counted, and reported in the [report](BenchReport::failure).
pub(crate) fn run(
    plan: &BenchPlan,
    jobs: &[Job],
    mut tell: impl FnMut(Progress<'_>),
) -> Result<BenchReport> {
    // Before this thread is bound to one of them.
    let cpus = allowed_cpus().len();
    if let Some(cpu) = plan.cpu {
        pin(cpu)?;
    }
    let most = jobs.iter().map(|job| job.servers.len()).max();
    let (rounds, slice) = plan.slices(most.unwrap_or_default());
    let servers: usize = jobs.iter().map(|job| job.servers.len()).sum();
    let all = u64::from(rounds + 1) * servers as u64;
    let began = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut report = BenchReport {
        version: BenchReport::VERSION,
        began: began.unwrap_or_default().as_secs_f64(),
        machine: machine(cpus),
        plan: PlanSummary {
            connections: plan.connections,
            duration: plan.duration.as_secs_f64(),
            rate: plan.rate,
            spin: plan.spin,
            slices: rounds,
            client_cpu: plan.cpu,
        },
        results: Vec::new(),
        warnings: Vec::new(),
        failure: None,
    };
    let mut done = 0;
    let mut nagle = false;
    // Earlier results stay if a server stops or stalls.
    let mut gone = false;
    for job in jobs {
        let mut totals: Vec<Total> = job.servers.iter().map(|_| Total::default()).collect();
        'rounds: for round in 0..=rounds {
            let length = if round == 0 {
                slice.min(WARM_UP)
            } else {
                slice
            };
            for turn in 0..job.servers.len() {
                // The first one has a different predecessor each time.
                let index = (turn + round as usize) % job.servers.len();
                let server = &job.servers[index];
                tell(Progress {
                    measure: job.measure,
                    address: &server.address,
                    done,
                    all,
                    count: totals[index].count(job.measure),
                    seconds: totals[index].seconds,
                });
                let part = one_slice(plan, job.measure, server, length);
                done += 1;
                let mut part = match part {
                    Err(error) if round > 0 && ends_a_run(&error) => {
                        report.failure.get_or_insert(error);
                        gone = true;
                        break 'rounds;
                    }
                    part => part?,
                };
                if round == 0 && part.got_no_reply() {
                    return Err(no_reply(&server.address, plan, job.measure));
                }
                nagle |= part.delays_small_sends;
                let breaks = |error: &Error| round > 0 && ends_a_run(error);
                if let Some(fatal) = part.failures.iter().position(|error| !breaks(error)) {
                    return Err(part.failures.swap_remove(fatal));
                }
                let late = |error: &Error| error.kind() == ErrorKind::TimedOut;
                gone = part.failures.iter().any(late);
                if round > 0 {
                    totals[index].add(part, job.measure, &mut report.failure);
                }
                if gone {
                    break 'rounds;
                }
            }
        }
        let mut outcomes = outcomes(plan, job, totals);
        judge::compare(&mut outcomes);
        report.results.extend(outcomes);
        if gone {
            break;
        }
    }
    report.warnings = judge::warnings(plan, &report.results, nagle, cpus);
    Ok(report)
}

/// Whether an error is about a server that worked before, and has stopped or stalls.
fn ends_a_run(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Broken | ErrorKind::NoServer | ErrorKind::TimedOut
    )
}

fn machine(cpus: usize) -> Machine {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    Machine {
        cpus,
        kernel: release.unwrap_or_default().trim().to_owned(),
        architecture: std::env::consts::ARCH,
    }
}

/// The sum of a server's slices.
#[derive(Default)]
struct Total {
    samples: Samples,
    sends: u64,
    bytes: u64,
    /// Messages or bytes that did not arrive.
    lost: u64,
    /// Those that were lost without an error.
    lost_datagrams: u64,
    seconds: f64,
    rates: Vec<f64>,
    client: Duration,
    server: Option<Duration>,
    wall: f64,
    errors: u64,
    handshake: Option<Duration>,
}

impl Total {
    /// The messages, connections or bytes so far.
    fn count(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Throughput => self.bytes,
            Measure::Rtt | Measure::Connect => self.samples.count(),
        }
    }

    fn add(&mut self, part: Part, measure: Measure, failure: &mut Option<Error>) {
        for driven in &part.driven {
            self.samples.add(&driven.samples);
            self.lost += driven.unsent + driven.lost;
            self.lost_datagrams += driven.lost;
        }
        if measure != Measure::Throughput {
            // Each incomplete message had no echo.
            self.lost += part.failures.len() as u64;
        }
        let mut arrived = 0;
        for pushed in &part.pushed {
            self.sends += pushed.sends;
            let lost = pushed.sent.saturating_sub(pushed.received);
            self.lost += lost;
            self.lost_datagrams += lost;
            arrived += pushed.received;
        }
        self.bytes += arrived;
        self.seconds += part.seconds;
        self.rates.push(divided(arrived, part.seconds));
        self.client += part.client;
        if let Some(spent) = part.server {
            *self.server.get_or_insert_default() += spent;
        }
        self.wall += part.wall;
        self.handshake = self.handshake.into_iter().chain(part.handshake).min();
        self.errors += part.failures.len() as u64;
        if failure.is_none() {
            *failure = part.failures.into_iter().next();
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn divided(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

#[allow(clippy::cast_precision_loss)]
fn percent(lost: u64, arrived: u64) -> f64 {
    100.0 * divided(lost, (lost + arrived) as f64)
}

fn outcomes(plan: &BenchPlan, job: &Job, totals: Vec<Total>) -> Vec<Measurement> {
    let bulk = job.measure == Measure::Throughput;
    let each = job.servers.iter().zip(totals);
    each.map(|(server, total)| {
        let count = if bulk {
            total.sends
        } else {
            total.samples.count()
        };
        let rates = || Rates {
            min: total.rates.iter().copied().fold(f64::INFINITY, f64::min),
            mean: divided(total.bytes, total.seconds),
            max: total.rates.iter().copied().fold(0.0, f64::max),
        };
        let share = |spent: Duration| {
            if total.wall > 0.0 {
                spent.as_secs_f64() / total.wall
            } else {
                0.0
            }
        };
        let socket_type = server.address.socket_type();
        let arrived = if bulk { total.bytes } else { count };
        let lost_percent = match socket_type.has_connection() {
            true => None,
            false => Some(percent(total.lost_datagrams, arrived)),
        };
        Measurement {
            measure: job.measure,
            family: server.address.family(),
            socket_type,
            address: server.address.to_string(),
            own_server: server.own.is_some(),
            size: plan.size_of(job.measure),
            count,
            seconds: total.seconds,
            per_second: divided(count, total.seconds),
            relative: None,
            times: total.samples.times(),
            bytes: bulk.then_some(total.bytes),
            bytes_per_second: bulk.then(rates),
            errors: total.errors,
            dropped: total.lost,
            lost_percent,
            client_cpus: share(total.client),
            server_cpus: total.server.map(share),
            handshake: total.handshake,
            samples: total.samples,
        }
    })
    .collect()
}
