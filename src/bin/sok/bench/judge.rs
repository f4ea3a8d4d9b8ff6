//! Interprets the results: comparisons and warnings.

use std::fs;
use std::time::Duration;

use sok::net::ListenOptions;

use super::plan::BenchPlan;
use super::report::Measurement;
use super::samples::Times;

/// An end that used more than this share of its processors was fully busy.
const BUSY: f64 = 0.95;
/// An end that used less waited for the other one.
const WAITING: f64 = 0.85;

/// Compares each outcome with the first.
pub(super) fn compare(outcomes: &mut [Measurement]) {
    let Some(first) = outcomes.first().and_then(essence) else {
        return;
    };
    for outcome in outcomes {
        outcome.relative = essence(outcome).map(|own| own / first);
    }
}

/// The figure by which outcomes are compared.
fn essence(outcome: &Measurement) -> Option<f64> {
    #[allow(clippy::cast_precision_loss)]
    let median = |times: Times| times.p50_ns as f64;
    let rate = outcome.bytes_per_second.map(|rates| rates.mean);
    rate.or_else(|| outcome.times.map(median))
        .filter(|figure| *figure > 0.0)
}

/// The warnings for a machine with `cpus` processors; `nagle` if the client delays small pieces.
pub(super) fn warnings(
    plan: &BenchPlan,
    outcomes: &[Measurement],
    nagle: bool,
    cpus: usize,
) -> Vec<String> {
    let mut all = Vec::new();
    for outcome in outcomes {
        if bound_by_client(plan, outcome, cpus) {
            all.push(format!(
                "{} over {} is limited by the client, which used {:.2} of its processors: the server may be faster",
                outcome.measure, outcome.form(), outcome.client_cpus
            ));
        }
        if plan.connections <= FEW && waits_for_acknowledgements(outcome) {
            all.push(format!(
                "{} over {} shows delayed acknowledgements (40 ms): the server probably uses Nagle (no TCP_NODELAY) and sends a reply in pieces",
                outcome.measure, outcome.form()
            ));
        }
    }
    if nagle {
        all.push(
            "the client uses Nagle (no TCP_NODELAY): small messages wait for acknowledgements"
                .to_owned(),
        );
    }
    let own = outcomes.iter().any(|outcome| outcome.own_server);
    let connects = |one: &Measurement| one.socket_type.has_connection();
    if outcomes.iter().any(connects) {
        all.extend(backlog_warning(plan.connections, own, largest_backlog()));
    }
    let ends = plan.connections + if own { plan.connections } else { 0 };
    let polled = outcomes.iter().any(|one| plan.polls(one.measure));
    if polled && ends > cpus {
        all.push(format!(
            "{ends} threads poll on {cpus} processors and slow each other down; use fewer --connections"
        ));
    }
    all
}

/// With more connections than this, they may delay each other.
const FEW: usize = 16;

/// Whether the client was fully busy, while the server was not.
fn bound_by_client(plan: &BenchPlan, outcome: &Measurement, cpus: usize) -> bool {
    // A polling end is always busy.
    if plan.polls(outcome.measure) {
        return false;
    }
    let own = if plan.cpu.is_some() { 1 } else { cpus };
    #[allow(clippy::cast_precision_loss)]
    let most = plan.connections.min(own) as f64;
    // Our server of datagrams is one thread.
    let of_server = match outcome.socket_type.has_connection() {
        true => most,
        false => 1.0,
    };
    let server_waits = outcome
        .server_cpus
        .is_none_or(|busy| busy < WAITING * of_server);
    outcome.client_cpus >= BUSY * most && server_waits
}

/// Whether the times show Linux's delayed acknowledgement of 40 ms. An end that uses Nagle sends
/// the second piece of a reply only once the first is acknowledged. The option of the other end
/// cannot be read, but shows in the times: the handshake is fast, while a round trip takes a little
/// over 40 ms.
fn waits_for_acknowledgements(outcome: &Measurement) -> bool {
    let delayed = |nanos: u64| (38_000_000..60_000_000).contains(&nanos);
    let near = |handshake: Duration| handshake < Duration::from_millis(10);
    let is_stream = !outcome.socket_type.keeps_messages();
    (is_stream && outcome.family.facts().may_delay_small_sends)
        && outcome.handshake.is_some_and(near)
        && outcome.times.is_some_and(|times| delayed(times.p50_ns))
}

/// The maximum backlog of any server; see `listen(2)`.
fn largest_backlog() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?;
    text.trim().parse().ok()
}

fn backlog_warning(connections: usize, own: bool, largest: Option<u64>) -> Option<String> {
    let ours = u64::from(ListenOptions::default().backlog);
    let backlog = match own {
        true => largest.unwrap_or(ours).min(ours),
        false => largest?,
    };
    (connections as u64 > backlog).then(|| {
        format!(
            "{connections} connections exceed the backlog of {backlog} (net.core.somaxconn): some wait or are refused"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::plan::Measure;
    use crate::bench::report::Rates;
    use crate::bench::samples::Samples;
    use sok::address::{Family, SocketType};

    fn plan() -> BenchPlan {
        BenchPlan {
            size: None,
            longest: usize::MAX,
            connections: 1,
            duration: Duration::from_secs(1),
            rate: None,
            spin: false,
            cpu: None,
            timeout: Duration::from_secs(5),
        }
    }

    fn outcome(family: Family, millis: u64) -> Measurement {
        let mut samples = Samples::default();
        samples.record(millis * 1_000_000);
        Measurement {
            measure: Measure::Rtt,
            family,
            socket_type: SocketType::Stream,
            address: String::new(),
            own_server: true,
            size: 64,
            count: 1,
            seconds: 1.0,
            per_second: 1.0,
            relative: None,
            times: samples.times(),
            bytes: None,
            bytes_per_second: None,
            errors: 0,
            dropped: 0,
            lost_percent: None,
            client_cpus: 0.5,
            server_cpus: Some(0.5),
            handshake: Some(Duration::from_micros(100)),
            samples,
        }
    }

    #[test]
    fn outcomes_are_compared_by_median_and_throughput_by_rate() {
        let mut trips = [outcome(Family::Inet, 40), outcome(Family::Unix, 10)];
        compare(&mut trips);
        assert_eq!(trips[0].relative, Some(1.0));
        let relative = trips[1].relative.unwrap();
        assert!((relative - 0.25).abs() < 0.001, "{relative}");
        for (one, mean) in trips.iter_mut().zip([2.0, 6.0]) {
            one.bytes_per_second = Some(Rates {
                min: 1.0,
                mean,
                max: 9.0,
            });
        }
        compare(&mut trips);
        assert_eq!(trips[1].relative, Some(3.0));
    }

    #[test]
    fn a_busy_client_is_reported_only_with_an_idle_server() {
        let mut busy = outcome(Family::Unix, 1);
        busy.client_cpus = 0.99;
        assert!(bound_by_client(&plan(), &busy, 2));
        busy.server_cpus = Some(0.97);
        assert!(!bound_by_client(&plan(), &busy, 2));
        busy.server_cpus = None;
        assert!(bound_by_client(&plan(), &busy, 2));
        let polling = BenchPlan {
            spin: true,
            ..plan()
        };
        assert!(!bound_by_client(&polling, &busy, 2));
        let many = BenchPlan {
            connections: 9,
            ..plan()
        };
        assert!(!bound_by_client(&many, &busy, 2));
        let placed = BenchPlan {
            cpu: Some(0),
            ..many
        };
        assert!(bound_by_client(&placed, &busy, 2));
    }

    #[test]
    fn forty_milliseconds_over_tcp_are_a_delayed_acknowledgement() {
        assert!(waits_for_acknowledgements(&outcome(Family::Inet, 41)));
        assert!(!waits_for_acknowledgements(&outcome(Family::Inet, 4)));
        assert!(!waits_for_acknowledgements(&outcome(Family::Inet, 400)));
        assert!(!waits_for_acknowledgements(&outcome(Family::Unix, 41)));
        let mut far = outcome(Family::Inet, 41);
        far.handshake = Some(Duration::from_millis(40));
        assert!(!waits_for_acknowledgements(&far));
    }

    #[test]
    fn more_connections_than_the_backlog_get_a_warning() {
        assert_eq!(backlog_warning(4096, true, Some(4096)), None);
        let warning = backlog_warning(4097, true, Some(100_000)).unwrap();
        assert!(warning.contains("the backlog of 4096"), "{warning}");
        let warning = backlog_warning(200, false, Some(128)).unwrap();
        assert!(warning.contains("the backlog of 128"), "{warning}");
        assert_eq!(backlog_warning(200, false, None), None);
    }
}
