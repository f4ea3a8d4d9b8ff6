//! The number of system calls of a server for each connection. An unnecessary call reduces the
//! connections a second, which no other test would notice.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::support::{Place, Process, RawStream, Server, require_peer, required};

/// Two numbers of connections: the difference in calls is that of the additional connections.
const FEW: usize = 2;
const MANY: usize = 12;

/// The system calls of one connection: a client connects, sends a message, receives its echo and
/// closes, while this many others are open. Waits do not count, since one may return several events.
fn calls_of_one(place: &Place, command: &[&str], held: usize) -> Option<BTreeMap<String, f64>> {
    if !require_peer("strace") || !require_peer("setpriv") {
        return None;
    }
    let few = calls(place, command, FEW, held)?;
    let many = calls(place, command, MANY, held)?;
    let each = many.into_iter().map(|(name, count)| {
        let more = count - few.get(&name).copied().unwrap_or_default();
        (name, more / (MANY - FEW) as f64)
    });
    Some(each.filter(|(_, count)| *count > 0.0).collect())
}

fn calls(
    place: &Place,
    command: &[&str],
    connections: usize,
    held: usize,
) -> Option<BTreeMap<String, f64>> {
    let trace = place.path("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o"]).arg(&trace);
    // A process that loses its tracer would otherwise continue.
    strace.args(["setpriv", "--pdeathsig", "KILL", Process::PROGRAM]);
    strace.arg(command[0]).arg(place.word()).args(&command[1..]);
    strace
        .arg("--exit-after")
        .arg((connections + held).to_string());
    let process = Process::spawn(strace);
    let began = |text: &str| text.contains("listening on") || text.contains("strace:");
    let said = process.stderr().wait_until("a beginning", began);
    if !required("ptrace", !said.contains("strace:")) {
        return None;
    }
    let server = Server::of(process);
    let talk = || {
        let mut client = RawStream::connect(server.address());
        client.send(b"hello");
        assert_eq!(client.take(5), b"hello");
        client
    };
    let others: Vec<RawStream> = (0..held).map(|_| talk()).collect();
    (0..connections).for_each(|_| drop(talk()));
    drop(others);
    assert_eq!(server.wait(), 0, "{}", server.said());
    Some(counted(&trace))
}

/// The calls in a trace, by name.
fn counted(trace: &Path) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    let text = std::fs::read_to_string(trace).unwrap();
    for line in text.lines() {
        let call = line
            .split_once(' ')
            .map_or("", |(_, call)| call.trim_start());
        // `<... resumed>` is the second half of one that was counted.
        let Some((name, _)) = call.split_once('(').filter(|_| !call.starts_with('<')) else {
            continue;
        };
        // Memory is had for several connections at once, and a debug build looks at each descriptor
        // before it closes it.
        let is_left_out = ["epoll_wait", "futex", "brk", "mmap", "munmap"].contains(&name)
            || call.contains("F_GETFD)");
        let name = match name.starts_with("recv") && call.contains("EAGAIN") {
            true => EARLY,
            false => name,
        };
        if !is_left_out {
            *counts.entry(name.to_owned()).or_insert(0.0) += 1.0;
        }
    }
    counts
}

/// A receive that came before the bytes did: a server may be faster than its client.
const EARLY: &str = "early recv";

/// Asserts that there are at most `most` calls, and beside them `early` receives that came too early.
fn assert_few(calls: &BTreeMap<String, f64>, most: f64, early: f64) {
    let too_early = calls.get(EARLY).copied().unwrap_or_default();
    assert!(too_early <= early, "{calls:?}");
    let sum = calls.values().sum::<f64>() - too_early;
    assert!(sum <= most, "{sum} system calls, not {most}: {calls:?}");
}

families!(a_served_connection_costs_few_system_calls, |place| {
    let Some(calls) = calls_of_one(place, &["serve"], 0) else {
        return;
    };
    // accept4 and the one that finds no more, its registration and the end of it, two recv, send, close;
    // and who the peer is (AF_UNIX), or whether it reset after its end (TCP).
    assert_few(&calls, 9.0, 1.0);
});

families!(a_relayed_connection_costs_few_system_calls, |place| {
    let target = Server::start(place, &[]);
    let relay = ["relay", target.address(), "--threads", "1"];
    let Some(calls) = calls_of_one(place, &relay, 0) else {
        return;
    };
    // Beside those of a served one: the target's socket, connect, its registration and the end of it, two
    // recv, send, close, and two shutdown. TCP also asks for its own name, as it may have met itself, and
    // sets two options: no wait for an acknowledgement, and no pacing on loopback.
    assert_few(&calls, if place.is_network() { 23.0 } else { 19.0 }, 2.0);
});

families!(
    a_connection_is_registered_only_on_the_thread_that_serves_it,
    |place| {
        // The one that is held is served on the thread that accepts, and the others are not.
        let Some(calls) = calls_of_one(place, &["serve", "--threads", "2"], 1) else {
            return;
        };
        // Its registration and the end of it.
        let count = calls.get("epoll_ctl").copied().unwrap_or_default();
        assert!(count <= 2.0, "{calls:?}");
    }
);
