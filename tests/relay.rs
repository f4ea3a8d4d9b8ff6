//! `sok relay`: every family to every family.

use std::io::Write;
use std::thread;

use nix::sys::signal::Signal;

use crate::support::{
    Kind, Place, Process, RawListener, RawStream, Server, assert_same, noise, run, sok,
};

/// Makes a test of each kind of listening address, whose body sees every kind of target.
macro_rules! pairs {
    ($fact:ident, |$near:ident, $far:ident| $body:block) => {
        families!($fact, |$near| {
            for kind in Kind::ALL {
                run(kind, |$far: &Place| $body);
            }
        });
    };
}

pairs!(
    a_reply_after_the_half_close_arrives_complete,
    |near, far| {
        let backend = RawListener::bind(far);
        let relay = Server::relay(near, backend.address(), &[]);
        let mut client = RawStream::connect(relay.address());
        client.send(b"request");
        client.finish();
        let mut server = backend.accept();
        // The backend has seen the end before it says anything.
        assert_eq!(server.rest(), b"request");
        server.send(b"a late reply");
        drop(server);
        assert_eq!(client.rest(), b"a late reply");
    }
);

pairs!(
    a_backend_that_half_closes_first_still_receives,
    |near, far| {
        let backend = RawListener::bind(far);
        let relay = Server::relay(near, backend.address(), &[]);
        let mut client = RawStream::connect(relay.address());
        client.send(b"hello");
        let mut server = backend.accept();
        assert_eq!(server.take(5), b"hello");
        server.finish();
        assert_eq!(client.rest(), b"");
        client.send(b" and more");
        client.finish();
        assert_eq!(server.rest(), b" and more");
    }
);

pairs!(
    a_large_transfer_works_both_ways_by_copy_and_by_splice,
    |near, far| {
        let bytes = noise(24 << 20);
        for options in [&["--copy"][..], &[]] {
            let echo = Server::start(far, &[]);
            let relay = Server::relay(near, echo.address(), options);
            let got = RawStream::connect(relay.address()).exchange(&bytes);
            assert_same(&got, &bytes);
        }
    }
);

pairs!(a_target_that_refuses_resets_the_client, |near, far| {
    let nobody = far.nobody();
    let relay = Server::relay(near, &nobody.address, &[]);
    let mut client = RawStream::connect(relay.address());
    // The reset may be there before the request is sent.
    let error = match client.write_all(b"request") {
        Ok(()) => client
            .try_rest()
            .expect_err("a clean end looks like an empty reply"),
        Err(error) => error,
    };
    assert!(RawStream::is_broken(&error), "{error}");
    let said = relay.stderr().wait_for("failed");
    assert!(said.contains(&nobody.address), "{said}");
});

pairs!(a_client_waits_for_a_target_that_comes_later, |near, far| {
    // A socket that is bound without listening refuses, until it listens.
    let word = far.nobody();
    let relay = Server::relay(near, &word.address, &["--retry-for", "60s", "--trace"]);
    let mut client = RawStream::connect(relay.address());
    client.send(b"anybody?");
    client.finish();
    relay.stderr().wait_for("connect(");
    let echo = Server::at(&word.address, &[]);
    assert_eq!(client.rest(), b"anybody?");
    drop(echo);
});

pairs!(
    a_reset_of_the_target_reaches_the_client_as_an_error,
    |near, far| {
        let backend = RawListener::bind(far);
        let relay = Server::relay(near, backend.address(), &[]);
        let mut client = RawStream::connect(relay.address());
        client.send(b"request");
        let mut server = backend.accept();
        // Closed with the rest of the request unread: every family reports a reset to the relay.
        assert_eq!(server.take(3), b"req");
        server.reset();
        let ended = client.try_rest();
        if near.is_network() {
            assert!(ended.is_err_and(|error| RawStream::is_broken(&error)));
        }
        relay.stderr().wait_for("failed");
    }
);

pairs!(a_reset_after_the_end_of_a_side_is_noticed, |near, far| {
    let backend = RawListener::bind(far);
    for client_resets in [true, false] {
        let resets = if client_resets { near } else { far };
        if !resets.is_network() {
            // A family without a reset: it cannot tell of one.
            continue;
        }
        let relay = Server::relay(near, backend.address(), &["--once"]);
        let client = RawStream::connect(relay.address());
        let server = backend.accept();
        let (resetting, mut other) = match client_resets {
            true => (client, server),
            false => (server, client),
        };
        resetting.finish();
        assert_eq!(other.rest(), b"");
        resetting.reset();
        assert_eq!(relay.wait(), 6, "{}", relay.said());
        assert!(relay.said().contains("reset"), "{}", relay.said());
    }
});

families!(a_killed_client_disturbs_no_other, |place| {
    let echo = Server::start(place, &[]);
    let relay = Server::relay(place, echo.address(), &[]);
    let mut other = RawStream::connect(relay.address());
    other.send(b"before");
    assert_eq!(other.take(6), b"before");
    let mut dying = RawStream::connect(relay.address());
    dying.send(&noise(100_000));
    dying.reset();
    other.send(b"after");
    assert_eq!(other.take(5), b"after");
});

families!(a_relay_closes_its_descriptors, |place| {
    let echo = Server::start(place, &[]);
    let relay = Server::relay(place, echo.address(), &["-v", "--threads", "1"]);
    let open = || {
        std::fs::read_dir(format!("/proc/{}/fd", relay.pid()))
            .unwrap()
            .count()
    };
    let before = open();
    thread::scope(|scope| {
        for _ in 0..40 {
            let address = relay.address();
            scope.spawn(move || {
                let bytes = noise(1 << 20);
                assert_same(&RawStream::connect(address).exchange(&bytes), &bytes);
            });
        }
    });
    relay
        .stderr()
        .wait_until("40 ends", |text| text.matches("sok: ended").count() == 40);
    // What stays is the pool of the one thread: at most 16 pipes of two descriptors, less than one
    // for each connection.
    assert!(open() <= before + 32, "{before} before, {} after", open());
});

families!(one_relay_listens_on_several_addresses, |place| {
    let echo = Server::start(place, &[]);
    let second = Place::new(Kind::Abstract);
    let word = second.word();
    let relay = Server::relay(place, echo.address(), &["--listen", &word]);
    relay.stderr().wait_for(&word);
    for address in [relay.address(), &word] {
        assert_eq!(RawStream::connect(address).exchange(b"hello"), b"hello");
    }
});

families!(a_relay_to_itself_is_refused, |place| {
    let nobody = place.nobody();
    let done = sok(&["relay", &nobody.address, &nobody.address]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("itself") && done.stderr.contains(&nobody.address));
});

#[test]
fn a_relay_to_itself_is_refused_under_other_names_of_this_machine() {
    for (listen, target) in [
        (":8082", "inet:127.0.0.1:8082"),
        ("inet:0.0.0.0:8082", "inet:127.0.0.2:8082"),
        ("./relay.sock", "unix:../tmp/relay.sock"),
    ] {
        let script = r#"cd /tmp; exec "$SOK" relay "$1" "$2""#;
        let done = Process::sh(script, &[listen, target]).done();
        assert_eq!(done.code, 2, "{}", done.stderr);
    }
}

#[test]
fn an_ipv6_only_relay_may_connect_to_the_same_port_on_ipv4() {
    run(Kind::Inet6, |_| {
        let echo = Server::at("inet:127.0.0.1:0", &[]);
        let listen = format!("inet6:[::]:{}", echo.port());
        let relay = Process::sok(&["relay", "--v6only", &listen, echo.address()]);
        let relay = Server::of(relay);
        let client = format!("inet6:[::1]:{}", relay.port());
        assert_eq!(RawStream::connect(&client).exchange(b"hello"), b"hello");
    });
}

families!(sigusr1_is_handled_before_the_ready_line, |place| {
    for _ in 0..10 {
        let server = Server::start(place, &[]);
        server.signal(Signal::SIGUSR1);
        server.stderr().wait_for("sok: totals connections=0");
    }
});

families!(usr1_shows_the_totals_and_the_open_connections, |place| {
    let echo = Server::start(place, &[]);
    let relay = Server::relay(place, echo.address(), &["-v"]);
    assert_eq!(
        RawStream::connect(relay.address()).exchange(b"over"),
        b"over"
    );
    // Its thread counts it a moment after the client saw the end.
    relay.stderr().wait_for(" ended connection=1");
    let mut open = RawStream::connect(relay.address());
    open.send(b"hello");
    assert_eq!(open.take(5), b"hello");
    relay.signal(Signal::SIGUSR1);
    let shown = relay.stderr().wait_for("sok: open connection=2");
    assert!(
        shown.contains("totals connections=2 open=1 failed=0 received=9 sent=9"),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("forwarded_to={}", echo.address())),
        "{shown}"
    );
    // The relay keeps serving.
    open.send(b"again");
    assert_eq!(open.take(5), b"again");
});

families!(each_connection_has_a_line_at_its_end, |place| {
    let echo = Server::start(place, &[]);
    let relay = Server::relay(place, echo.address(), &["-v", "--json"]);
    assert_eq!(
        RawStream::connect(relay.address()).exchange(b"hello"),
        b"hello"
    );
    let shown = relay.stderr().wait_for("\"ended\"");
    let line = shown
        .lines()
        .find(|line| line.contains("\"ended\""))
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["connection"], 1);
    assert_eq!((&line["received"], &line["sent"]), (&5.into(), &5.into()));
    assert_eq!(line["forwarded_to"], echo.address());
    assert!(line["seconds"].is_number() && line["peer"].is_string());
});

families!(
    with_few_descriptors_clients_wait_instead_of_being_refused,
    |place| {
        let echo = Server::start(place, &[]);
        let word = place.word();
        let script = r#"ulimit -n 64; exec "$SOK" relay "$1" "$2" --threads 8"#;
        let relay = Server::of(Process::sh(script, &[&word, echo.address()]));
        let clients: Vec<RawStream> = (0..60)
            .map(|_| RawStream::connect(relay.address()))
            .collect();
        // Those that are served leave, and make room for those that wait.
        for mut client in clients {
            assert_eq!(client.exchange(b"hello"), b"hello");
        }
        assert!(!relay.stderr().text().contains("failed"));
    }
);
