//! One turn of a server: its connections, and their traffic.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::time::ClockId;
use nix::unistd::Pid;
use sok::error::{Error, Result};
use sok::net::Socket;

use super::clock::{Clock, MachineClock};
use super::connections::connect_on;
use super::datagrams::{push_counted, push_uncounted};
use super::pace::{Driven, Pace, Window, drive};
use super::plan::{BenchPlan, Measure, ServerEnd};
use super::rtt::Trip;
use super::server::STACK;
use super::throughput::{Pushed, push};

/// The results of one slice.
#[derive(Default)]
pub(super) struct Part {
    pub(super) driven: Vec<Driven>,
    pub(super) pushed: Vec<Pushed>,
    pub(super) seconds: f64,
    pub(super) client: Duration,
    pub(super) server: Option<Duration>,
    pub(super) wall: f64,
    pub(super) failures: Vec<Error>,
    pub(super) delays_small_sends: bool,
    /// The fastest handshake.
    pub(super) handshake: Option<Duration>,
}

impl Part {
    /// Whether messages were lost, and nothing else came of them.
    pub(super) fn got_no_reply(&self) -> bool {
        let lost: u64 = self.driven.iter().map(|one| one.lost).sum();
        lost > 0 && self.driven.iter().all(|one| one.samples.count() == 0)
    }
}

/// Runs one turn of `server` of about the length of `slice`.
///
/// # Errors
/// A failure at the start; a later one is in the [`Part`].
pub(super) fn one_slice(
    plan: &BenchPlan,
    measure: Measure,
    server: &ServerEnd,
    slice: Duration,
) -> Result<Part> {
    match measure {
        Measure::Throughput => push_slice(plan, server, slice),
        Measure::Rtt => {
            let connect = |_| Trip::connect(&server.address, plan, measure);
            let mut trips: Vec<Trip<'_>> =
                (0..plan.connections).map(connect).collect::<Result<_>>()?;
            let delays = trips.iter().any(Trip::delays_small_sends);
            let handshake = trips.iter().map(Trip::handshake).min();
            let mut part = timed_slice(
                plan,
                server,
                slice,
                &mut trips,
                |clock, when, trip, driven| {
                    drive(clock, when.0, when.1, driven, || trip.exchange())
                },
            )?;
            part.delays_small_sends = delays;
            part.handshake = handshake;
            Ok(part)
        }
        Measure::Connect => {
            let mut each = vec![(); plan.connections];
            timed_slice(plan, server, slice, &mut each, |clock, when, (), driven| {
                connect_on(clock, when, &server.address, plan, driven)
            })
        }
    }
}

/// This part of a slice comes first and does not count: caches and the scheduler still reflect the
/// family of the previous turn.
const LEAD_IN: u32 = 10;
/// Its maximum length.
const LEAD_IN_MAX: Duration = Duration::from_millis(25);
/// The time to start the thread of a connection.
const START: Duration = Duration::from_micros(40);

/// Runs `work` for each of `connections` on a separate thread.
fn timed_slice<T: Send>(
    plan: &BenchPlan,
    server: &ServerEnd,
    slice: Duration,
    connections: &mut [T],
    work: impl Fn(&MachineClock, (Window, Pace), &mut T, &mut Driven) -> Result<()> + Sync,
) -> Result<Part> {
    let clock = MachineClock::start();
    let count = connections.len() as u64;
    let begin = nanos(START) * count;
    let counted = begin + nanos((slice / LEAD_IN).min(LEAD_IN_MAX));
    let window = Window {
        begin,
        counted,
        end: counted + nanos(slice),
    };
    let used = Used::so_far(server);
    let (clock, work) = (&clock, &work);
    let each = thread::scope(|scope| {
        let mut running = Vec::new();
        for (index, connection) in (0..).zip(connections.iter_mut()) {
            let pace = pace(plan, index, count);
            let one = move || {
                let mut driven = Driven::default();
                let done = work(clock, (window, pace), connection, &mut driven);
                (driven, done.err())
            };
            let named = thread::Builder::new().stack_size(STACK);
            let started = named.spawn_scoped(scope, one);
            running.push(started.map_err(|error| no_thread(count, error))?);
        }
        running
            .into_iter()
            .map(|thread| thread.join().map_err(|_| no_thread(count, lost())))
            .collect::<Result<Vec<_>>>()
    })?;
    let wall = clock.now();
    let mut part = Part::default();
    (part.client, part.server) = used.since(server);
    part.wall = seconds(wall);
    for (driven, failure) in each {
        part.seconds = part.seconds.max(seconds(driven.nanos));
        part.driven.push(driven);
        part.failures.extend(failure);
    }
    Ok(part)
}

/// The schedule of one of `count` connections, which share the rate and take turns.
fn pace(plan: &BenchPlan, index: u64, count: u64) -> Pace {
    let Some(rate) = plan.rate else {
        return Pace::AtOnce;
    };
    #[allow(clippy::cast_precision_loss)]
    let share = Duration::try_from_secs_f64(count as f64 / rate).unwrap_or(Duration::MAX);
    let interval = nanos(share).max(1);
    Pace::Scheduled {
        offset: interval / count * index,
        interval,
    }
}

fn push_slice(plan: &BenchPlan, server: &ServerEnd, slice: Duration) -> Result<Part> {
    let size = plan.size_of(Measure::Throughput);
    let address = &server.address;
    let connect = |_| Socket::connect_blocking(address, plan.timeout);
    let sockets: Vec<Socket> = (0..plan.connections).map(connect).collect::<Result<_>>()?;
    let count = sockets.len() as u64;
    let stop = AtomicBool::new(false);
    let stop = &stop;
    let used = Used::so_far(server);
    let clock = MachineClock::start();
    let each = thread::scope(|scope| {
        let mut running = Vec::new();
        let mut failure = None;
        for socket in &sockets {
            let one = move || match (address.socket_type().has_connection(), server.own) {
                (true, own) => push(socket, address, size, own.is_some(), stop),
                (false, Some(_)) => push_counted(socket, (address, plan.timeout), size, stop),
                (false, None) => push_uncounted(socket, address, size, stop),
            };
            let named = thread::Builder::new().stack_size(STACK);
            match named.spawn_scoped(scope, one) {
                Ok(thread) => running.push(thread),
                Err(error) => failure = Some(no_thread(count, error)),
            }
        }
        if failure.is_none() {
            thread::sleep(slice);
        }
        stop.store(true, Ordering::Relaxed);
        let ended = running.into_iter().map(|thread| thread.join());
        let ended: Vec<Result<Pushed>> = ended
            .map(|one| one.unwrap_or_else(|_| Err(no_thread(count, lost()))))
            .collect();
        failure.map_or(Ok(ended), Err)
    })?;
    let wall = seconds(clock.now());
    let mut part = Part {
        seconds: wall,
        wall,
        ..Part::default()
    };
    (part.client, part.server) = used.since(server);
    for one in each {
        match one {
            Ok(pushed) => part.pushed.push(pushed),
            Err(error) => part.failures.push(error),
        }
    }
    Ok(part)
}

fn no_thread(count: u64, error: std::io::Error) -> Error {
    Error::new("start", format!("{count} threads"), error)
        .with_hint("use fewer --connections, or raise the process limit (ulimit -u)")
}

fn lost() -> std::io::Error {
    std::io::Error::other("a thread ended early")
}

/// The processor time of both ends at the start of a slice.
struct Used {
    client: Duration,
    server: Option<Duration>,
}

impl Used {
    fn so_far(server: &ServerEnd) -> Self {
        Self {
            client: spent(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap_or_default(),
            server: server.own.and_then(spent_by),
        }
    }

    fn since(&self, server: &ServerEnd) -> (Duration, Option<Duration>) {
        let now = Self::so_far(server);
        let server = now.server.zip(self.server);
        (
            now.client.saturating_sub(self.client),
            server.map(|(now, then)| now.saturating_sub(then)),
        )
    }
}

fn spent_by(process: u32) -> Option<Duration> {
    let pid = Pid::from_raw(i32::try_from(process).ok()?);
    spent(nix::time::clock_getcpuclockid(pid).ok()?)
}

fn spent(clock: ClockId) -> Option<Duration> {
    clock.now().ok().map(Duration::from)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}
