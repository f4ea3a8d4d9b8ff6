//! `fd:3` and `fd:NAME` as addresses: sockets that another program has made.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::Command;

use sok::address::SocketType;

use crate::support::{
    Kind, Passed, Place, Process, RawListener, RawMessages, RawStream, Server, assert_answers,
    have, require_peer,
};

/// A server on `socket` as descriptor 3, once it is ready.
fn serving(socket: &Passed, arguments: &[&str]) -> Server {
    let mut all = vec!["serve", "fd:3"];
    all.extend(arguments);
    Server::of(Process::sok_inheriting(socket.descriptor(), &all))
}

forms!(a_server_serves_an_inherited_socket, |place| {
    for polled in [false, true] {
        let socket = Passed::listening(place).polled(polled);
        for answer in ["!", "?"] {
            // The second server gets the same socket from the first one's supervisor.
            let mut options = vec!["--suffix", answer];
            options.extend(place.line_framing());
            let server = serving(&socket, &options);
            assert_eq!(server.address(), socket.address());
            let ready = format!("listening on {} (fd:3)\n", socket.address());
            assert_eq!(server.stderr().text(), ready);
            for message in ["one", "two"] {
                assert_answers(socket.address(), message, &format!("{message}{answer}"));
            }
            assert_eq!(socket.is_polled(), polled, "its flags are ours");
            server.terminate();
            assert_eq!(server.wait(), 0, "{}", server.said());
            assert_eq!(socket.is_polled(), polled, "its flags are ours");
            if place.kind() == Kind::Unix {
                let (_, path) = socket.address().split_once(':').unwrap();
                assert!(std::fs::exists(path).unwrap(), "sok did not make the file");
            }
        }
    }
});

forms!(
    many_peers_of_an_inherited_socket_are_served_at_once,
    |place| {
        for polled in [false, true] {
            let socket = Passed::listening(place).polled(polled);
            let _server = serving(&socket, &[]);
            let address = socket.address();
            if place.keeps_messages() {
                let clients: Vec<_> = (0..20).map(|_| RawMessages::connect(address)).collect();
                for client in clients.iter().chain(clients.iter().rev()) {
                    client.send(b"hello");
                    assert_eq!(client.receive(), b"hello");
                }
            } else {
                let mut clients: Vec<_> = (0..20).map(|_| RawStream::connect(address)).collect();
                for client in &mut clients {
                    client.send(b"hello");
                    assert_eq!(client.take(5), b"hello");
                }
            }
        }
    }
);

connections!(
    an_inherited_connection_is_served_and_ends_the_server,
    |place| {
        for polled in [false, true] {
            let listener = Passed::listening(place);
            if place.keeps_messages() {
                let client = RawMessages::connect(listener.address());
                let connection = listener.accepted().polled(polled);
                let server = Process::sok_inheriting(
                    connection.descriptor(),
                    &["serve", "fd:3", "--suffix=!"],
                );
                for message in [&b"one"[..], b"", b"two"] {
                    client.send(message);
                    assert_eq!(client.receive(), [message, b"!"].concat());
                }
                client.finish();
                assert_eq!(server.wait(), 0, "{}", server.said());
                assert_eq!(connection.is_polled(), polled);
                drop(connection);
                client.assert_end();
            } else {
                let mut client = RawStream::connect(listener.address());
                let connection = listener.accepted().polled(polled);
                let server = Process::sok_inheriting(connection.descriptor(), &["serve", "fd:3"]);
                let noise = vec![b'x'; 3 << 20];
                let sent = noise.clone();
                let mut sending = client.twin();
                let thread = std::thread::spawn(move || sending.send(&sent));
                assert!(client.take(noise.len()) == noise);
                thread.join().unwrap();
                client.finish();
                assert_eq!(server.wait(), 0, "{}", server.said());
                assert_eq!(connection.is_polled(), polled);
                drop(connection);
                assert_eq!(client.rest(), b"");
            }
        }
    }
);

families!(
    the_result_of_an_inherited_connection_is_that_of_the_server,
    |place| {
        let listener = Passed::listening(place);
        let mut client = RawStream::connect(listener.address());
        let connection = listener.accepted().given_away();
        let words = ["serve", "fd:3", "--framing", "length"];
        let server = Process::sok_inheriting(connection, &words);
        client.send(b"\0\0\0\x09cut");
        client.finish();
        assert_eq!(server.wait(), 6, "{}", server.said());
        client.cut();
    }
);

families!(
    an_inherited_connection_closes_although_it_was_each_standard_stream,
    |place| {
        let listener = Passed::listening(place);
        let mut client = RawStream::connect(listener.address());
        let connection = listener.accepted().given_away();
        // As inetd: what is said on the standard error must not reach the client.
        let script = r#"
        exec 0<&3 1>&3 2>&3 3<&-
        exec "$SOK" serve fd:0 -v --exec sh -c 'read line; echo "got $line"; echo error >&2'"#;
        let server = Process::sh_with(connection, script, &[]);
        client.send(b"hello\n");
        assert_eq!(client.rest(), b"got hello\n");
        client.finish();
        assert_eq!(server.wait(), 0);
    }
);

forms!(a_client_uses_an_inherited_connection, |place| {
    let server = Server::start(place, place.line_framing());
    for polled in [false, true] {
        let connection = Passed::connected(place, server.address()).polled(polled);
        // One connection, three requests.
        for message in ["one", "two", "three"] {
            let call = ["call", "fd:3", message];
            let done = Process::sok_inheriting(connection.descriptor(), &call).done();
            assert_eq!(done.text(), format!("{message}\n"), "{}", done.stderr);
            assert_eq!(connection.is_polled(), polled);
        }
        let script = r#"printf 'four\nfive\n' | "$SOK" connect fd:3"#;
        let done = Process::sh_with(connection.descriptor(), script, &[]).done();
        assert_eq!(done.text(), "four\nfive\n", "{}", done.stderr);
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_eq!(connection.is_polled(), polled);
    }
});

families!(a_client_moves_much_over_an_inherited_connection, |place| {
    let server = Server::start(place, &[]);
    let file = place.file("noise", crate::support::noise(4 << 20));
    for polled in [false, true] {
        let connection = Passed::connected(place, server.address()).polled(polled);
        // A file, which is sent by sendfile(2), and a pipe.
        for script in [
            r#""$SOK" connect fd:3 <"$1" | cmp - "$1""#,
            r#"cat "$1" | "$SOK" connect fd:3 | cmp - "$1""#,
        ] {
            let connection = Passed::connected(place, server.address()).polled(polled);
            let path = file.to_str().unwrap();
            let done = Process::sh_with(connection.descriptor(), script, &[path]).done();
            assert_eq!((done.code, &*done.text()), (0, ""), "{}", done.stderr);
            assert_eq!(connection.is_polled(), polled);
        }
        drop(connection);
    }
});

forms!(a_relay_listens_on_an_inherited_socket, |place| {
    let server = Server::start(place, place.line_framing());
    for polled in [false, true] {
        let socket = Passed::listening(place).polled(polled);
        let words = ["relay", "fd:3", server.address()];
        let relay = Server::of(Process::sok_inheriting(socket.descriptor(), &words));
        assert_eq!(relay.address(), socket.address());
        for message in ["one", "two"] {
            assert_answers(socket.address(), message, message);
        }
        relay.terminate();
        assert_eq!(relay.wait(), 0, "{}", relay.said());
        assert_eq!(socket.is_polled(), polled);
    }
});

connections!(
    a_relay_gives_an_inherited_connection_to_one_client,
    |place| {
        let server = Server::start(place, place.line_framing());
        for polled in [false, true] {
            let connection = Passed::connected(place, server.address()).polled(polled);
            let words = ["relay", &place.word(), "fd:3"];
            let relay = Server::of(Process::sok_inheriting(connection.descriptor(), &words));
            assert_answers(relay.address(), "hello", "hello");
            // The second client would have none.
            assert_eq!(relay.wait(), 0, "{}", relay.said());
            assert_eq!(connection.is_polled(), polled);
        }
    }
);

families!(a_relay_moves_much_over_inherited_sockets, |place| {
    let server = Server::start(place, &[]);
    let noise = crate::support::noise(8 << 20);
    for polled in [false, true] {
        let target = Passed::connected(place, server.address()).polled(polled);
        let listener = Passed::listening(place);
        let mut client = RawStream::connect(listener.address());
        let near = listener.accepted().polled(polled);
        // Both ends are inherited, and neither may be made to wait.
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(r#"exec 3<&0 4>&1 </dev/null >/dev/null; exec "$SOK" relay fd:3 fd:4"#);
        command.env("SOK", Process::PROGRAM);
        command.stdin(near.descriptor()).stdout(target.descriptor());
        let mut relay = command.spawn().unwrap();
        assert!(client.exchange(&noise) == noise);
        assert!(relay.wait().unwrap().success());
        assert_eq!([near.is_polled(), target.is_polled()], [polled; 2]);
    }
});

/// A script that runs the program with these variables, which name it.
fn named(variables: &str, words: &str) -> String {
    format!("{variables} LISTEN_PID=$$ exec \"$SOK\" {words}")
}

forms!(a_socket_is_found_by_its_name, |place| {
    let socket = Passed::listening(place);
    let script = named(
        "LISTEN_FDS=1 LISTEN_FDNAMES=web.socket",
        "serve fd:web.socket",
    );
    let server = Server::of(Process::sh_with(socket.descriptor(), &script, &[]));
    let ready = format!("listening on {} (fd:web.socket)\n", socket.address());
    assert_eq!(server.stderr().text(), ready);
    assert_answers(socket.address(), "hello", "hello");
});

families!(every_socket_of_a_name_is_served, |place| {
    let (one, other) = (Passed::listening(place), Passed::listening(place));
    let script = named(
        "LISTEN_FDS=3 LISTEN_FDNAMES=web:admin:web",
        "serve fd:web --framing line",
    );
    // Descriptor 4 is no socket, and nobody asks for it.
    let script = format!("exec 3<&0 4</dev/null 5>&1 </dev/null >/dev/null\n{script}");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).env("SOK", Process::PROGRAM);
    let log = File::create(place.path("log")).unwrap();
    command.stdin(one.descriptor()).stdout(other.descriptor());
    let mut server = command.stderr(log).spawn().unwrap();
    for socket in [&one, &other] {
        assert_answers(socket.address(), "hello", "hello");
    }
    let said = std::fs::read_to_string(place.path("log")).unwrap();
    for socket in [&one, &other] {
        let ready = format!("listening on {} (fd:web)\n", socket.address());
        assert!(said.contains(&ready), "{said}");
    }
    server.kill().unwrap();
    server.wait().unwrap();
});

#[test]
fn variables_of_a_service_manager_are_for_sok_and_not_for_its_programs() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let socket = Passed::listening(&place);
    let own = r"LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PIDFDID=1 WATCHDOG_PID=1 WATCHDOG_USEC=1 \
        NOTIFY_SOCKET=/nobody";
    let names = "LISTEN_|NOTIFY_|WATCHDOG_";
    let words = format!("serve fd:web --exec sh -c 'env | grep -E \"^({names})\"; echo end'");
    let server = Server::of(Process::sh_with(
        socket.descriptor(),
        &named(own, &words),
        &[],
    ));
    assert_eq!(RawStream::connect(server.address()).rest(), b"end\n");
}

/// The command replaces `sok wait`, and so it is the process that the sockets are for.
#[test]
fn the_command_of_a_wait_gets_the_sockets_that_are_passed_to_its_process() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let socket = Passed::listening(&place);
    let words = r#"wait "$1" -- "$SOK" serve fd:web"#;
    let script = named("LISTEN_FDS=1 LISTEN_FDNAMES=web", words);
    let waited_for = RawListener::bind(&place);
    let arguments = [waited_for.address()];
    let server = Server::of(Process::sh_with(socket.descriptor(), &script, &arguments));
    assert_eq!(server.address(), socket.address());
    assert_answers(socket.address(), "hello", "hello");
}

connections!(
    the_program_of_a_server_inherits_no_inherited_socket,
    |place| {
        let socket = Passed::listening(place);
        let program = "read line; ls /proc/self/fd | tr '\\n' ' '; echo";
        let words = [
            "serve",
            "fd:3",
            "--framing",
            "line",
            "--exec",
            "sh",
            "-c",
            program,
        ];
        let words: Vec<&str> = match place.keeps_messages() {
            true => words.to_vec(),
            false => [&words[..2], &words[4..]].concat(),
        };
        let _server = Server::of(Process::sok_inheriting(socket.descriptor(), &words));
        // 3 is the directory.
        assert_answers(socket.address(), "x", "0 1 2 3 ");
    }
);

#[test]
fn a_program_gets_the_other_sockets_of_a_name_only_if_they_are_passed() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let socket = Passed::listening(&place);
    let file = place.file("data", "data\n");
    let script = named(
        "exec 4<\"$1\"; LISTEN_FDS=2 LISTEN_FDNAMES=web:data",
        "serve fd:web --pass-fd 4 --exec sh -c 'cat <&4'",
    );
    let path = file.to_str().unwrap();
    let server = Server::of(Process::sh_with(socket.descriptor(), &script, &[path]));
    assert_eq!(RawStream::connect(server.address()).rest(), b"data\n");
}

#[test]
fn a_dual_stack_socket_is_one_when_it_is_inherited() {
    if !have(Kind::Inet6) || !have(Kind::Inet) {
        return;
    }
    let listener = std::net::TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let words = ["serve", "fd:3"];
    let server = Server::of(Process::sok_inheriting(OwnedFd::from(listener), &words));
    let ready = format!("listening on inet6:[::]:{port} (fd:3, dual-stack: also inet)\n");
    assert_eq!(server.stderr().text(), ready);
    for host in ["inet:127.0.0.1", "inet6:[::1]"] {
        assert_answers(&format!("{host}:{port}"), "hello", "hello");
    }
}

/// The answer comes from the address that was asked, not from the usual one of the host.
#[test]
fn a_socket_on_every_address_answers_from_the_one_that_was_asked() {
    if !have(Kind::Inet) {
        return;
    }
    for polled in [false, true] {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_nonblocking(polled).unwrap();
        let port = socket.local_addr().unwrap().port();
        let words = ["serve", "fd:3"];
        let _server = Server::of(Process::sok_inheriting(OwnedFd::from(socket), &words));
        // A connected client takes an answer from no other address.
        assert_answers(&format!("udp4:127.0.0.2:{port}"), "hello", "hello");
    }
}

#[test]
fn json_says_where_a_listener_comes_from() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let socket = Passed::listening(&place);
    let server = serving(&socket, &["--json"]);
    let said: serde_json::Value = serde_json::from_str(&server.stderr().text()).unwrap();
    assert_eq!(said["address"], socket.address());
    assert_eq!(said["inherited"], "fd:3");
    let own = Server::start(&place, &["--json"]);
    let said: serde_json::Value = serde_json::from_str(&own.stderr().text()).unwrap();
    assert_eq!(said["inherited"], serde_json::Value::Null);
}

#[test]
fn a_connection_of_an_inherited_socket_is_probed_and_its_listener_stays_as_it_is() {
    for kind in [Kind::Inet, Kind::Inet6] {
        if !have(kind) || !require_peer("ss") {
            continue;
        }
        let place = Place::new(kind);
        for polled in [false, true] {
            let socket = Passed::listening(&place).polled(polled);
            let server = serving(&socket, &["--keepalive", "7s"]);
            let mut client = RawStream::connect(server.address());
            client.send(b"x");
            client.take(1);
            let words = [
                "-tnoH",
                "state",
                "established",
                "sport",
                &format!(":{}", server.port()),
            ];
            let shown = Command::new("ss").args(words).output().unwrap();
            let shown = String::from_utf8(shown.stdout).unwrap();
            assert!(shown.contains("timer:(keepalive,"), "{shown}");
            assert!(!socket.socket().keepalive().unwrap());
            assert!(!socket.socket().tcp_nodelay().unwrap());
        }
    }
}

connections!(rules_apply_to_the_clients_of_an_inherited_socket, |place| {
    for polled in [false, true] {
        let socket = Passed::listening(place).polled(polled);
        let server = serving(&socket, &["--deny", "any", "-v"]);
        if place.keeps_messages() {
            let client = RawMessages::connect(server.address());
            let _ = client.try_send(b"x");
            assert!(!matches!(client.try_receive(), Ok(Some(_))));
        } else {
            let mut client = RawStream::connect(server.address());
            let _ = client.write_all(b"x");
            assert_eq!(client.cut(), b"");
        }
        server.terminate();
        assert_eq!(server.wait(), 0, "{}", server.said());
        assert!(server.said().contains("refused"), "{}", server.said());
    }
});

families!(rules_apply_to_an_inherited_connection, |place| {
    let listener = Passed::listening(place);
    let mut client = RawStream::connect(listener.address());
    let connection = listener.accepted().given_away();
    let server = Process::sok_inheriting(connection, &["serve", "fd:3", "--deny", "any"]);
    let _ = client.write_all(b"x");
    assert_eq!(client.cut(), b"");
    assert_eq!(server.wait(), 4, "{}", server.said());
    let why = "it is refused: deny any";
    assert!(server.said().contains(why), "{}", server.said());
});

/// The senders of datagrams that have come already are known only if the socket asked for them.
#[test]
fn users_are_checked_on_an_inherited_datagram_socket_only_if_all_are_known() {
    let place = Place::new(Kind::Unix.with_type(SocketType::Datagram));
    let socket = Passed::listening(&place);
    let rule = format!("uid:{}", nix::unistd::geteuid());
    let script = format!("exec \"$SOK\" serve fd:3 --allow {rule}");
    let cause = "inherit fd:3: rules and limits of users need SO_PASSCRED";
    assert_refused(socket.descriptor(), &script, 2, cause);
    socket.socket().set_passcred(true).unwrap();
    let early = RawMessages::connect(socket.address());
    early.send(b"early");
    let _server = serving(&socket, &["--allow", &rule]);
    assert_eq!(early.receive(), b"early");
    assert_answers(socket.address(), "hello", "hello");
}

families!(the_status_is_served_on_an_inherited_socket, |place| {
    let (socket, status) = (Passed::listening(place), Passed::listening(place));
    let script = r#"exec 3<&0 4>&1 </dev/null >/dev/null; exec "$SOK" serve fd:3 --status fd:4"#;
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).env("SOK", Process::PROGRAM);
    command
        .stdin(socket.descriptor())
        .stdout(status.descriptor());
    let mut server = command
        .stderr(File::create(place.path("log")).unwrap())
        .spawn()
        .unwrap();
    assert_answers(socket.address(), "hello", "hello");
    let mut client = RawStream::connect(status.address());
    client.send(b"GET /healthz HTTP/1.0\r\n\r\n");
    let answer = String::from_utf8(client.rest()).unwrap();
    assert!(answer.ends_with("ok\n"), "{answer}");
    server.kill().unwrap();
    server.wait().unwrap();
});

families!(
    a_program_of_a_client_talks_on_an_inherited_connection,
    |place| {
        let server = Server::start(place, &["--framing", "line"]);
        for polled in [false, true] {
            let connection = Passed::connected(place, server.address()).polled(polled);
            let program = "echo question; read line; echo \"got $line\" >&2";
            let words = ["connect", "fd:3", "--exec", "sh", "-c", program];
            let done = Process::sok_inheriting(connection.descriptor(), &words).done();
            assert_eq!((done.code, &*done.stderr), (0, "got question\n"));
            assert_eq!(connection.is_polled(), polled);
        }
    }
);

families!(
    the_standard_streams_are_served_on_an_inherited_socket,
    |place| {
        let socket = Passed::listening(place);
        let script = r#"echo hello | "$SOK" serve fd:3 --stdio"#;
        let server = Process::sh_with(socket.descriptor(), script, &[]);
        let mut client = RawStream::connect(socket.address());
        client.send(b"answer\n");
        client.finish();
        assert_eq!(client.rest(), b"hello\n");
        let done = server.done();
        assert_eq!(
            (done.code, &*done.text()),
            (0, "answer\n"),
            "{}",
            done.stderr
        );
    }
);

/// Runs `script` with `socket` as descriptor 3, and checks its exit code and its error.
fn assert_refused(socket: OwnedFd, script: &str, code: i32, cause: &str) {
    let done = Process::sh_with(socket, script, &[]).done();
    assert_eq!(done.code, code, "{script}: {}", done.stderr);
    assert!(done.stderr.contains(cause), "{script}: {}", done.stderr);
}

forms!(a_listening_socket_is_none_to_connect_with, |place| {
    let socket = Passed::listening(place);
    for words in ["connect fd:3", "call fd:3 x", "relay unix:@sok-none fd:3"] {
        let cause = match place.has_connection() {
            true => "this is a listening socket; serve it, or give its address: this one is ",
            false => "the socket is not connected; serve it, or give the address of the peer",
        };
        let words = match (place.keeps_messages(), words.starts_with("relay")) {
            (true, true) => format!("{words} --framing line"),
            _ => words.to_owned(),
        };
        assert_refused(socket.descriptor(), &format!("\"$SOK\" {words}"), 2, cause);
    }
});

#[test]
fn a_descriptor_that_cannot_be_used_is_a_usage_error() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let socket = Passed::listening(&place);
    for (script, cause) in [
        (
            "\"$SOK\" serve fd:9",
            "inherit fd:9: descriptor 9 is not open; open it for sok",
        ),
        (
            "\"$SOK\" serve fd:0",
            "inherit fd:0: descriptor 0 is not a socket",
        ),
        (
            "\"$SOK\" relay fd:3 fd:9",
            "inherit fd:9: descriptor 9 is not open",
        ),
        (
            "\"$SOK\" relay fd:3 fd:3",
            "inherit fd:3: the same descriptor as fd:3; name each",
        ),
        (
            "\"$SOK\" serve fd:web",
            "inherit fd:web: no sockets are passed by name: LISTEN_PID",
        ),
        (
            "LISTEN_PID=1 LISTEN_FDS=1 LISTEN_FDNAMES=web \"$SOK\" serve fd:web",
            "the sockets of LISTEN_FDS are passed to process 1, and this is ",
        ),
        (
            &named("LISTEN_FDS=1 LISTEN_FDNAMES=a", "serve fd:web"),
            "LISTEN_FDNAMES has a",
        ),
        (
            &named("LISTEN_FDS=1", "serve fd:web"),
            "LISTEN_FDNAMES has unknown",
        ),
        (
            &named("LISTEN_FDS=1 LISTEN_FDNAMES=a:b", "serve fd:a"),
            "invalid LISTEN_FDNAMES",
        ),
        (
            &named("LISTEN_FDS=x LISTEN_FDNAMES=a", "serve fd:a"),
            "invalid LISTEN_FDS",
        ),
        (&named("LISTEN_FDS=0", "serve fd:a"), "LISTEN_FDS is 0"),
        (
            &named("LISTEN_FDS=4000000000 LISTEN_FDNAMES=a", "serve fd:a"),
            "LISTEN_FDS counts a descriptor that is not open",
        ),
        (
            &named("exec 4<&3; LISTEN_FDS=2 LISTEN_FDNAMES=a:a", "call fd:a x"),
            "connect fd:a: 2 sockets have this name, and a client takes one",
        ),
        (
            "\"$SOK\" serve fd:3 --mode 600",
            "listen fd:3: --mode is for a socket that sok makes",
        ),
        (
            "\"$SOK\" serve fd:3 --owner :0",
            "listen fd:3: --owner is for",
        ),
        (
            "\"$SOK\" serve fd:3 --v6only",
            "listen fd:3: --v6only is for",
        ),
        (
            "\"$SOK\" serve fd:3 --backlog 5",
            "listen fd:3: --backlog is for",
        ),
        ("\"$SOK\" serve fd:3 --ttl 5", "listen fd:3: --ttl is for"),
        (
            "\"$SOK\" relay fd:3 unix:@x --broadcast",
            "applies only to UDP",
        ),
        (
            "\"$SOK\" serve fd:3 --pass-fd 3 --exec cat",
            "--pass-fd 3: the same descriptor as fd:3",
        ),
        (
            "\"$SOK\" wait fd:3",
            "resolve fd:3: an inherited socket is used as it is, and here",
        ),
        (
            "\"$SOK\" check fd:3",
            "resolve fd:3: an inherited socket is used as it is, and here",
        ),
        (
            "\"$SOK\" bench rtt fd:3",
            "resolve fd:3: an inherited socket is used as it is, and",
        ),
        (
            "\"$SOK\" call unix:@x y --bind fd:3",
            "resolve fd:3: an inherited socket is used",
        ),
        (
            "\"$SOK\" connect fd:0",
            "connect fd:0: the socket cannot be the standard input",
        ),
        (
            "\"$SOK\" call fd:1 x",
            "call fd:1: the socket cannot be the standard output",
        ),
    ] {
        assert_refused(socket.descriptor(), script, 2, cause);
    }
}

#[test]
fn an_option_that_prepares_a_connection_is_refused_for_one_that_is_inherited() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let listener = Passed::listening(&place);
    for (words, option) in [
        ("call fd:3 x --retry-for 1s", "--retry-for"),
        ("call fd:3 x --bind 127.0.0.1:0", "--bind"),
        ("connect fd:3 --timeout 1s", "--timeout"),
        ("connect fd:3 --ttl 5", "--ttl"),
        ("relay unix:@sok-none fd:3 --source 127.0.0.1:0", "--source"),
        ("relay unix:@sok-none fd:3 --retry-for 1s", "--retry-for"),
        (
            "relay unix:@sok-none fd:3 --connect-timeout 1s",
            "--connect-timeout",
        ),
    ] {
        let connection = Passed::connected(&place, listener.address());
        let cause = format!("connect fd:3: {option} is for a socket that sok makes");
        assert_refused(
            connection.descriptor(),
            &format!("\"$SOK\" {words}"),
            2,
            &cause,
        );
    }
    let connection = Passed::connected(&place, listener.address());
    let words = "\"$SOK\" relay unix:@sok-none fd:3 unix:@sok-other";
    let cause = "connect fd:3: an inherited connection can only be the one target";
    assert_refused(connection.descriptor(), words, 2, cause);
    let words = "\"$SOK\" serve unix:@sok-none --status fd:3";
    let cause = "--status needs a listening socket; this is a connection";
    assert_refused(connection.descriptor(), words, 2, cause);
    let words = "\"$SOK\" relay unix:@sok-none fd:3 --exit-after 2";
    let cause = "relay fd:3: this is one connection, which serves one client";
    assert_refused(connection.given_away(), words, 2, cause);
}

#[test]
fn a_socket_of_another_kind_is_a_usage_error() {
    use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket, socketpair};
    let flags = SockFlag::SOCK_CLOEXEC;
    let none = None::<SockProtocol>;
    let new = |family, kind| socket(family, kind, flags, none).unwrap();
    let serve = "\"$SOK\" serve fd:3";
    let cases = [
        (
            new(AddressFamily::Netlink, SockType::Raw),
            "not a socket of a supported family and type",
        ),
        (
            new(AddressFamily::Unix, SockType::Stream),
            "the socket neither listens nor is connected",
        ),
        (
            new(AddressFamily::Unix, SockType::Datagram),
            "the socket is neither bound nor connected: nobody can send to it",
        ),
    ];
    for (socket, cause) in cases {
        assert_refused(socket, serve, 2, cause);
    }
    let pair = socketpair(AddressFamily::Unix, SockType::Datagram, none, flags).unwrap();
    let cause = "the socket has no name: its peer is the only one that can send to it; connect";
    assert_refused(pair.0, serve, 2, cause);
}

#[test]
fn a_connection_whose_peer_has_gone_is_a_broken_one() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let listener = Passed::listening(&place);
    let client = RawStream::connect(listener.address());
    let connection = listener.accepted();
    client.reset();
    // The kernel has the reset once the connection has it.
    let mut gone = connection.socket();
    std::io::Read::read(&mut gone, &mut [0]).unwrap_err();
    let cause = "the socket does not listen, and is not or no longer connected";
    assert_refused(connection.given_away(), "\"$SOK\" serve fd:3", 6, cause);
}

#[test]
fn without_descriptors_the_limit_is_named() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let socket = Passed::listening(&place);
    for count in [6, 8, 12] {
        let script = format!("ulimit -n {count}; \"$SOK\" serve fd:3");
        assert_refused(
            socket.descriptor(),
            &script,
            1,
            "raise the open file limit (ulimit -n)",
        );
    }
    let mut client = RawStream::connect(socket.address());
    client.write_all(b"x").unwrap();
}

families!(
    an_inherited_connection_is_served_once_its_proxy_header_has_come,
    |place| {
        let listener = Passed::listening(place);
        let mut client = RawStream::connect(listener.address());
        let connection = listener.accepted();
        let words = ["serve", "fd:3", "-v", "--accept-proxy"];
        let server = Process::sok_inheriting(connection.given_away(), &words);
        client.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\nhello");
        assert_eq!(client.take(5), b"hello");
        client.finish();
        assert_eq!(server.wait(), 0, "{}", server.said());
    }
);

families!(
    an_inherited_connection_without_a_valid_proxy_header_is_an_error,
    |place| {
        let listener = Passed::listening(place);
        for (sent, code, cause) in [
            (&b""[..], 124, "no PROXY header within 50ms"),
            (b"PROXY", 124, "no PROXY header within 50ms"),
            (b"GET / HTTP/1.1\r\n\r\n", 1, "no PROXY header"),
        ] {
            let mut client = RawStream::connect(listener.address());
            let connection = listener.accepted();
            client.send(sent);
            let words = "\"$SOK\" serve fd:3 --accept-proxy --proxy-timeout 50ms";
            assert_refused(connection.given_away(), words, code, cause);
        }
    }
);
