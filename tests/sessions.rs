//! The sessions of a datagram socket: many peers, forged ones, those that end, stall or have no name.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::time::Duration;

use nix::sys::signal::Signal;
use sok::net::{ListenOptions, Listener, Received, Stream};

use crate::support::{Kind, RawMessages, Server, assert_same, is_root, noise, resident_kib, sok};

/// Sends `message` and expects it back.
fn assert_echoed(client: &RawMessages, message: &[u8]) {
    client.send(message);
    assert_eq!(client.receive(), message);
}

datagrams!(a_thousand_peers_are_all_answered, |place| {
    let server = Server::start(place, &["-v"]);
    let clients: Vec<RawMessages> = (0..1000)
        .map(|_| RawMessages::connect(server.address()))
        .collect();
    for turn in 0..2_u32 {
        // UDP drops what the socket has no room for.
        for (group, some) in clients.chunks(100).enumerate() {
            let word = |at: usize| format!("{turn} {group} {at}").into_bytes();
            for (at, client) in some.iter().enumerate() {
                client.send(&word(at));
            }
            for (at, client) in some.iter().enumerate() {
                assert_eq!(client.receive(), word(at));
            }
        }
    }
    server.terminate();
    assert_eq!(server.wait(), 0);
    let said = server.said();
    assert_eq!(said.matches(" connected ").count(), 1000);
    assert_eq!(said.matches(" ended ").count(), 1000);
});

datagrams!(forged_peers_do_not_shut_an_active_one_out, |place| {
    let server = Server::start(place, &["--max-connections", "10", "-v"]);
    let active = RawMessages::connect(server.address());
    assert_echoed(&active, b"first");
    let forged: Vec<RawMessages> = (0..100)
        .map(|_| RawMessages::connect(server.address()))
        .collect();
    for (at, one) in forged.iter().enumerate() {
        // Its answer says that it has a place.
        assert_echoed(one, b"forged");
        assert_echoed(&active, at.to_string().as_bytes());
    }
    // The idle ones made room.
    server.stderr().wait_for_count(" ended ", 91);
    let said = server.stderr().wait_for_count(" connected ", 101);
    let own = active.socket().local_addr().unwrap();
    // The active one was not among them.
    let own = match own.as_socket() {
        Some(own) => format!(" peer={}:{own}\n", place.prefix()),
        None => {
            let name = own.as_abstract_namespace().unwrap();
            format!(" peer=unixgram:@{}\n", String::from_utf8_lossy(name))
        }
    };
    assert_eq!(said.matches(&own).count(), 1, "{own} in {said}");
});

datagrams!(a_session_ends_when_idle_and_begins_again, |place| {
    let options = ["-v", "--idle-timeout", "50ms", "--exit-after", "2"];
    let server = Server::start(place, &options);
    let client = RawMessages::connect(server.address());
    for turn in 1..=2 {
        assert_echoed(&client, b"hello");
        server.stderr().wait_for_count(" ended ", turn);
    }
    // The end of a session is no failure.
    assert_eq!(server.wait(), 0, "{}", server.said());
});

datagrams!(
    the_program_of_a_session_that_ends_can_still_answer,
    |place| {
        // Long enough for the three sends.
        let options = ["--once", "--idle-timeout", "500ms", "--framing", "line"];
        let server = Server::start(place, &[&options[..], &["--exec", "wc", "-l"]].concat());
        let client = RawMessages::connect(server.address());
        for _ in 0..3 {
            client.send(b"line");
        }
        let counted = String::from_utf8(client.receive()).unwrap();
        assert_eq!(counted.trim(), "3");
        assert_eq!(server.wait(), 0, "{}", server.said());
    }
);

datagrams!(
    a_program_that_ignores_the_end_of_its_session_is_ended,
    |place| {
        let scripts = [
            ("10ms", "sleep 300"),
            ("10ms", "trap '' TERM; sleep 300; sleep 300"),
            (
                "10ms",
                "(trap '' TERM; exec >&-; exec sleep 300) & exec sleep 300",
            ),
            ("1h", "yes"),
        ];
        for (idle, script) in scripts {
            let limits = ["--idle-timeout", idle, "--grace", "10ms", "--once"];
            let program = ["--framing", "line", "--exec", "sh", "-c", script];
            let server = Server::start(place, &[&limits[..], &program].concat());
            let client = RawMessages::connect(server.address());
            client.send(b"");
            if script == "yes" {
                // It would be active for ever if nobody stopped it.
                client.receive();
                drop(client);
                server.terminate();
            }
            assert_ne!(server.wait(), 124, "{}", server.said());
        }
    }
);

datagrams!(a_service_that_returns_ends_its_session, |place| {
    let server = Server::start(place, &["-v", "--framing", "line", "--exec", "head", "-n1"]);
    let client = RawMessages::connect(server.address());
    for (turn, word) in (1..).zip(["one", "two"]) {
        assert_echoed(&client, word.as_bytes());
        server.stderr().wait_for_count(" ended ", turn);
    }
});

datagrams!(
    a_dropped_stream_ends_its_session_and_a_dropped_listener_does_not,
    |place| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let options = ListenOptions::default();
            let listener = Listener::bind(&place.word().parse().unwrap(), &options).unwrap();
            let client = RawMessages::connect(&listener.local_addr().to_string());
            let mut buffer = [0; 16];
            let mut receive = async |stream: &Stream| {
                let received = stream.receive(&mut buffer).await.unwrap();
                assert_eq!(received, Received::Message(3));
                buffer[..3].to_vec()
            };
            client.send(b"one");
            let (first, peer) = listener.accept().await.unwrap();
            assert_eq!(receive(&first).await, b"one");
            drop(first);
            client.send(b"two");
            let (second, same) = listener.accept().await.unwrap();
            assert_eq!(peer, same);
            assert_eq!(receive(&second).await, b"two");
            drop(listener);
            client.send(b"abc");
            assert_eq!(receive(&second).await, b"abc");
            second.send_all(b"answer").await.unwrap();
            assert_eq!(client.receive(), b"answer");
        });
    }
);

datagrams!(a_peer_without_a_name_is_served_and_reported_once, |place| {
    if place.is_network() {
        return; // Every UDP socket has a name.
    }
    let server = Server::start(place, &["-v"]);
    let nameless = RawMessages::connect_unnamed(server.address());
    let named = RawMessages::connect(server.address());
    for _ in 0..3 {
        nameless.send(b"hello");
        assert_echoed(&named, b"hello");
    }
    server.signal(Signal::SIGUSR1);
    server
        .stderr()
        .wait_for(" received=15 sent=15 undelivered=3 ");
    server.terminate();
    assert_eq!(server.wait(), 0);
    let cause = "a peer without a name cannot be answered";
    // At the first, and at the end of the session.
    assert_eq!(server.said().matches(cause).count(), 2, "{}", server.said());
    assert_eq!(server.said().matches("others are counted").count(), 1);
    assert_eq!(server.said().matches(" failed ").count(), 1);
});

datagrams!(
    what_a_slow_session_has_no_room_for_is_counted_on_udp,
    |place| {
        if !place.is_network() {
            return; // The sender waits there: see messages.rs.
        }
        let go = place.path("go");
        nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let script = r#"read -r line; [ "$line" = slow ] && read go <"$0"; echo "$line"; cat"#;
        let go_path = go.to_string_lossy();
        let program = ["--framing", "line", "--exec", "sh", "-c", script, &go_path];
        let server = Server::start(place, &[&["-v", "--grace", "5m"], &program[..]].concat());
        let (slow, quick) = (
            RawMessages::connect(server.address()),
            RawMessages::connect(server.address()),
        );
        slow.send(b"slow");
        for at in 0..60 {
            for _ in 0..10 {
                slow.send(&[b'x'; 999]);
            }
            // By its answer, the server has received what came before.
            assert_echoed(&quick, at.to_string().as_bytes());
        }
        server.signal(Signal::SIGUSR1);
        server.stderr().wait_for(" undelivered=");
        let mut go = File::options().write(true).open(&go).unwrap();
        go.write_all(b"go\n").unwrap();
        // What found room was kept. The client's socket has room for as many as this at least.
        assert_eq!(slow.receive(), b"slow");
        for _ in 0..50 {
            assert_eq!(slow.receive(), [b'x'; 999]);
        }
        server.terminate();
        server.wait();
        let cause = "the queue of the session was full";
        assert!(server.said().contains(cause), "{}", server.said());
    }
);

datagrams!(
    a_peer_that_reads_no_replies_does_not_keep_its_place,
    |place| {
        if place.is_network() {
            return; // UDP drops what a peer does not read.
        }
        let server = Server::start(place, &["-v", "--one-at-a-time"]);
        let deaf = RawMessages::connect(server.address());
        let mut sent = 0;
        // At some time its replies, the queue of its session and that of the socket are full.
        deaf.socket()
            .set_write_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        while deaf.try_send(&[b'x'; 1000]).is_ok() {
            sent += 1;
            assert!(sent < 100_000, "the server never waits for its peer");
        }
        let other = RawMessages::connect(server.address());
        other.send(b"hello");
        // Its session made room.
        server.stderr().wait_for_count(" connected ", 2);
        // What it leaves unread is in the send buffer of the server, which all peers share.
        drop(deaf);
        assert_eq!(other.receive(), b"hello");
        assert_echoed(&other, b"again");
    }
);

datagrams!(
    a_program_that_reads_nothing_delays_others_until_its_session_ends,
    |place| {
        if place.is_network() {
            return; // UDP drops what a program does not read.
        }
        let script = r#"read -r line; [ "$line" = deaf ] && sleep 300; echo "$line""#;
        let limits = ["--idle-timeout", "100ms", "--grace", "10ms"];
        let program = ["--framing", "line", "--exec", "sh", "-c", script];
        let server = Server::start(place, &[&limits[..], &program].concat());
        let [deaf, other] = [(); 2].map(|()| RawMessages::connect(server.address()));
        deaf.send(b"deaf");
        // At some time the pipe, the queue of the session and that of the socket are full.
        deaf.socket()
            .set_write_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        let mut sent = 0;
        while deaf.try_send(&[b'x'; 1000]).is_ok() {
            sent += 1;
            assert!(sent < 100_000, "the server never waits for its program");
        }
        other.send(b"hello");
        assert_eq!(other.receive(), b"hello");
        server.terminate();
        server.wait();
    }
);

datagrams!(short_sessions_leave_no_memory_behind, |place| {
    let server = Server::start(place, &["--idle-timeout", "10ms"]);
    let talk = |count: u32| {
        for _ in 0..count {
            assert_echoed(&RawMessages::connect(server.address()), &[b'x'; 1000]);
        }
        resident_kib(server.pid())
    };
    let before = talk(2000);
    let grown = talk(6000).saturating_sub(before);
    assert!(grown < 2000, "{grown} KiB");
});

datagrams!(a_burst_of_a_new_peer_is_received_whole, |place| {
    let options = ["--discard", "--once", "--idle-timeout", "500ms", "-v"];
    let server = Server::start(place, &options);
    let client = RawMessages::connect(server.address());
    // On AF_UNIX the sender waits for room, on UDP all must find it.
    let count = if place.is_network() { 400 } else { 5 };
    server.signal(Signal::SIGSTOP);
    (0..count).for_each(|_| client.send(&[b'x'; 50]));
    server.signal(Signal::SIGCONT);
    assert_eq!(server.wait(), 0, "{}", server.said());
    let received = format!("received={} ", 50 * count);
    assert!(server.said().contains(&received), "{}", server.said());
});

datagrams!(
    a_file_is_sent_again_at_the_next_datagram_of_a_peer,
    |place| {
        let file = place.file("file", "content");
        let options = ["--send", &file.to_string_lossy(), "--exit-after", "3"];
        let server = Server::start(place, &options);
        let client = RawMessages::connect(server.address());
        for _ in 0..3 {
            client.send(b"?");
            assert_eq!(client.receive(), b"content");
        }
        assert_eq!(server.wait(), 0, "{}", server.said());
    }
);

datagrams!(what_has_arrived_before_a_stop_is_answered, |place| {
    for service in [&[][..], &["--framing", "line", "--exec", "cat"]] {
        let options = [&["-v", "--grace", "5m"], service].concat();
        let server = Server::start(place, &options);
        let client = RawMessages::connect(server.address());
        assert_echoed(&client, b"hello");
        server.signal(Signal::SIGSTOP);
        let all: Vec<String> = (0..10).map(|at| at.to_string()).collect();
        if place.is_network() {
            all.iter().for_each(|word| client.send(word.as_bytes()));
        } else {
            // As many as the queue of the socket has room for.
            all[..5]
                .iter()
                .for_each(|word| client.send(word.as_bytes()));
        }
        server.terminate();
        server.signal(Signal::SIGCONT);
        assert_eq!(server.wait(), 0, "{}", server.said());
        let sent = if place.is_network() { &all } else { &all[..5] };
        client.socket().set_nonblocking(true).unwrap();
        for word in sent {
            assert_eq!(client.try_receive().unwrap().unwrap(), word.as_bytes());
        }
    }
});

datagrams!(a_stop_ends_open_sessions_at_once, |place| {
    let server = Server::start(place, &["--grace", "5m", "-v", "--threads", "2"]);
    let clients: Vec<RawMessages> = (0..10)
        .map(|_| RawMessages::connect(server.address()))
        .collect();
    clients.iter().for_each(|one| assert_echoed(one, b"hello"));
    server.terminate();
    assert_eq!(server.wait(), 0, "{}", server.said());
    assert_eq!(server.said().matches(" ended ").count(), 10);
});

datagrams!(only_the_number_of_sessions_asked_for_is_served, |place| {
    let server = Server::start(place, &["--once", "-v", "--idle-timeout", "500ms"]);
    let first = RawMessages::connect(server.address());
    assert_echoed(&first, b"hello");
    // No other begins, and the first one continues.
    let address = server.address();
    if let Ok(other) = RawMessages::try_connect(address) {
        let _ = other.try_send(b"hello");
    }
    assert_echoed(&first, b"again");
    assert_eq!(server.wait(), 0, "{}", server.said());
    assert_eq!(server.said().matches(" connected ").count(), 1);
});

datagrams!(
    datagrams_of_peers_that_are_not_accepted_are_reported,
    |place| {
        let server = Server::start(place, &["--once"]);
        let [first, other] = [(); 2].map(|()| RawMessages::connect(server.address()));
        assert_echoed(&first, b"hello");
        other.send(b"one");
        other.send(b"two");
        // By its answer, the server has received what came before.
        assert_echoed(&first, b"again");
        server.terminate();
        assert_eq!(server.wait(), 0, "{}", server.said());
        let said = server.said();
        assert!(said.contains(" datagrams=2\n"), "{said}");
    }
);

datagrams!(
    a_socket_file_appears_with_its_rights_and_is_removed,
    |place| {
        if place.kind() != Kind::Unix {
            return;
        }
        for (options, mode) in [(&[][..], 0o600), (&["--mode", "666"], 0o666)] {
            let server = Server::start(place, options);
            let found = std::fs::metadata(server.path()).unwrap();
            assert!(found.file_type().is_socket());
            assert_eq!(found.permissions().mode() & 0o777, mode);
            server.terminate();
            assert_eq!(server.wait(), 0);
            assert_eq!(place.listing(), [""; 0]);
        }
        if is_root() {
            let server = Server::start(place, &["--owner", "65534:65533"]);
            let found = std::fs::metadata(server.path()).unwrap();
            assert_eq!((found.uid(), found.gid()), (65534, 65533));
        }
    }
);

datagrams!(the_address_of_a_live_server_is_not_taken, |place| {
    let server = Server::start(place, &[]);
    let done = sok(&["serve", server.address()]);
    assert_eq!(done.code, 5, "{}", done.stderr);
    assert!(done.stderr.contains(server.address()), "{}", done.stderr);
    assert_echoed(&RawMessages::connect(server.address()), b"hello");
});

datagrams!(the_address_of_a_dead_server_is_taken, |place| {
    let dead = Server::start(place, &[]);
    dead.signal(Signal::SIGKILL);
    dead.wait();
    let server = Server::at(dead.address(), &[]);
    assert_eq!(server.address(), dead.address());
    assert_echoed(&RawMessages::connect(server.address()), b"hello");
});

datagrams!(the_sessions_of_two_peers_are_apart, |place| {
    let server = Server::start(place, &["-v"]);
    let (one, other) = (
        RawMessages::connect(server.address()),
        RawMessages::connect(server.address()),
    );
    let (long, short) = (noise(20_000), noise(10));
    for _ in 0..5 {
        one.send(&long);
        other.send(&short);
        assert_eq!(other.receive(), short);
        assert_same(&one.receive(), &long);
    }
    let said = server.stderr().wait_for_count(" connected ", 2);
    let peers: BTreeSet<&str> = said
        .split_whitespace()
        .filter(|word| word.starts_with("peer="))
        .collect();
    assert_eq!(peers.len(), 2, "{said}");
});
