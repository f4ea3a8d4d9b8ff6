//! Many peers that do not read: each waits for room, and that costs nothing.

use std::io::{ErrorKind, Write};
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::support::{LIMIT, Place, Process, RawStream, Server, noise, resident_kib, sok};

/// More than the descriptors that a server could spare for their waits.
fn enough(place: &Place) -> usize {
    // A network's sockets buffer several megabytes each.
    if place.is_network() { 4 } else { 300 }
}

fn start(place: &Place, options: &str) -> Server {
    let script = format!(r#"ulimit -n 400; exec "$SOK" serve "$1" {options}"#);
    Server::of(Process::sh(&script, &[&place.word()]))
}

fn round_trip(client: &mut RawStream) {
    client.send(b"ping\n");
    assert_eq!(client.take(5), b"ping\n");
}

/// Clients that have sent until the server, which waits for room, took no more; and how many bytes
/// it took of each.
fn stalled(server: &Server, count: usize, other: &mut RawStream) -> Vec<(RawStream, usize)> {
    let chunk = noise(256 * 1024);
    let client = |_| {
        let client = RawStream::connect(server.address());
        client.socket().set_nonblocking(true).unwrap();
        (client, 0)
    };
    let mut clients: Vec<(RawStream, usize)> = (0..count).map(client).collect();
    let mut refused = 0;
    while refused < 10 {
        refused += 1;
        for (client, sent) in &mut clients {
            match client.write(&chunk) {
                Ok(count) => (*sent, refused) = (*sent + count, 0),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("after {sent} bytes: {error}"),
            }
        }
        round_trip(other);
    }
    for (client, _) in &clients {
        client.socket().set_nonblocking(false).unwrap();
    }
    clients
}

/// How often the process has gone to sleep.
fn sleeps(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
        .unwrap();
    line.trim().parse().unwrap()
}

fn descriptors(server: &Server) -> usize {
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid()));
    open.unwrap().count()
}

families!(peers_that_never_read_cost_nothing, |place| {
    let server = start(place, "");
    let mut other = RawStream::connect(server.address());
    let _deaf = stalled(&server, enough(place), &mut other);
    // TCP may still move data that was sent: then it sleeps until the next request.
    let end = Instant::now() + LIMIT;
    let mut seen = sleeps(&server);
    loop {
        assert_eq!(sok(&["--version"]).code, 0);
        let now = sleeps(&server);
        if now == seen {
            break;
        }
        assert!(Instant::now() < end, "it never sleeps");
        seen = now;
    }
    for _ in 0..30 {
        assert_eq!(sok(&["--version"]).code, 0);
    }
    let woken = sleeps(&server) - seen;
    assert!(woken < 10, "woken {woken} times, and nobody asked");
    round_trip(&mut other);
});

families!(peers_that_read_again_get_all_their_data, |place| {
    let server = start(place, "");
    let mut other = RawStream::connect(server.address());
    for (mut client, sent) in stalled(&server, enough(place), &mut other) {
        client.finish();
        assert_eq!(client.rest().len(), sent);
    }
    round_trip(&mut other);
});

families!(memory_is_freed_when_the_peers_have_closed, |place| {
    let server = start(place, "");
    let mut other = RawStream::connect(server.address());
    round_trip(&mut other);
    let burst = || {
        let mut other = RawStream::connect(server.address());
        let clients = stalled(&server, enough(place), &mut other);
        let during = resident_kib(server.pid());
        drop(clients);
        round_trip(&mut other);
        during
    };
    let (before, open) = (resident_kib(server.pid()), descriptors(&server));
    let during = burst();
    while descriptors(&server) > open {
        round_trip(&mut other);
    }
    let after = resident_kib(server.pid());
    assert!(
        after.saturating_sub(before) < (during - before) / 4 + 1024,
        "{before} KiB before, {during} during, {after} after"
    );
});

families!(one_peer_cannot_take_every_place, |place| {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let count = usize::try_from(hard)
        .unwrap_or(usize::MAX)
        .saturating_sub(300);
    let server = Server::start(place, &["--backlog", "5000"]);
    let mut held: Vec<RawStream> = (0..count.min(4200))
        .map(|_| RawStream::connect(server.address()))
        .collect();
    round_trip(held.last_mut().unwrap());
    round_trip(&mut RawStream::connect(server.address()));
});
