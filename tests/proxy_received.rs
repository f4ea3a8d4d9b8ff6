//! `--accept-proxy`: the client that a PROXY header names is the peer, and nobody else is served.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use sok::net::{Credentials, Peer, Proxied, ProxyVersion};

use crate::support::{Place, Process, RawListener, RawStream, Server, noise, sok};

/// A header of a client that no test has.
const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n";
const CLIENT: &str = "inet:192.0.2.7:56324";

/// The header of a connection of `peer` to `destination`, and of a process on AF_UNIX.
fn header(peer: &str, destination: &str) -> Vec<u8> {
    let mut peer = Peer::new(peer.parse().unwrap());
    peer.credentials = Some(Credentials {
        pid: 4711,
        uid: 65_000,
        gid: 65_001,
    });
    Proxied::new(peer, destination.parse().unwrap()).header(ProxyVersion::V2)
}

/// A client whose connection begins with `header`.
fn introduced(server: &Server, header: &[u8]) -> RawStream {
    let mut client = RawStream::connect(server.address());
    client.send(header);
    client
}

fn assert_echoed(client: &mut RawStream) {
    client.send(b"hello");
    assert_eq!(client.take(5), b"hello");
}

fn serve(place: &Place, options: &[&str]) -> Server {
    Server::start(place, &[&["--accept-proxy"], options].concat())
}

/// `--exec` with what it needs on a socket that keeps messages apart.
fn exec(place: &Place, script: &'static str) -> Vec<&'static str> {
    let framing: &[&str] = if place.keeps_messages() {
        &["--framing", "null"]
    } else {
        &[]
    };
    [framing, &["--exec", "sh", "-c", script]].concat()
}

const ENVIRONMENT: &str = r#"printf '%s|' "$PROTO" "$SOK_FAMILY" "$SOK_TYPE" "$SOK_LOCAL" "$SOK_PEER" \
    "$TCPLOCALIP" "$TCPREMOTEIP" "$TCPREMOTEPORT" "$UDPREMOTEIP" "$UNIXLOCALPATH" "$UNIXREMOTEPATH" \
    "$UNIXREMOTEPID" "$UNIXREMOTEEUID" "$UNIXREMOTEEGID""#;

connections!(a_program_sees_the_client_of_the_header, |place| {
    let server = serve(place, &exec(place, ENVIRONMENT));
    for (header, environment) in [
        (
            LINE.to_vec(),
            "TCP|inet|stream|inet:192.0.2.1:443|inet:192.0.2.7:56324|192.0.2.1|192.0.2.7|56324|||||||",
        ),
        (
            header("inet6:[2001:db8::7]:1", "inet6:[2001:db8::1]:2"),
            "TCP|inet6|stream|inet6:[2001:db8::1]:2|inet6:[2001:db8::7]:1|2001:db8::1|2001:db8::7|1|||||||",
        ),
        (
            header("udp4:192.0.2.7:1", "udp4:192.0.2.1:2"),
            "UDP|inet|datagram|udp4:192.0.2.1:2|udp4:192.0.2.7:1||||192.0.2.7||||||",
        ),
        (
            header("unix:/run/client", "unix:@server"),
            "UNIX|unix|stream|unix:@server|unix:/run/client||||||/run/client|4711|65000|65001|",
        ),
        (
            header("unix:", "unix:/run/server"),
            "UNIX|unix|stream|unix:/run/server|unix:|||||/run/server||4711|65000|65001|",
        ),
    ] {
        let mut client = introduced(&server, &header);
        client.finish();
        let said = client.take(environment.len());
        assert_eq!(String::from_utf8(said).unwrap(), environment);
    }
});

connections!(the_client_of_the_header_is_in_each_report, |place| {
    let server = serve(place, &["-v"]);
    let mut client = introduced(&server, LINE);
    assert_echoed(&mut client);
    let said = server.stderr().wait_for("connected connection=1");
    assert!(
        said.contains(&format!(
            "connection=1 peer={CLIENT} proxy={}:",
            place.prefix()
        )),
        "{said}"
    );
    server.signal(Signal::SIGUSR1);
    server.stderr().wait_for(&format!(
        "sok: open connection=1 peer={CLIENT} received=5 sent=5"
    ));
    drop(client);
    server.stderr().wait_for(&format!(
        "sok: ended connection=1 peer={CLIENT} received=5 sent=5"
    ));

    let server = serve(place, &["-v", "--json"]);
    assert_echoed(&mut introduced(&server, &header("unix:@c", "unix:@s")));
    let said = server.stderr().wait_for(r#""message":"ended""#);
    let events = said
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let events: Vec<_> = events.filter(|event| event["connection"] == 1).collect();
    assert_eq!(events.len(), 2, "{said}");
    for event in events {
        assert_eq!(
            (&event["peer"], &event["pid"], &event["uid"]),
            (&"unix:@c".into(), &4711.into(), &65_000.into())
        );
    }
});

connections!(
    a_header_that_names_nobody_keeps_the_peer_of_the_socket,
    |place| {
        let server = serve(place, &["-v"]);
        let local: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
        let unspecified: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\x03abc";
        for (number, header) in (1..).zip([b"PROXY UNKNOWN\r\n", local, unspecified]) {
            assert_echoed(&mut introduced(&server, header));
            let own = format!("connected connection={number} peer={}:", place.prefix());
            let said = server.stderr().wait_for(&own);
            assert!(!said.contains(" proxy="), "{said}");
        }
    }
);

/// What a client gets that is refused: nothing, and then an error if its family has one.
fn assert_cut(place: &Place, mut client: RawStream) {
    match client.try_rest() {
        Ok(rest) => {
            assert_eq!(rest, b"");
            assert!(!place.is_network(), "a network has a reset");
        }
        Err(error) => assert!(RawStream::is_broken(&error), "{error}"),
    }
}

connections!(
    a_connection_without_a_valid_header_is_reset_with_a_reason,
    |place| {
        let server = serve(place, &["-v", "--once"]);
        let mut wrong = header("inet:192.0.2.7:1", "inet:192.0.2.1:2");
        *wrong.last_mut().unwrap() ^= 1;
        for (sent, reason) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "no PROXY header"),
            (
                b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 443\r\n",
                "invalid PROXY line: a malformed source port",
            ),
            (
                b"PROXY TCP4 192.0.2.7 192.0.2.1 01 443\r\n",
                "invalid PROXY line: a malformed source port",
            ),
            (&wrong, "PROXY header with a wrong checksum"),
            (
                b"\r\n\r\n\0\r\nQUIT\n\x31\0\0\0",
                "invalid PROXY header: version 3",
            ),
            (
                b"\r\n\r\n\0\r\nQUIT\n\x22\0\0\0",
                "invalid PROXY header: command 2",
            ),
            (
                b"\r\n\r\n\0\r\nQUIT\n\x21\x51\0\0",
                "invalid PROXY header: family 5",
            ),
        ] {
            let client = introduced(&server, sent);
            let said = server.stderr().wait_for(&format!("reason={reason}"));
            assert!(
                said.contains(&format!("sok: refused peer={}:", place.prefix())),
                "{said}"
            );
            // It stays in the socket, so that each family reports an error.
            let error = client.twin().try_rest().expect_err("it is refused");
            assert!(RawStream::is_broken(&error), "{error}");
        }
        let client = introduced(&server, b"");
        client.finish();
        server
            .stderr()
            .wait_for("reason=ended without a PROXY header");
        assert_cut(place, client);
        // None of them counted.
        let mut client = introduced(&server, LINE);
        assert_echoed(&mut client);
        drop(client);
        assert_eq!(server.wait(), 0);
        assert!(!server.stderr().text().contains("connection=2"));
    }
);

connections!(a_silent_client_holds_up_nobody, |place| {
    let server = serve(place, &["-v", "--proxy-timeout", "1m"]);
    let silent = introduced(&server, b"");
    let slow = introduced(&server, b"");
    assert_echoed(&mut introduced(&server, LINE));
    // A header that is late is one.
    let mut slow = slow;
    slow.send(LINE);
    assert_echoed(&mut slow);
    server.stderr().wait_for("connected connection=2");
    // One that has sent a part of it is no client yet.
    server.signal(Signal::SIGUSR1);
    server
        .stderr()
        .wait_for("totals connections=2 open=1 failed=0 received");
    drop(silent);
    server
        .stderr()
        .wait_for("reason=ended without a PROXY header");
});

connections!(a_header_has_a_time_limit, |place| {
    let server = serve(place, &["-v", "--proxy-timeout", "50ms"]);
    let sent: &[u8] = if place.keeps_messages() {
        b""
    } else {
        &LINE[..20]
    };
    let client = introduced(&server, sent);
    assert_cut(place, client);
    server
        .stderr()
        .wait_for("reason=no PROXY header within 50ms");
});

// A connection that waits for its header has a place, and gives it back.
connections!(the_place_of_a_refused_connection_is_free, |place| {
    let server = serve(place, &["-v", "--one-at-a-time", "--proxy-timeout", "1m"]);
    let first = introduced(&server, b"");
    let mut second = introduced(&server, LINE);
    drop(first);
    assert_echoed(&mut second);
    let said = server.stderr().wait_for("connected connection=1");
    assert!(said.contains("refused"), "{said}");
});

connections!(a_stop_waits_for_a_header_that_is_under_way, |place| {
    let server = serve(place, &["-v", "--grace", "1m", "--proxy-timeout", "1m"]);
    let mut client = introduced(&server, b"");
    // It is accepted before this one.
    assert_echoed(&mut introduced(&server, LINE));
    server.terminate();
    server.stderr().wait_for("draining");
    client.send(LINE);
    assert_echoed(&mut client);
    drop(client);
    assert_eq!(server.wait(), 0);
});

families!(
    a_header_that_comes_byte_by_byte_costs_a_few_calls_each,
    |place| {
        let server = serve(place, &["--trace", "--proxy-timeout", "1m"]);
        let mut client = introduced(&server, b"");
        let calls = |text: &str| text.lines().filter(|line| line.contains(" recv")).count();
        for (sent, byte) in (1..).zip(LINE) {
            client.send(&[*byte]);
            if sent < LINE.len() {
                // The byte has been taken: what follows is another wait.
                let taken = |text: &str| calls(text) >= 2 * sent;
                server.stderr().wait_until("the byte is received", taken);
            }
        }
        assert_echoed(&mut client);
        let said = server.stderr().text();
        assert!(calls(&said) <= 4 * LINE.len(), "{said}");
    }
);

connections!(only_listed_peers_may_send_a_header, |place| {
    let (own, other): (&[&str], &[&str]) = match place.is_network() {
        true => (&["127.0.0.1", "::1"], &["192.0.2.0/24"]),
        false => (&["uid:0", "uid:1", "gid:0"], &["uid:4711"]),
    };
    let options = |rules: &[&'static str]| -> Vec<&'static str> {
        let each = rules.iter().flat_map(|rule| ["--proxy-from", *rule]);
        ["-v"].into_iter().chain(each).collect()
    };
    let uid = format!("uid:{}", nix::unistd::geteuid());
    let server = serve(
        place,
        &[
            &options(own)[..],
            &[
                "--proxy-from",
                if place.is_network() {
                    "127.0.0.0/8"
                } else {
                    &uid
                },
            ],
        ]
        .concat(),
    );
    assert_echoed(&mut introduced(&server, LINE));
    let server = serve(place, &options(other));
    let mut client = RawStream::connect(server.address());
    // The reset may come before the header is sent.
    let refused = client.try_exchange(LINE);
    server
        .stderr()
        .wait_for("reason=it may not send a PROXY header: no rule allows it");
    let error = refused.expect_err("it is refused");
    assert!(RawStream::is_broken(&error), "{error}");
});

/// Another client of the same header's host.
const NEIGHBOUR: &[u8] = b"PROXY TCP4 192.0.2.8 192.0.2.1 56324 443\r\n";

// Also of IP addresses where the socket has none, and of users where it has no process.
connections!(rules_and_limits_are_for_the_client_of_the_header, |place| {
    let server = serve(
        place,
        &["-v", "--deny", "192.0.2.8", "--deny", "2001:db8::/32"],
    );
    for refused in [
        NEIGHBOUR.to_vec(),
        header("inet6:[::ffff:192.0.2.8]:1", "inet6:[::ffff:192.0.2.1]:2"),
        header("inet6:[2001:db8::7]:1", "inet6:[2001:db8::1]:2"),
    ] {
        assert_cut(place, introduced(&server, &refused));
    }
    let reason = "reason=deny 192.0.2.8";
    server
        .stderr()
        .wait_for(&format!("sok: refused peer=inet:192.0.2.8:56324 {reason}"));
    assert_echoed(&mut introduced(&server, LINE));
    assert_echoed(&mut introduced(&server, &header("unix:/c", "unix:/s")));

    let server = serve(
        place,
        &["-v", "--allow", "uid:65000", "--allow", "192.0.2.8"],
    );
    assert_echoed(&mut introduced(&server, &header("unix:/c", "unix:/s")));
    assert_echoed(&mut introduced(&server, NEIGHBOUR));
    assert_cut(place, introduced(&server, LINE));
    server.stderr().wait_for("reason=no rule allows it");

    let server = serve(place, &["-v", "--max-per-peer", "1"]);
    let mut first = introduced(&server, LINE);
    assert_echoed(&mut first);
    assert_echoed(&mut introduced(&server, NEIGHBOUR));
    assert_cut(place, introduced(&server, LINE));
    server
        .stderr()
        .wait_for("reason=192.0.2.7 has 1 open connection");
    assert_echoed(&mut first);
});

forms!(wrong_options_are_errors_at_the_start, |place| {
    let word = place.word();
    let refused = |options: &[&str], cause: &str| {
        let done = sok(&[&["serve", &word], options].concat());
        assert_eq!(done.code, 2, "{options:?}: {}", done.stderr);
        assert!(done.stderr.contains(cause), "{options:?}: {}", done.stderr);
    };
    if !place.has_connection() {
        let cause = "--accept-proxy needs connections, and a datagram socket has none";
        refused(&["--accept-proxy"], cause);
        let done = sok(&[
            "relay",
            &word,
            "unix:/nowhere",
            "--framing",
            "line",
            "--accept-proxy",
        ]);
        assert!(
            done.code == 2 && done.stderr.contains(cause),
            "{}",
            done.stderr
        );
        return;
    }
    refused(&["--proxy-timeout", "1s"], "--accept-proxy");
    refused(&["--proxy-from", "any"], "--accept-proxy");
    refused(
        &["--accept-proxy", "--proxy-timeout", "0"],
        "must be more than 0",
    );
    refused(
        &["--accept-proxy", "--proxy-timeout", "soon"],
        "write 500ms, 2s or 1m",
    );
    refused(
        &["--accept-proxy", "--proxy-from", "10.0.0.0/33"],
        "10.0.0.0/33",
    );
    refused(&["--accept-proxy", "--proxy-from", "nonsense"], "nonsense");
    // No peer of the socket matches it.
    let never = if place.is_network() {
        "uid:0"
    } else {
        "10.0.0.0/8"
    };
    refused(
        &["--accept-proxy", "--proxy-from", never],
        "it matches no client of",
    );
    // A client of TCP in a header has no user.
    refused(
        &["--accept-proxy", "--deny", "uid:0"],
        "it cannot be checked for clients of a PROXY header of TCP",
    );
    refused(
        &["--accept-proxy", "--allow", "gid:0"],
        "it matches no client of a PROXY header",
    );
});

/// Sends `bytes` with an open file.
fn send_with_file(client: &RawStream, bytes: &[u8]) {
    let file = std::fs::File::open("/dev/null").unwrap();
    let numbers = [file.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&numbers)];
    let socket = client.socket().as_fd().as_raw_fd();
    sendmsg::<()>(
        socket,
        &[IoSlice::new(bytes)],
        &control,
        MsgFlags::empty(),
        None,
    )
    .unwrap();
}

// They would be lost otherwise, and nobody would know.
locals!(open_files_that_come_with_a_header_are_refused, |place| {
    if place.has_connection() {
        let target = RawListener::bind(place);
        let word = place.word();
        let relay = Process::sok(&["relay", &word, target.address(), "--accept-proxy", "-v"]);
        let relay = Server::of(relay);
        let client = RawStream::connect(relay.address());
        send_with_file(&client, LINE);
        relay
            .stderr()
            .wait_for("reason=open files came with the PROXY header");
        assert_cut(place, client);
        // After it they are passed on.
        let mut client = introduced(&relay, LINE);
        send_with_file(&client, b"hello");
        let mut served = target.accept();
        assert_eq!(served.take(5), b"hello");
        client.send(b"!");
        assert_eq!(served.take(1), b"!");
    }
});

// Header and data come in one segment, the data goes on through the kernel.
families!(what_follows_a_header_is_spliced_and_complete, |place| {
    let target = RawListener::bind(place);
    let word = place.word();
    let relay = Process::sok(&[
        "relay",
        &word,
        target.address(),
        "--accept-proxy",
        "--trace",
    ]);
    let relay = Server::of(relay);
    let data = noise(4 << 20);
    let mut client = RawStream::connect(relay.address());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            client.send(&[LINE, &data].concat());
            client.finish();
        });
        assert!(target.accept().rest() == data);
    });
    // On AF_UNIX, a splice may cost more than a copy.
    if place.is_network() {
        relay.stderr().wait_for("splice(");
    }
});
