//! The connection loop: many clients at once, limits, faults, stop.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use crate::support::{
    Kind, LIMIT, Place, Process, RawStream, Server, noise, processor_time, resident_kib, sok,
};

/// A client whose connection is accepted for sure: it has had a reply.
fn accepted(server: &Server) -> RawStream {
    let mut client = RawStream::connect(server.address());
    round_trip(&mut client);
    client
}

fn round_trip(client: &mut RawStream) {
    client.send(b"ping\n");
    assert_eq!(client.take(5), b"ping\n");
}

/// Where a line with both words stands on the server's stderr.
fn line_with(server: &Server, words: [&str; 2]) -> usize {
    let text = server
        .stderr()
        .wait_until(&format!("a line with {words:?}"), |text| {
            text.lines()
                .any(|line| words.iter().all(|word| line.contains(word)))
        });
    let mut lines = text.lines();
    lines
        .position(|line| words.iter().all(|word| line.contains(word)))
        .unwrap()
}

fn assert_nobody_listens(place: &Place, address: &str) {
    let refused = RawStream::try_connect(address).expect_err("nobody listens any more");
    let want = match place.kind() {
        Kind::Unix => ErrorKind::NotFound,
        Kind::Inet | Kind::Inet6 | Kind::Abstract => ErrorKind::ConnectionRefused,
    };
    assert_eq!(refused.kind(), want);
}

families!(many_clients_are_served_at_once, |place| {
    let server = Server::start(place, &[]);
    let mut clients: Vec<RawStream> = (0..20).map(|_| accepted(&server)).collect();
    for _ in 0..3 {
        clients.iter_mut().for_each(round_trip);
        clients.iter_mut().rev().for_each(round_trip);
    }
});

families!(threads_serve_as_one_does, |place| {
    let server = Server::start(place, &["--threads", "2"]);
    let mut clients: Vec<RawStream> = (0..20).map(|_| accepted(&server)).collect();
    clients.iter_mut().for_each(round_trip);
    drop(clients);
    server.terminate();
    assert_eq!(server.wait(), 0);
});

families!(
    one_at_a_time_the_next_client_waits_in_the_backlog,
    |place| {
        let server = Server::start(place, &["--one-at-a-time", "-v"]);
        let mut first = accepted(&server);
        let mut second = RawStream::connect(server.address());
        second.send(b"second");
        for _ in 0..20 {
            round_trip(&mut first);
        }
        drop(first);
        assert_eq!(second.take(6), b"second");
        let left = line_with(&server, ["ended", "connection=1"]);
        let came = line_with(&server, ["connected", "connection=2"]);
        assert!(left < came, "{}", server.stderr().text());
    }
);

families!(clients_above_the_limit_wait_in_the_backlog, |place| {
    let server = Server::start(place, &["--max-connections", "2", "-v"]);
    let mut first = accepted(&server);
    let mut second = accepted(&server);
    let mut third = RawStream::connect(server.address());
    third.send(b"third");
    for _ in 0..20 {
        round_trip(&mut first);
        round_trip(&mut second);
    }
    drop(second);
    assert_eq!(third.take(5), b"third");
    round_trip(&mut first);
    let left = line_with(&server, ["ended", "connection=2"]);
    let came = line_with(&server, ["connected", "connection=3"]);
    assert!(left < came, "{}", server.stderr().text());
});

families!(
    with_once_a_server_serves_one_connection_and_frees_the_address,
    |place| {
        let server = Server::start(place, &["--once"]);
        let mut client = accepted(&server);
        // Only one is taken: the address is free while this one is still served.
        assert_nobody_listens(place, server.address());
        round_trip(&mut client);
        drop(client);
        assert_eq!(server.wait(), 0);
    }
);

families!(
    with_exit_after_the_server_ends_after_n_connections,
    |place| {
        let server = Server::start(place, &["--exit-after", "3"]);
        for _ in 0..2 {
            assert_eq!(
                RawStream::connect(server.address()).exchange(b"hello"),
                b"hello"
            );
        }
        assert!(!server.has_ended());
        assert_eq!(
            RawStream::connect(server.address()).exchange(b"hello"),
            b"hello"
        );
        assert_eq!(server.wait(), 0);
    }
);

families!(the_one_connection_that_failed_is_the_exit_code, |place| {
    let server = Server::start(place, &["--once", "--framing", "line"]);
    let mut client = RawStream::connect(server.address());
    client.send(b"half a line");
    client.finish();
    assert_eq!(server.wait(), 6, "{}", server.stderr().text());
});

families!(twelve_quick_connects_disturb_no_other, |place| {
    let server = Server::start(place, &["-v"]);
    let mut other = accepted(&server);
    for _ in 0..12 {
        drop(RawStream::connect(server.address()));
    }
    round_trip(&mut other);
    assert_eq!(
        RawStream::connect(server.address()).exchange(b"hello"),
        b"hello"
    );
    // Some kernels do not hand out a connection that is closed by then; none may stay.
    drop(other);
    server.terminate();
    assert_eq!(server.wait(), 0);
    let text = server.said();
    assert_eq!(text.matches(" connected ").count(), 14, "{text}");
    assert_eq!(text.matches(" ended ").count(), 14, "{text}");
});

families!(a_thousand_clients_at_once_are_all_served, |place| {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(
        hard > 3000,
        "this test needs 3000 descriptors, the limit is {hard}"
    );
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(3000), hard).unwrap();
    let server = Server::start(place, &["--suffix", "!"]);
    let mut clients: Vec<RawStream> = Vec::new();
    for number in 0..1000 {
        let mut client = RawStream::connect(server.address());
        client.send(format!("{number:04}").as_bytes());
        clients.push(client);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.finish();
        assert_eq!(client.rest(), format!("{number:04}!").as_bytes());
    }
    server.terminate();
    assert_eq!(server.wait(), 0);
    assert_eq!(server.said().lines().count(), 1, "{}", server.said());
});

families!(a_client_killed_in_mid_message_disturbs_no_other, |place| {
    let server = Server::start(place, &["--framing", "line", "-v"]);
    let mut other = accepted(&server);
    let mut killed = Process::sok(&["connect", server.address(), "--trace"]);
    killed.write(b"whole\n");
    killed.stdout().wait_for("whole\n");
    killed.write(b"half");
    killed.stderr().wait_for_count("send(", 2);
    killed.signal(Signal::SIGKILL);
    assert_eq!(killed.wait(), 128 + 9);
    line_with(&server, ["failed", "connection=2"]);
    line_with(
        &server,
        ["in the middle of a message, after 4 bytes", "warning"],
    );
    round_trip(&mut other);
    assert_eq!(
        RawStream::connect(server.address()).exchange(b"new\n"),
        b"new\n"
    );
    server.terminate();
    drop(other);
    assert_eq!(server.wait(), 0);
});

families!(
    a_reply_that_its_client_does_not_take_is_a_failure,
    |place| {
        for options in [&["--once"][..], &["--once", "--framing", "line"]] {
            let server = Server::start(place, options);
            RawStream::connect(server.address()).send(b"hello\n");
            assert_eq!(server.wait(), 6, "{}", server.stderr().text());
        }
    }
);

families!(a_client_that_resets_disturbs_no_other, |place| {
    let server = Server::start(place, &["-v"]);
    let mut other = accepted(&server);
    accepted(&server).reset();
    if place.is_network() {
        line_with(&server, ["warning", "reset"]);
    } else {
        line_with(&server, ["ended", "connection=2"]);
    }
    round_trip(&mut other);
});

/// Sends what a server has to answer and reads nothing, until the server waits for room; gives how
/// many bytes it took.
fn send_until_held_up(deaf: &mut RawStream, other: &mut RawStream) -> usize {
    deaf.socket().set_nonblocking(true).unwrap();
    let chunk = noise(256 * 1024);
    let (mut sent, mut refused) = (0, 0);
    // Held up for good when it takes no more while the server has answered another 100 times.
    while refused < 100 {
        match deaf.write(&chunk) {
            Ok(count) => (sent, refused) = (sent + count, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refused += 1;
                round_trip(other);
            }
            Err(error) => panic!("after {sent} bytes: {error}"),
        }
        assert!(
            sent < 256 << 20,
            "a client that never reads was never held up"
        );
    }
    deaf.socket().set_nonblocking(false).unwrap();
    sent
}

families!(
    a_client_that_never_reads_costs_little_and_disturbs_no_other,
    |place| {
        let server = Server::start(place, &[]);
        let mut other = accepted(&server);
        let mut deaf = accepted(&server);
        let before = resident_kib(server.pid());
        let sent = send_until_held_up(&mut deaf, &mut other);
        let grown = resident_kib(server.pid()).saturating_sub(before);
        assert!(
            grown < 4096,
            "{grown} KiB for a client that never reads, which sent {sent} bytes"
        );
        // It comes back to itself: all that it sent is there.
        deaf.finish();
        assert_eq!(deaf.rest().len(), sent);
        round_trip(&mut other);
    }
);

families!(discarding_takes_no_memory, |place| {
    let server = Server::start(place, &["--discard"]);
    let mut client = RawStream::connect(server.address());
    let chunk = noise(1 << 20);
    client.send(&chunk);
    let before = resident_kib(server.pid());
    for _ in 0..63 {
        client.send(&chunk);
    }
    let grown = resident_kib(server.pid()).saturating_sub(before);
    assert!(grown < 4096, "{grown} KiB for 64 MiB that were discarded");
    client.finish();
    assert_eq!(client.rest(), b"");
});

families!(
    without_descriptors_the_server_pauses_and_continues,
    |place| {
        let script = r#"ulimit -n 24; exec "$SOK" serve "$1" --trace"#;
        let server = Server::of(Process::sh(script, &[&place.word()]));
        let mut clients: Vec<RawStream> = (0..40)
            .map(|number: u8| {
                let mut client = RawStream::connect(server.address());
                client.send(&[number]);
                client
            })
            .collect();
        let said = server.stderr().wait_for("accepting pauses");
        assert!(said.contains(server.address()));

        // It rests in between, and does not spin: processor time stays far below the time of day.
        let (began, used) = (Instant::now(), processor_time(server.pid()));
        let tries = "-1 EMFILE";
        let made = server.stderr().text().matches(tries).count();
        let said = server.stderr().wait_for_count(tries, made + 6);
        assert_eq!(said.matches("accepting pauses").count(), 1, "said once");
        let used = processor_time(server.pid()).saturating_sub(used);
        assert!(
            began.elapsed() > Duration::from_millis(100),
            "it asks again and again"
        );
        assert!(
            used < began.elapsed() / 2,
            "it spins: {used:?} in {:?}",
            began.elapsed()
        );

        // As the first ones leave, each of the others has its turn.
        for (number, mut client) in clients.drain(..).enumerate() {
            assert_eq!(client.take(1), [u8::try_from(number).unwrap()]);
        }
        assert_eq!(
            RawStream::connect(server.address()).exchange(b"hello"),
            b"hello"
        );
        server.terminate();
        assert_eq!(server.wait(), 0);
    }
);

families!(a_reply_waits_for_room_without_descriptors, |place| {
    let script = r#"ulimit -n 24; exec "$SOK" serve "$1" -v"#;
    let server = Server::of(Process::sh(script, &[&place.word()]));
    let mut other = accepted(&server);
    let mut deaf = accepted(&server);
    let _waiting: Vec<RawStream> = (0..40)
        .map(|_| RawStream::connect(server.address()))
        .collect();
    server.stderr().wait_for("accepting pauses");
    let sent = send_until_held_up(&mut deaf, &mut other);
    assert_eq!(deaf.take(sent).len(), sent);
    round_trip(&mut deaf);
    round_trip(&mut other);
});

families!(a_stop_ends_the_pause_too, |place| {
    let script = r#"ulimit -n 24; exec "$SOK" serve "$1" --grace 0s"#;
    let server = Server::of(Process::sh(script, &[&place.word()]));
    let _clients: Vec<RawStream> = (0..40)
        .map(|_| RawStream::connect(server.address()))
        .collect();
    server.stderr().wait_for("accepting pauses");
    server.terminate();
    assert_eq!(server.wait(), 6);
    assert_nobody_listens(place, server.address());
});

fn assert_drains(place: &Place, signal: Signal) {
    let server = Server::start(
        place,
        &["--framing", "line", "--suffix", "!", "-v", "--grace", "5m"],
    );
    let mut client = RawStream::connect(server.address());
    client.send(b"one\ntw");
    assert_eq!(client.line(), "one!\n");
    let mut idle = RawStream::connect(server.address());
    idle.send(b"idle\n");
    assert_eq!(idle.line(), "idle!\n");
    server.signal(signal);
    server.stderr().wait_for("draining");
    if place.kind() == Kind::Unix {
        assert!(!Path::new(server.path()).exists());
    }
    assert_nobody_listens(place, server.address());
    drop(idle);
    client.send(b"o\nthree\n");
    assert_eq!(client.line(), "two!\n");
    assert_eq!(client.line(), "three!\n");
    assert!(!server.has_ended());
    client.finish();
    assert_eq!(client.rest(), b"");
    assert_eq!(server.wait(), 0);
    assert!(!server.said().contains("cut off"), "{}", server.said());
}

families!(sigterm_drains_connected_clients, |place| {
    assert_drains(place, Signal::SIGTERM);
});

families!(sigint_drains_connected_clients, |place| {
    assert_drains(place, Signal::SIGINT);
});

families!(clients_are_cut_off_at_the_end_of_the_grace, |place| {
    let server = Server::start(place, &["--grace", "50ms"]);
    let mut client = accepted(&server);
    server.terminate();
    assert_eq!(server.wait(), 6);
    let expected = format!(
        "sok: stop {}: 1 connection was cut off at the end of the grace period (50ms)\n",
        server.address()
    );
    assert!(server.said().ends_with(&expected), "{}", server.said());
    if place.is_network() {
        // A clean end would say that nothing was lost.
        let error = client.try_rest().unwrap_err();
        assert!(RawStream::is_broken(&error), "{error}");
    } else {
        // AF_UNIX has no reset.
        assert_eq!(client.cut(), b"");
    }
});

families!(a_truncated_file_is_no_clean_end, |place| {
    let file = place.file("large", noise(32 << 20));
    let file = file.to_str().unwrap();
    let server = Server::start(place, &["--send", file, "--grace", "0s"]);
    let mut client = RawStream::connect(server.address());
    client.take(1);
    server.terminate();
    assert_eq!(server.wait(), 6);
    if place.is_network() {
        let error = client.try_rest().unwrap_err();
        assert!(RawStream::is_broken(&error), "{error}");
    }
});

families!(a_second_signal_ends_the_draining, |place| {
    let server = Server::start(place, &["--grace", "5m", "-v"]);
    let mut client = accepted(&server);
    server.terminate();
    server.stderr().wait_for("draining");
    round_trip(&mut client);
    server.terminate();
    assert_eq!(server.wait(), 6);
    assert_eq!(client.cut(), b"");
    let expected = "1 connection was cut off by a second stop";
    assert!(server.said().contains(expected), "{}", server.said());
});

families!(an_idle_server_stops_at_once, |place| {
    let server = Server::start(place, &["--grace", "5m"]);
    server.terminate();
    assert_eq!(server.wait(), 0);
    assert_nobody_listens(place, server.address());
});

families!(clients_are_reported_only_with_verbose, |place| {
    for (option, expected) in [("-v", true), ("--echo", false)] {
        let server = Server::start(place, &[option]);
        assert_eq!(
            RawStream::connect(server.address()).exchange(b"hello"),
            b"hello"
        );
        server.terminate();
        assert_eq!(server.wait(), 0);
        let text = server.said();
        assert_eq!(text.contains(" connected "), expected, "{text}");
        let peer = format!("peer={}:", place.family());
        assert_eq!(text.contains(&peer), expected, "{text}");
        let pid = format!(" pid={} ", std::process::id());
        assert_eq!(
            text.contains(&pid),
            expected && !place.is_network(),
            "{text}"
        );
        let traffic = "received=5 sent=5";
        assert_eq!(text.contains(traffic), expected, "{text}");
    }
});

#[test]
fn a_quiet_server_prints_nothing() {
    let place = Place::new(Kind::Unix);
    let address = place.word();
    let server = Process::sok(&["serve", &address, "-q"]);
    let called = sok(&["call", &address, "hello", "--retry-for", "1m"]);
    assert_eq!(called.text(), "hello\n", "{}", called.stderr);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 0);
    assert_eq!(server.said(), "");
}

families!(the_trace_shows_the_same_calls_on_every_family, |place| {
    let server = Server::start(place, &["--trace", "--once", "--suffix", "!"]);
    assert_eq!(
        RawStream::connect(server.address()).exchange(b"hello"),
        b"hello!"
    );
    assert_eq!(server.wait(), 0);
    let said = server.said();
    let family = match place.kind() {
        Kind::Inet => "AF_INET ",
        Kind::Inet6 => "AF_INET6 ",
        Kind::Unix | Kind::Abstract => "AF_UNIX ",
    };
    let calls = said.lines().filter_map(|line| line.strip_prefix(family));
    let calls: Vec<&str> = calls
        .map(|call| call.trim_start())
        .inspect(|call| assert!(call.ends_with("us"), "{call}"))
        .map(|call| call.split('(').next().unwrap())
        .collect();
    let want = [
        "socket", "bind", "listen", "accept", "close", "recv", "send", "recv", "close",
    ];
    assert_eq!(calls, want, "{said}");
    let asked = server.address().rsplit_once(':').unwrap().0;
    for part in [
        &format!("socket({}, SOCK_STREAM) = ", family.trim_end()),
        asked,
        ", 6) = 6  ",
        ", 65536) = 5  ",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
});

families!(in_json_each_report_is_an_object, |place| {
    let server = Process::sok(&["serve", &place.word(), "--json", "-v", "--once"]);
    let ready = server.stderr().wait_for("\n");
    let ready: serde_json::Value = serde_json::from_str(ready.lines().next().unwrap()).unwrap();
    assert_eq!(ready["event"], "listening");
    assert_eq!(ready["family"], place.family());
    let address = ready["address"].as_str().unwrap();
    assert_eq!(RawStream::connect(address).exchange(b"hello"), b"hello");
    assert_eq!(server.wait(), 0);
    let said = server.said();
    let reports: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ended = reports
        .iter()
        .find(|report| report["message"] == "ended")
        .expect(&said);
    assert_eq!(
        (&ended["received"], &ended["sent"]),
        (&5.into(), &5.into()),
        "{said}"
    );

    let refused = sok(&["serve", "nonsense:x:y", "--json"]);
    assert_eq!(refused.code, 2);
    let error: serde_json::Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!(
        (&error["event"], &error["exit"]),
        (&"error".into(), &2.into())
    );
});

families!(a_server_whose_log_is_not_read_keeps_serving, |place| {
    // The first line is read, and nothing after it.
    let script = r#"mkfifo "$1"; exec 8<>"$1"; (read -r ready <&8; echo "$ready" >&2) &
        exec "$SOK" serve "$2" -v 2>&8"#;
    let fifo = place.path("talk");
    let arguments = [fifo.to_str().unwrap(), &place.word()];
    let server = Server::of(Process::sh(script, &arguments));
    // More than a pipe holds.
    for _ in 0..600 {
        let mut client = RawStream::connect(server.address());
        assert_eq!(client.exchange(b"hello"), b"hello");
    }
    // Once the output is read, it reports what it left out.
    let reader = Process::sh(r#"exec cat "$1""#, &arguments[..1]);
    reader.stdout().wait_for("connected");
    let mut client = RawStream::connect(server.address());
    assert_eq!(client.exchange(b"hello"), b"hello");
    let expected = "sok: lines left out because nothing read them: ";
    reader.stdout().wait_for(expected);
    server.terminate();
    assert_eq!(server.wait(), 0);
});

families!(each_line_on_standard_error_is_one_write, |place| {
    // What a datagram is, a write was.
    let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
    ours.set_read_timeout(Some(LIMIT)).unwrap();
    let mut command = Command::new(Process::PROGRAM);
    command.args(["serve", &place.word(), "--once", "-v"]);
    command.stderr(std::os::fd::OwnedFd::from(theirs));
    let mut server = command.spawn().unwrap();
    drop(command);
    let next = || {
        let mut line = vec![0; 4096];
        let count = ours.recv(&mut line).unwrap();
        String::from_utf8(line[..count].to_vec()).unwrap()
    };
    let listening = next();
    let address = listening.strip_prefix("listening on ").unwrap().trim_end();
    assert_eq!(RawStream::connect(address).exchange(b"hello"), b"hello");
    for line in [&listening, &next(), &next()] {
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(line.ends_with('\n'), "{line:?}");
    }
    assert!(server.wait().unwrap().success());
});

families!(a_server_on_a_stopped_terminal_keeps_serving, |place| {
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut command = Command::new(Process::PROGRAM);
    command.args(["serve", &place.word(), "-v"]);
    command.stderr(terminal.slave);
    let mut server = command.spawn().unwrap();
    drop(command);
    let mut ready = String::new();
    let mut screen = std::io::BufReader::new(std::fs::File::from(terminal.master));
    std::io::BufRead::read_line(&mut screen, &mut ready).unwrap();
    let address = ready.strip_prefix("listening on ").unwrap().trim_end();
    // More than a terminal holds; nothing of it is read.
    for _ in 0..600 {
        assert_eq!(RawStream::connect(address).exchange(b"hello"), b"hello");
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(server.id()).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    assert!(server.wait().unwrap().success());
});
