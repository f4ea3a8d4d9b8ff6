//! The options of `sok relay`: its limits of time, its own end, how it stops, what it refuses.

use std::io::Write;

use nix::sys::signal::Signal;

use crate::support::{Kind, Place, Process, RawListener, RawStream, Server, run, sok};

/// A client that says something sees an error, and no end that looks like an empty reply.
fn assert_broken(client: &mut RawStream) {
    // The reset may be there before the request is sent.
    let ended = client
        .write_all(b"request")
        .and_then(|()| client.try_rest());
    assert!(ended.is_err_and(|error| RawStream::is_broken(&error)));
}

/// The client sees an error where its family can tell of one, and never hangs.
fn assert_refused(place: &Place, client: &mut RawStream) {
    let ended = client.try_rest();
    if place.is_network() {
        assert!(ended.is_err_and(|error| RawStream::is_broken(&error)));
    }
}

families!(an_idle_connection_is_closed, |place| {
    let backend = RawListener::bind(place);
    let options = ["--idle-timeout", "50ms", "--once"];
    let relay = Server::relay(place, backend.address(), &options);
    let mut client = RawStream::connect(relay.address());
    let mut server = backend.accept();
    assert_refused(place, &mut client);
    assert_refused(place, &mut server);
    assert_eq!(relay.wait(), 124);
    let said = relay.said();
    for part in ["no data passed", "50ms", backend.address()] {
        assert!(said.contains(part), "{part} in {said}");
    }
});

families!(a_stalled_receiver_is_idle_too, |place| {
    let backend = RawListener::bind(place);
    let options = ["--idle-timeout", "200ms", "--once"];
    let relay = Server::relay(place, backend.address(), &options);
    let script = r#"exec "$SOK" connect "$1" < /dev/zero"#;
    let sender = Process::sh(script, &[relay.address()]);
    let _never_reads = backend.accept();
    assert_eq!(relay.wait(), 124);
    assert_ne!(sender.wait(), 0, "{}", sender.said());
});

families!(a_silent_target_times_out, |place| {
    let full = RawListener::with_backlog(place, 0);
    let _waiting = RawStream::connect(full.address());
    let options = ["--connect-timeout", "50ms", "--once"];
    let relay = Server::relay(place, full.address(), &options);
    let mut client = RawStream::connect(relay.address());
    assert_broken(&mut client);
    assert_eq!(relay.wait(), 124);
    assert!(relay.said().contains(full.address()));
});

families!(a_client_that_resets_stops_waiting, |place| {
    if !place.is_network() {
        // A family without a reset: its clients only leave.
        return;
    }
    let nobody = place.nobody();
    let options = ["--retry-for", "1h", "--once"];
    let relay = Server::relay(place, &nobody.address, &options);
    RawStream::connect(relay.address()).reset();
    assert_eq!(relay.wait(), 6, "{}", relay.said());
});

families!(data_of_a_client_that_closed_waits_for_the_target, |place| {
    let nobody = place.nobody();
    let options = ["--retry-for", "60s", "--once", "--trace"];
    let relay = Server::relay(place, &nobody.address, &options);
    let mut client = RawStream::connect(relay.address());
    client.send(b"a message");
    drop(client);
    // The target is missed first.
    relay.stderr().wait_for("connect(");
    let target = RawListener::of(nobody);
    assert_eq!(target.accept().rest(), b"a message");
    assert_eq!(relay.wait(), 0, "{}", relay.said());
});

families!(a_stop_waits_for_open_connections, |place| {
    let echo = Server::start(place, &[]);
    let relay = Server::relay(place, echo.address(), &["-v", "--grace", "60s"]);
    let mut client = RawStream::connect(relay.address());
    client.send(b"before");
    assert_eq!(client.take(6), b"before");
    relay.terminate();
    relay.stderr().wait_for("draining");
    assert!(RawStream::try_connect(relay.address()).is_err());
    assert_eq!(client.exchange(b"after"), b"after");
    assert_eq!(relay.wait(), 0);
});

families!(
    a_stop_cuts_off_connections_at_the_end_of_the_grace,
    |place| {
        let echo = Server::start(place, &[]);
        // On other threads than the one that stops, too.
        let options = ["--grace", "10ms", "--threads", "4"];
        let relay = Server::relay(place, echo.address(), &options);
        let connected = |_| {
            let mut client = RawStream::connect(relay.address());
            client.send(b"before");
            assert_eq!(client.take(6), b"before");
            client
        };
        let clients: Vec<RawStream> = (0..20).map(connected).collect();
        relay.terminate();
        assert_eq!(relay.wait(), 6);
        let expected = "20 connections were cut off at the end of the grace period (10ms)";
        assert!(relay.said().contains(expected), "{}", relay.said());
        for mut client in clients {
            assert_refused(place, &mut client);
        }
    }
);

families!(with_once_a_client_that_is_cut_off_is_a_failure, |place| {
    let echo = Server::start(place, &[]);
    let relay = Server::relay(place, echo.address(), &["--grace", "10ms", "--once"]);
    let mut client = RawStream::connect(relay.address());
    client.send(b"before");
    assert_eq!(client.take(6), b"before");
    relay.terminate();
    assert_eq!(relay.wait(), 6, "{}", relay.said());
    assert!(relay.said().contains("1 connection was cut off"));
});

families!(a_second_signal_ends_the_grace_period, |place| {
    let echo = Server::start(place, &[]);
    let relay = Server::relay(place, echo.address(), &["-v", "--grace", "1h"]);
    let mut client = RawStream::connect(relay.address());
    client.send(b"before");
    assert_eq!(client.take(6), b"before");
    relay.terminate();
    relay.stderr().wait_for("draining");
    relay.signal(Signal::SIGINT);
    assert_eq!(relay.wait(), 6);
});

families!(the_target_sees_the_given_source, |place| {
    let backend = RawListener::bind(place);
    let own = match place.kind() {
        Kind::Inet => "inet:127.0.0.2:0".to_owned(),
        Kind::Inet6 | Kind::Unix | Kind::Abstract => place.word(),
    };
    let relay = Server::relay(place, backend.address(), &["--source", &own]);
    let mut client = RawStream::connect(relay.address());
    client.send(b"hello");
    let mut server = backend.accept();
    assert_eq!(server.take(5), b"hello");
    let peer = server.socket().peer_addr().unwrap();
    match peer.as_socket() {
        Some(peer) => assert!(own.contains(&peer.ip().to_string()), "{peer} for {own}"),
        None => {
            let path = peer.as_pathname().map(|path| path.display().to_string());
            let name = peer.as_abstract_namespace();
            let name = name.map(|name| format!("@{}", String::from_utf8_lossy(name)));
            assert_eq!(path.or(name).map(|name| format!("unix:{name}")), Some(own));
        }
    }
});

families!(
    from_one_source_one_client_is_served_after_another,
    |place| {
        let backend = RawListener::bind(place);
        // Held until no other process can get its port.
        let own = place.nobody();
        let relay = Server::relay(place, backend.address(), &["--source", &own.address]);
        relay.stderr().wait_for("one connection at a time");
        let mut first = RawStream::connect(relay.address());
        let mut second = RawStream::connect(relay.address());
        for client in [&mut first, &mut second] {
            client.send(b"hello");
            let mut server = backend.accept();
            assert_eq!(server.take(5), b"hello");
            drop(server);
            assert_eq!(client.rest(), b"");
            client.finish();
        }
    }
);

#[test]
fn a_relay_that_can_serve_no_client_is_refused_at_the_start() {
    run(Kind::Unix, |place| {
        let source = ["--source", "./own.sock"];
        let word = place.word();
        for (target, options, why) in [
            (":1", &[][..], "the host is empty"),
            ("inet:127.0.0.1:1", &source, "--source unix:./own.sock"),
            ("./own.sock", &source, "the target's own address"),
            ("@nobody", &["--source", &word], "is LISTEN"),
            ("no-such-host.invalid:80", &["--source", &word], "is LISTEN"),
            ("@nobody", &["--listen", &word], "is given twice"),
            ("inet:127.0.0.1:0", &[], "no server listens on port 0"),
            ("localhost:0", &[], "no server listens on port 0"),
            ("@nobody", &["--connect-timeout", "0s"], "--connect-timeout"),
            ("[fe80::1]:1", &[], "such as [fe80::1%eth0]"),
        ] {
            let done = sok(&[&["relay", &word, target], options].concat());
            assert_eq!(done.code, 2, "{}", done.stderr);
            assert!(done.stderr.contains(why), "{}", done.stderr);
            assert_eq!(place.listing(), [""; 0]);
        }
    });
}

families!(once_is_one_connection_over_all_listeners, |place| {
    let echo = Server::start(place, &[]);
    let second = Place::new(Kind::Abstract).word();
    let options = ["--listen", &second, "--once"];
    let relay = Server::relay(place, echo.address(), &options);
    relay.stderr().wait_for(&second);
    assert_eq!(RawStream::connect(&second).exchange(b"hello"), b"hello");
    assert_eq!(relay.wait(), 0);
    assert!(RawStream::try_connect(relay.address()).is_err());
    assert!(RawStream::try_connect(&second).is_err());
});

families!(once_exits_with_the_code_of_the_failure, |place| {
    let nobody = place.nobody();
    let cases = [(nobody.address.as_str(), 3), ("no-such-host.invalid:80", 7)];
    for (target, code) in cases {
        let relay = Server::relay(place, target, &["--once"]);
        let mut client = RawStream::connect(relay.address());
        assert_broken(&mut client);
        assert_eq!(relay.wait(), code, "{}", relay.said());
        assert!(relay.said().contains(target), "{}", relay.said());
    }
});

families!(
    a_name_that_does_not_resolve_fails_only_its_client,
    |place| {
        let relay = Server::relay(place, "no-such-host.invalid:80", &[]);
        for count in 1..=2 {
            let mut client = RawStream::connect(relay.address());
            assert_broken(&mut client);
            relay.stderr().wait_for_count(" failed connection=", count);
        }
        relay.terminate();
        assert_eq!(relay.wait(), 0);
    }
);

families!(an_address_in_use_is_5, |place| {
    let holder = RawListener::bind(place);
    let free = Place::new(Kind::Abstract).word();
    let target = "unix:/nowhere";
    // As the first listener, and as another one.
    for on in [
        [holder.address(), target].as_slice(),
        &[free.as_str(), target, "--listen", holder.address()],
    ] {
        let done = sok(&[&["relay"], on].concat());
        assert_eq!(done.code, 5, "{}", done.stderr);
        assert!(done.stderr.contains(holder.address()), "{}", done.stderr);
    }
});
