//! The memory that a server keeps for its clients: it follows what has come, and has a bound.

use std::io::{self, Write};
use std::sync::Barrier;
use std::thread;

use crate::support::{Place, Process, RawListener, RawStream, Server, noise, resident_kib};

/// A server that may have 256 MiB of address space in all.
fn short_of_memory(place: &Place, options: &str) -> Server {
    let script = format!(r#"ulimit -v 262144; exec "$SOK" serve "$1" {options}"#);
    Server::of(Process::sh(&script, &[&place.word()]))
}

fn assert_serves(server: &Server) {
    let frame = [&5_u32.to_be_bytes()[..], b"hello"].concat();
    assert_eq!(RawStream::connect(server.address()).exchange(&frame), frame);
}

families!(an_announced_length_takes_no_memory, |place| {
    const CLIENTS: usize = 250;
    let server = short_of_memory(place, "--framing length --trace");
    let mut announced = (1_u32 << 20).to_be_bytes().to_vec();
    announced.push(b'x');
    let before = resident_kib(server.pid());
    let clients: Vec<RawStream> = (0..CLIENTS)
        .map(|_| {
            let mut client = RawStream::connect(server.address());
            client.send(&announced);
            client
        })
        .collect();
    server.stderr().wait_for_count(") = 5 ", CLIENTS);
    let grown = resident_kib(server.pid()).saturating_sub(before);
    assert!(grown < 4096, "{grown} KiB for 5 bytes a client");
    assert_serves(&server);
    drop(clients);
});

families!(
    messages_that_do_not_fit_in_memory_end_only_their_clients,
    |place| {
        const CLIENTS: usize = 24;
        let server = short_of_memory(place, "--framing length --max-message 16MiB");
        let message = noise(16 << 20);
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let (first, second) = message.split_at(12 << 20);
        let all_are_unfinished = Barrier::new(CLIENTS);
        let cut_off = thread::scope(|scope| {
            let clients = (0..CLIENTS).map(|_| {
                scope.spawn(|| {
                    let mut client = RawStream::connect(server.address());
                    let sent = client
                        .write_all(&length)
                        .and_then(|()| client.write_all(first));
                    all_are_unfinished.wait();
                    let sent = sent.and_then(|()| client.write_all(second));
                    let mut reply = vec![0; length.len() + message.len()];
                    sent.and_then(|()| io::Read::read_exact(&mut client, &mut reply))
                        .is_err()
                })
            });
            let clients: Vec<_> = clients.collect();
            let ended = clients.into_iter().map(|client| client.join().unwrap());
            ended.filter(|cut_off| *cut_off).count()
        });
        assert!((1..CLIENTS).contains(&cut_off), "{cut_off} were cut off");
        let said = server.stderr().wait_for("raise --max-memory");
        assert!(said.contains("limit of 67108864 bytes"), "{said}");
        assert_serves(&server);
        server.terminate();
        assert_eq!(server.wait(), 0);
    }
);

families!(incomplete_messages_of_all_clients_are_limited, |place| {
    let options = ["--framing", "line", "--max-memory", "1MiB", "--trace"];
    let server = Server::start(place, &options);
    let line = vec![b'x'; 600 << 10];
    let mut first = RawStream::connect(server.address());
    first.send(&line);
    let whole = |text: &str| received(text) >= line.len();
    server.stderr().wait_until("the line is there", whole);
    let mut second = RawStream::connect(server.address());
    let sent = second.write_all(&line);
    assert!(sent.is_err() || !second.cut().contains(&b'\n'));
    server
        .stderr()
        .wait_for("limit of 1048576 bytes for all clients");
    // What the first one had come with stays, and what is whole needs no memory.
    assert_eq!(
        RawStream::connect(server.address()).exchange(b"a\nb\n"),
        b"a\nb\n"
    );
    first.send(b"\n");
    assert_eq!(first.take(line.len() + 1).len(), line.len() + 1);
    // Both left what they had taken.
    first.send(&line);
    first.send(b"\n");
    assert_eq!(first.take(line.len() + 1).len(), line.len() + 1);
});

families!(unsent_replies_of_all_clients_are_limited, |place| {
    let server = Server::start(place, &["--max-memory", "1KiB"]);
    let mut other = RawStream::connect(server.address());
    let mut deaf = RawStream::connect(server.address());
    let chunk = noise(1 << 20);
    while deaf.write_all(&chunk).is_ok() {}
    server
        .stderr()
        .wait_for("limit of 1024 bytes for all clients");
    other.send(b"hello");
    assert_eq!(other.take(5), b"hello");
});

families!(unsent_data_to_the_targets_of_a_relay_is_limited, |place| {
    let deaf = RawListener::bind(place);
    let (front, echo) = (Place::new(place.kind()), Place::new(place.kind()));
    let echo = Server::start(&echo, &[]);
    let word = front.word();
    for target in [deaf.address(), echo.address()] {
        let limited = ["relay", &word, target, "--copy", "--max-memory", "1KiB"];
        let relay = Server::of(Process::sok(&limited));
        let mut client = RawStream::connect(relay.address());
        let chunk = noise(1 << 20);
        // Nobody reads what comes back either.
        while client.write_all(&chunk).is_ok() {}
        relay
            .stderr()
            .wait_for("limit of 1024 bytes for all clients");
        // The relay continues, and data that is taken at once needs no memory.
        let mut other = RawStream::connect(relay.address());
        other.send(b"hello");
        if target == echo.address() {
            assert_eq!(other.take(5), b"hello");
        }
    }
});

/// The bytes that a server has received, by its trace.
fn received(trace: &str) -> usize {
    let calls = trace.lines().filter(|line| line.contains(" recv("));
    let counts = calls.filter_map(|line| line.split_once(") = ")?.1.split(' ').next());
    counts.filter_map(|count| count.parse::<usize>().ok()).sum()
}
