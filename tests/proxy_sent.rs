//! `--send-proxy`: the first bytes that a target gets name the client.

use sok::net::{Peer, Proxied};

use crate::support::{Kind, Place, Process, RawListener, RawStream, Server, have, noise, sok_with};

/// The header of version 2 at the beginning of what `stream` receives.
fn received(stream: &mut RawStream, keeps_messages: bool) -> Proxied {
    let mut header = if keeps_messages {
        let mut message = vec![0; 600];
        let count = std::io::Read::read(stream, &mut message).unwrap();
        message.truncate(count);
        message
    } else {
        stream.take(16)
    };
    if !keeps_messages {
        let length = u16::from_be_bytes([header[14], header[15]]);
        header.extend(stream.take(length.into()));
    }
    Proxied::parse(&header)
        .expect("it is valid")
        .expect("it names a client")
}

/// The address that the kernel gives a connected client.
fn own_address(place: &Place, client: &RawStream) -> String {
    match client.socket().local_addr().unwrap().as_socket() {
        Some(name) => format!("{}:{name}", place.prefix()),
        None => "unix:".to_owned(),
    }
}

/// The peer of this process, and of the type that a header has for it.
fn assert_own(place: &Place, proxied: &Proxied, address: &str, pid: i32, server: &str) {
    assert_eq!(proxied.peer.address.to_string(), address);
    assert_eq!(
        proxied.destination.to_string(),
        server.replace("unixpacket:", "unix:")
    );
    let process = proxied.peer.credentials;
    assert_eq!(
        process.map(|process| process.pid),
        (!place.is_network()).then_some(pid)
    );
    assert_eq!(
        process.map(|process| process.uid),
        (!place.is_network()).then_some(nix::unistd::geteuid().as_raw())
    );
}

connections!(a_target_learns_the_client_of_the_relay, |place| {
    let target = RawListener::bind(place);
    let relay = Server::relay(place, target.address(), &["--send-proxy", "v2"]);
    let mut client = RawStream::connect(relay.address());
    let mut server = target.accept();
    // It comes before the client sends anything.
    let proxied = received(&mut server, place.keeps_messages());
    let pid = nix::unistd::getpid().as_raw();
    assert_own(
        place,
        &proxied,
        &own_address(place, &client),
        pid,
        relay.address(),
    );
    client.send(b"hello");
    assert_eq!(server.take(5), b"hello");
    server.send(b"world");
    assert_eq!(client.take(5), b"world");
});

connections!(a_server_learns_who_sok_connect_is, |place| {
    let target = RawListener::bind(place);
    for (version, is_known) in [("v1", place.is_network()), ("v2", true)] {
        let mut connect = Process::sok(&["connect", target.address(), "--send-proxy", version]);
        let mut server = target.accept();
        let from = server.socket().peer_addr().unwrap();
        let own = match from.as_socket() {
            Some(name) => format!("{}:{name}", place.prefix()),
            None => "unix:".to_owned(),
        };
        if version == "v2" {
            let proxied = received(&mut server, place.keeps_messages());
            assert_own(
                place,
                &proxied,
                &own,
                connect.pid().as_raw(),
                target.address(),
            );
        } else if place.keeps_messages() {
            assert_eq!(server.take(15), b"PROXY UNKNOWN\r\n");
        } else {
            let line = server.line();
            let proxied = Proxied::parse(line.as_bytes()).unwrap();
            assert_eq!(proxied.is_some(), is_known, "{line}");
            assert!(proxied.is_none_or(|proxied| proxied.peer == Peer::new(own.parse().unwrap())));
        }
        connect.write(b"hello\n");
        assert_eq!(server.take(5), b"hello");
        server.send(b"world");
        connect.stdout().wait_for("world");
        drop(server);
        connect.close_stdin();
        connect.wait();
    }
});

connections!(a_program_of_the_client_talks_after_the_header, |place| {
    let target = RawListener::bind(place);
    let framing: &[&str] = if place.keeps_messages() {
        &["--framing", "line"]
    } else {
        &[]
    };
    let program = [
        "--exec",
        "sh",
        "-c",
        "echo hello; read answer; echo \"$answer\" >&2",
    ];
    let options = [framing, &["--send-proxy", "v2"], &program].concat();
    let connect = Process::sok(&[&["connect", target.address()], &options[..]].concat());
    let mut server = target.accept();
    let proxied = received(&mut server, place.keeps_messages());
    assert_eq!(proxied.peer.address.family().name(), place.family());
    // A message has no newline.
    assert_eq!(server.take(5), b"hello");
    server.send(b"world\n");
    connect.stderr().wait_for("world");
});

families!(a_line_names_a_client_of_tcp_only, |place| {
    let target = RawListener::bind(place);
    let relay = Server::relay(place, target.address(), &["--send-proxy", "v1"]);
    let client = RawStream::connect(relay.address());
    let line = target.accept().line();
    let own = own_address(place, &client);
    let port = own.rsplit_once(':').unwrap().1;
    let expected = match place.kind() {
        Kind::Inet => format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\n", relay.port()),
        Kind::Inet6 => format!("PROXY TCP6 ::1 ::1 {port} {}\r\n", relay.port()),
        Kind::Unix | Kind::Abstract => "PROXY UNKNOWN\r\n".to_owned(),
    };
    assert_eq!(line, expected);
});

#[test]
fn an_ipv4_client_of_a_dual_stack_relay_is_one_of_ipv4() {
    if have(Kind::Inet) && have(Kind::Inet6) {
        let place = Place::new(Kind::Inet);
        let target = RawListener::bind(&place);
        let relay = Process::sok(&[
            "relay",
            "inet6:[::]:0",
            target.address(),
            "--send-proxy",
            "v1",
        ]);
        let relay = Server::of(relay);
        let client = RawStream::connect(&format!("inet:127.0.0.1:{}", relay.port()));
        let port = client
            .socket()
            .local_addr()
            .unwrap()
            .as_socket()
            .unwrap()
            .port();
        let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\n", relay.port());
        assert_eq!(target.accept().line(), expected);
    }
}

// Through two relays of any family to a program, which sees the first client.
connections!(a_client_is_passed_on_from_relay_to_relay, |place| {
    let script = r#"printf '%s|%s' "$SOK_PEER" "$UNIXREMOTEPID"; cat"#;
    let framing: &[&str] = if place.keeps_messages() {
        &["--framing", "null"]
    } else {
        &[]
    };
    let server = Server::start(
        place,
        &[
            &["--accept-proxy"],
            framing,
            &["--exec", "sh", "-c", script],
        ]
        .concat(),
    );
    let second = Server::relay(
        place,
        server.address(),
        &["--accept-proxy", "--send-proxy", "v2"],
    );
    let first = Server::relay(place, second.address(), &["--send-proxy", "v2"]);
    let mut client = RawStream::connect(first.address());
    client.finish();
    let pid = if place.is_network() {
        String::new()
    } else {
        nix::unistd::getpid().to_string()
    };
    let expected = format!("{}|{pid}", own_address(place, &client));
    assert_eq!(
        String::from_utf8(client.take(expected.len())).unwrap(),
        expected
    );
});

// One address of each family in front of, and behind, a header.
forms!(
    a_client_of_any_kind_is_named_to_a_target_of_any_kind,
    |place| {
        for kind in [Kind::Inet, Kind::Inet6, Kind::Unix, Kind::Abstract] {
            let other = Place::new(kind);
            let target = RawListener::bind(&other);
            let framing: &[&str] = if place.keeps_messages() {
                &["--framing", "line"]
            } else {
                &[]
            };
            let relay = Server::relay(
                place,
                target.address(),
                &[framing, &["--send-proxy", "v2"]].concat(),
            );
            // `call` is a client of every type.
            let call = Process::sok(&["call", relay.address(), "hello", "--no-reply"]);
            let mut server = target.accept();
            let proxied = received(&mut server, false);
            assert_eq!(server.take(6), b"hello\n");
            assert_eq!(proxied.peer.address.family().name(), place.family());
            assert_eq!(
                proxied.peer.address.socket_type().has_connection(),
                place.has_connection()
            );
            assert_eq!(
                proxied.destination.to_string(),
                relay.address().replace("unixpacket:", "unix:")
            );
            drop(server);
            call.wait();
        }
    }
);

families!(a_large_transfer_after_a_header_is_complete, |place| {
    let target = RawListener::bind(place);
    let relay = Server::relay(place, target.address(), &["--send-proxy", "v2"]);
    let data = noise(4 << 20);
    let mut client = RawStream::connect(relay.address());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut server = target.accept();
            received(&mut server, false);
            let got = server.rest();
            assert!(got == data);
            server.send(&got);
        });
        assert!(client.exchange(&data) == data);
    });
});

forms!(
    what_cannot_have_a_header_is_an_error_at_the_start,
    |place| {
        let word = place.word();
        let refused = |arguments: &[&str], cause: &str| {
            let done = sok_with(arguments, b"");
            assert_eq!(done.code, 2, "{arguments:?}: {}", done.stderr);
            assert!(
                done.stderr.contains(cause),
                "{arguments:?}: {}",
                done.stderr
            );
        };
        refused(&["connect", &word, "--send-proxy", "v3"], "v3");
        refused(&["connect", &word, "--send-proxy"], "--send-proxy");
        refused(
            &["relay", "unix:@sok-nowhere", &word, "--send-proxy", "2"],
            "v1, v2",
        );
        if !place.has_connection() {
            let target = place.nobody();
            let cause = "--send-proxy needs connections, and a datagram socket has none";
            refused(&["connect", &target.address, "--send-proxy", "v2"], cause);
            refused(
                &[
                    "relay",
                    "unix:@sok-nowhere",
                    &target.address,
                    "--framing",
                    "line",
                    "--send-proxy",
                    "v1",
                ],
                cause,
            );
        }
    }
);
