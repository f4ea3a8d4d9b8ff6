//! `--max-per-peer`, `--lifetime`, `--accept-timeout` and `--exit-when-idle` on every form of address.

use std::process::Command;

use nix::sys::signal::Signal;
use sok::address::SocketType;

use crate::support::{
    Client, Kind, Place, Process, RawStream, Server, have, in_own_network, is_root, require_peer,
    required, run, sok, sok_for_anybody,
};

/// Who counts as one peer, as a refusal names it.
fn peer_of(place: &Place) -> String {
    match place.kind() {
        Kind::Inet => "127.0.0.1".to_owned(),
        Kind::Inet6 => "::/64".to_owned(),
        Kind::Unix | Kind::Abstract => format!("uid:{}", nix::unistd::geteuid()),
    }
}

forms!(a_peer_has_so_many_connections_and_no_more, |place| {
    let server = Server::start(
        place,
        &["-v", "--max-per-peer", "2", "--idle-timeout", "60s"],
    );
    let both = [(); 2].map(|()| Client::connect(server.address()));
    both.iter().for_each(|one| one.assert_echoed(b"hello"));
    for count in 1..=3 {
        Client::connect(server.address()).assert_refused();
        server.stderr().wait_for_count(" refused ", count);
    }
    let reason = format!("reason={} has 2 open connections\n", peer_of(place));
    server.stderr().wait_for(&reason);
    // It took nothing from those that it has.
    both.iter()
        .for_each(|one| one.assert_echoed(b"still there"));
    if !place.has_connection() {
        return;
    }
    let [first, _second] = both;
    drop(first);
    server.stderr().wait_for(" ended ");
    Client::connect(server.address()).assert_echoed(b"in its place");
});

datagrams!(a_session_that_ended_gives_its_place_back, |place| {
    let server = Server::start(
        place,
        &["-v", "--max-per-peer", "1", "--idle-timeout", "50ms"],
    );
    for count in 1..=3 {
        Client::connect(server.address()).assert_echoed(b"hello");
        server.stderr().wait_for_count(" ended ", count);
    }
});

forms!(a_relay_limits_each_peer_too, |place| {
    let target = Server::start(place, &["-v"]);
    let far = Place::new(place.form());
    let words = [
        "relay",
        &*far.word(),
        target.address(),
        "-v",
        "--max-per-peer",
        "1",
    ];
    let relay = Server::of(Process::sok(&words));
    let only = Client::connect(relay.address());
    only.assert_echoed(b"hello");
    Client::connect(relay.address()).assert_refused();
    relay.stderr().wait_for(" has 1 open connection\n");
    only.assert_echoed(b"still there");
    target.stderr().wait_for(" connected ");
    assert_eq!(target.stderr().text().matches(" connected ").count(), 1);
});

#[test]
fn ipv4_clients_of_a_dual_stack_server_count_by_address() {
    for (prefix, v4) in [("inet6", "inet"), ("udp6", "udp4")] {
        if !have(Kind::Inet) || !have(Kind::Inet6) {
            return;
        }
        let server = Server::at(&format!("{prefix}:[::]:0"), &["-v", "--max-per-peer", "1"]);
        let at = format!("{v4}:127.0.0.1:{}", server.port());
        let from = |ip: &str| Client::connect_from(&format!("{v4}:{ip}:0"), &at);
        let clients = ["127.0.0.2", "127.0.0.3"].map(from);
        clients
            .iter()
            .for_each(|client| client.assert_echoed(b"hello"));
        from("127.0.0.3").assert_refused();
        server
            .stderr()
            .wait_for("reason=127.0.0.3 has 1 open connection\n");
    }
}

#[test]
fn ipv6_clients_count_by_the_first_half_of_their_address() {
    let script = r#"
        ip link set lo up && ip -6 addr add 2001:db8:0:1::1/128 dev lo &&
        ip -6 addr add 2001:db8:0:1:ffff::2/128 dev lo && ip -6 addr add 2001:db8:0:2::1/128 dev lo || exit 99
        "$SOK" serve inet6:[::1]:8082 --max-per-peer 1 -v &
        server=$!
        "$SOK" wait inet6:[::1]:8082 || exit 1
        mkfifo in out && exec 3<>in 4<>out
        "$SOK" connect --bind inet6:[2001:db8:0:1::1]:0 inet6:[::1]:8082 <&3 >&4 &
        client=$!
        echo hello >&3
        read -r reply <&4
        for from in 2001:db8:0:1:ffff::2 2001:db8:0:2::1; do
            "$SOK" call --bind inet6:[$from]:0 inet6:[::1]:8082 hello 2>/dev/null
            echo $?
        done
        kill $client $server"#;
    let place = Place::new(Kind::Inet6);
    if !have(Kind::Inet6) || !require_peer("ip") {
        return;
    }
    let script = format!("cd {} || exit 99; {script}", place.directory().display());
    match in_own_network(&script) {
        None => {
            required("network namespaces", false);
        }
        Some(done) => {
            assert_eq!(done.text(), "6\nhello\n0\n", "{}", done.stderr);
            let reason = "reason=2001:db8:0:1::/64 has 1 open connection\n";
            assert!(done.stderr.contains(reason), "{}", done.stderr);
        }
    }
}

locals!(each_user_has_places, |place| {
    if !required("root", is_root()) {
        return;
    }
    if !require_peer("setpriv") {
        return;
    }
    let mode = match place.kind() {
        Kind::Unix => &["--mode", "666"][..],
        _ => &[],
    };
    let server = Server::start(place, &[mode, &["-v", "--max-per-peer", "1"]].concat());
    let own = Client::connect(server.address());
    own.assert_echoed(b"hello");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=1234", "--regid=1234", "--clear-groups"]);
    command
        .arg(sok_for_anybody(place))
        .args(["call", server.address(), "hello"]);
    let done = Process::spawn(command).done();
    assert_eq!(
        (done.code, &*done.text()),
        (0, "hello\n"),
        "{}",
        done.stderr
    );
    Client::connect(server.address()).assert_refused();
    server.stderr().wait_for(" refused ");
});

families!(a_connection_is_reset_after_its_lifetime, |place| {
    for service in [
        &[][..],
        &["--discard"],
        &["--send", "/dev/zero"],
        &["--exec", "sleep", "1000"],
    ] {
        let options = [&["--once", "--lifetime", "100ms"], service].concat();
        let server = Server::start(place, &options);
        let mut client = RawStream::connect(server.address());
        // Whatever passes.
        while std::io::Write::write(&mut client, b"hello").is_ok() {}
        assert_eq!(server.wait(), 124, "{}", server.said());
        let why = "the connection was open for its lifetime of 100ms";
        assert!(server.said().contains(why), "{}", server.said());
    }
});

families!(a_relay_resets_both_sides_after_the_lifetime, |place| {
    let target = Server::start(place, &["--once"]);
    let far = Place::new(place.kind());
    let words = [
        "relay",
        &*far.word(),
        target.address(),
        "--once",
        "--lifetime",
        "100ms",
    ];
    let relay = Server::of(Process::sok(&words));
    let mut client = RawStream::connect(relay.address());
    while std::io::Write::write(&mut client, b"hello").is_ok() {}
    assert_eq!(relay.wait(), 124, "{}", relay.said());
    let is_reset = target.wait() == 6;
    assert!(is_reset || !place.is_network(), "{}", target.said());
});

#[test]
fn messages_end_with_the_lifetime_of_their_connection() {
    run(Kind::Unix.with_type(SocketType::SeqPacket), |place| {
        let server = Server::start(place, &["--once", "--lifetime", "50ms"]);
        let client = Client::connect(server.address());
        while client.send(b"hello").is_ok() {}
        assert_eq!(server.wait(), 124, "{}", server.said());
    });
}

datagrams!(
    a_session_ends_well_after_its_lifetime_and_begins_again,
    |place| {
        let options = ["-v", "--lifetime", "100ms", "--idle-timeout", "60s"];
        let server = Server::start(place, &options);
        let client = Client::connect(server.address());
        // It is never idle.
        while server.stderr().text().matches(" ended ").count() < 2 {
            client.assert_echoed(b"hello");
        }
        server.terminate();
        assert_eq!(server.wait(), 0, "{}", server.said());
        assert!(!server.said().contains(" failed "), "{}", server.said());
    }
);

datagrams!(a_session_ends_after_its_lifetime_in_a_flood, |place| {
    let options = [
        "-v",
        "--discard",
        "--lifetime",
        "100ms",
        "--idle-timeout",
        "60s",
    ];
    let server = Server::start(place, &options);
    let client = Client::connect(server.address());
    while server.stderr().text().matches(" ended ").count() < 2 {
        for _ in 0..1000 {
            let _ = client.send(b"hello");
        }
    }
});

forms!(
    a_server_without_clients_ends_after_the_accept_timeout,
    |place| {
        let target = Server::start(place, &[]);
        let far = Place::new(place.form());
        for command in [
            &["serve", &*far.word()][..],
            &["relay", &far.word(), target.address()],
        ] {
            for (more, code) in [(&[][..], 124), (&["--exit-when-idle"], 0)] {
                let done = sok(&[command, &["--accept-timeout", "50ms"], more].concat());
                assert_eq!(done.code, code, "{}", done.stderr);
                let why = "no client was connected for 50ms";
                assert_eq!(done.stderr.contains(why), code != 0, "{}", done.stderr);
            }
        }
        assert_eq!(far.listing(), [""; 0]);
    }
);

#[test]
fn a_connected_client_keeps_the_server_and_a_refused_one_does_not() {
    use SocketType as T;
    for (kind, socket_type) in [
        (Kind::Inet, T::Stream),
        (Kind::Inet6, T::Datagram),
        (Kind::Unix, T::SeqPacket),
        (Kind::Abstract, T::Stream),
        (Kind::Unix, T::Datagram),
    ] {
        run(kind.with_type(socket_type), kept_by_a_client);
    }
}

fn kept_by_a_client(place: &Place) {
    let file = place.file("rules", "allow any\n");
    let file = file.to_str().unwrap();
    // The client leaves after a longer time than the server waits for one.
    let times = ["--accept-timeout", "2s", "--lifetime", "2100ms"];
    let server = Server::start(place, &[&["-v", "--rules", file], &times[..]].concat());
    let client = Client::connect(server.address());
    client.assert_echoed(b"hello");
    std::fs::write(file, "deny any\n").unwrap();
    server.signal(Signal::SIGHUP);
    server.stderr().wait_for("rules read again");
    let has_left =
        |log: &str| log.contains(" ended connection=1 ") || log.contains(" failed connection=1 ");
    let log = server
        .stderr()
        .wait_until("the end of the client", has_left);
    assert!(!log.contains("no client"), "{log}");
    while !server.has_ended() {
        // Refused, or too late.
        let done = sok(&["call", "--timeout", "500ms", server.address(), "hello"]);
        assert_ne!(done.code, 0);
    }
    assert_eq!(server.wait(), 124, "{}", server.said());
    let why = "no client was connected for 2s";
    assert!(server.said().contains(why), "{}", server.said());
}

#[test]
fn wrong_limits_are_usage_errors() {
    for (options, why) in [
        (
            &["--max-per-peer", "0"][..],
            "must be a number of at least 1",
        ),
        (&["--max-per-peer=-1"], "must be a number of at least 1"),
        (&["--max-per-peer", "x"], "must be a number of at least 1"),
        (&["--lifetime", "0s"], "must be more than 0"),
        (&["--lifetime", "soon"], "write 500ms, 2s or 1m"),
        (&["--accept-timeout", "0"], "must be more than 0"),
        (&["--accept-timeout", "1M"], "write 1m for a minute"),
        (&["--exit-when-idle"], "--accept-timeout <DURATION>"),
    ] {
        for command in [&["serve", "@a"][..], &["relay", "@a", "@b"]] {
            let done = sok(&[command, options].concat());
            assert_eq!(done.code, 2, "{options:?}: {}", done.stderr);
            assert!(done.stderr.contains(why), "{options:?}: {}", done.stderr);
        }
    }
}

forms!(
    a_client_that_connects_to_a_stopped_server_is_served_though_its_accept_timeout_is_over,
    |place| {
        let times = ["--accept-timeout", "1s", "--idle-timeout", "300ms"];
        let server = Server::start(place, &times);
        server.signal(Signal::SIGSTOP);
        // A wait for nobody takes as long as it is told.
        let none = ["wait", "unix:@sok-none", "--timeout", "1100ms"];
        assert_eq!(sok(&none).code, 124);
        let client = Client::connect(server.address());
        client.send(b"hello").unwrap();
        server.signal(Signal::SIGCONT);
        let mut reply = [0; 8];
        let count = std::io::Read::read(&mut client.socket(), &mut reply).unwrap();
        assert_eq!(&reply[..count], b"hello");
        drop(client);
        assert_eq!(server.wait(), 124, "{}", server.said());
    }
);

datagrams!(
    a_session_has_its_place_until_its_program_has_ended,
    |place| {
        let fifo = place.path("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let script = format!(
            "trap '' TERM; cat >/dev/null; echo over >&2; read _ <{}; exit 0",
            fifo.display()
        );
        let options = ["-v", "--max-per-peer", "1", "--idle-timeout", "50ms"];
        let command = ["--framing", "null", "--exec", "sh", "-c", &script];
        let server = Server::start(place, &[&options[..], &command].concat());
        let client = Client::connect(server.address());
        client.send(b"hello").unwrap();
        server.stderr().wait_for("over\n");
        Client::connect(server.address()).assert_refused();
        server.stderr().wait_for(" has 1 open connection\n");
    }
);
