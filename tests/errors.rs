//! Each failure: its exit code, and one line that says operation, address, cause and what to do.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::{
    Done, Kind, Place, Process, RawListener, RawStream, Server, have, in_own_mounts, require_peer,
    sok, sok_with, sok_without_rights,
};

/// Asserts a failure with `code` and a line that contains `address` and each of `expected`.
fn assert_fails(done: &Done, code: i32, address: &str, expected: &[&str]) {
    assert_eq!(done.code, code, "{:?}", done.stderr);
    assert_eq!(done.stderr.lines().count(), 1, "{:?}", done.stderr);
    assert!(done.stderr.starts_with("sok: "), "{:?}", done.stderr);
    for part in expected.iter().chain([&address]) {
        assert!(
            done.stderr.contains(part),
            "{:?} lacks {part:?}",
            done.stderr
        );
    }
}

/// The commands of a client, which fail alike.
fn clients(address: &str) -> [Vec<&str>; 2] {
    [vec!["connect", address], vec!["call", address, "hi"]]
}

families!(no_server_is_3, |place| {
    let nobody = place.nobody();
    for words in clients(&nobody.address) {
        let hint = "; start the server, or check the ";
        assert_fails(&sok(&words), 3, &nobody.address, &["sok: connect ", hint]);
    }
});

#[test]
fn a_stale_socket_file_is_3() {
    let place = Place::new(Kind::Unix);
    // The file of a socket stays when the socket is closed.
    let address = RawListener::bind(&place).address().to_owned();
    for words in clients(&address) {
        let expected = [
            "stale socket file left by a dead process",
            "; start the server, or remove the file",
        ];
        assert_fails(&sok(&words), 3, &address, &expected);
    }
}

#[test]
fn a_file_that_is_not_a_socket_is_1_and_reported() {
    let place = Place::new(Kind::Unix);
    let file = place.file("file", "content");
    for (path, what) in [
        (file.as_path(), "a regular file"),
        (place.directory(), "a directory"),
    ] {
        let address = format!("unix:{}", path.display());
        for words in clients(&address) {
            assert_fails(
                &sok(&words),
                1,
                &address,
                &[what, "; give the path of a socket"],
            );
        }
        assert_fails(
            &sok(&["serve", &address]),
            1,
            &address,
            &[what, "it was not replaced"],
        );
    }
    assert_eq!(fs::read(file).unwrap(), b"content");
}

families!(a_socket_of_another_type_is_not_a_stream_socket, |place| {
    let nobody = place.nobody();
    let name = match place.kind() {
        Kind::Inet | Kind::Inet6 => {
            let (_, address) = nobody.address.split_once(':').unwrap();
            SockAddr::from(address.parse::<std::net::SocketAddr>().unwrap())
        }
        Kind::Unix => SockAddr::unix(nobody.address.strip_prefix("unix:").unwrap()).unwrap(),
        Kind::Abstract => {
            let name = nobody.address.strip_prefix("unix:@").unwrap();
            SockAddr::unix(format!("\0{name}")).unwrap()
        }
    };
    let datagrams = Socket::new(Domain::from(i32::from(name.family())), Type::DGRAM, None).unwrap();
    datagrams.bind(&name).unwrap();
    for words in clients(&nobody.address) {
        match place.kind() {
            Kind::Unix => assert_fails(&sok(&words), 1, &nobody.address, &["not a stream socket"]),
            // Each socket type has its own ports and abstract names: this one is free.
            _ => assert_fails(&sok(&words), 3, &nobody.address, &["refused"]),
        }
    }
});

#[test]
fn no_permission_is_4() {
    let place = Place::new(Kind::Unix);
    let server = Server::start(&place, &[]);
    // To connect takes the right to write.
    fs::set_permissions(server.path(), Permissions::from_mode(0o444)).unwrap();
    for words in clients(server.address()) {
        let done = sok_without_rights(&place, &words);
        assert_fails(
            &done,
            4,
            server.address(),
            &["needs write permission", "Permission denied"],
        );
    }
}

families!(a_connection_that_is_not_accepted_in_time_is_124, |place| {
    let listener = RawListener::with_backlog(place, 0);
    let _waiting = fill(&listener);
    let expected = match place.is_network() {
        true => "no answer within the time limit",
        false => "the backlog of the server stayed full",
    };
    for command in [
        &["connect", listener.address()][..],
        &["call", listener.address(), "hi"],
    ] {
        let done = sok(&[command, &["--timeout", "300ms"]].concat());
        assert_fails(&done, 124, listener.address(), &["sok: connect ", expected]);
    }
});

families!(a_full_backlog_is_retried, |place| {
    let listener = RawListener::with_backlog(place, 0);
    let waiting = fill(&listener);
    let client = Process::sok(&["call", listener.address(), "hi", "--trace"]);
    client.stderr().wait_for("socket(");
    for first in waiting {
        drop((listener.accept(), first));
    }
    let mut served = listener.accept();
    assert_eq!(served.line(), "hi\n");
    served.send(b"ho\n");
    assert_eq!(client.done().stdout, b"ho\n");
});

/// Connects until the backlog of `listener`, which holds no connection or one, is full.
fn fill(listener: &RawListener) -> Vec<RawStream> {
    vec![RawStream::connect(listener.address())]
}

#[test]
fn a_name_that_does_not_resolve_is_7() {
    // Not a name at all, so that no name server is asked.
    for word in [
        "no..such.name:80",
        "inet:no..such.name:80",
        "inet6:no..such.name:80",
    ] {
        for words in clients(word) {
            assert_fails(
                &sok(&words),
                7,
                "no..such.name:80",
                &["resolve", "; check the name"],
            );
        }
        assert_fails(&sok(&["serve", word]), 7, "no..such.name:80", &["resolve"]);
    }
}

#[test]
fn a_silent_name_server_delays_no_other_client() {
    if !(require_peer("python3") && require_peer("ip")) {
        return;
    }
    // The resolver's own timeout is longer than a test may take.
    let place = Place::new(Kind::Unix);
    let resolv = "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n";
    let resolv = place.file("resolv.conf", resolv);
    let silent = "import socket, subprocess, sys\n\
        port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        port.bind(('127.0.0.1', 53))\n\
        sys.exit(subprocess.call(sys.argv[1:]))";
    let script =
        "ip link set lo up; exec python3 -c \"$1\" \"$SOK\" connect slow.test:80 --timeout 300ms";
    let done = in_own_mounts(
        resolv.to_str().unwrap(),
        "/etc/resolv.conf",
        script,
        &[silent],
        &["--net"],
    );
    match done {
        Some(done) => assert_fails(&done, 124, "slow.test:80", &["no name server answered"]),
        None => {
            crate::support::required("network namespaces", false);
        }
    }
}

#[test]
fn each_address_of_a_name_is_tried_and_a_failure_names_each() {
    let (inet, inet6) = (Place::new(Kind::Inet), Place::new(Kind::Inet6));
    let hosts = inet.file("hosts", "127.0.0.1 two.test\n::1 two.test\n");
    let hosts = hosts.to_str().unwrap();
    let call = r#"exec "$SOK" call "$1" hi"#;
    for place in [&inet, &inet6] {
        if !have(place.kind()) {
            return;
        }
        let listener = RawListener::bind(place);
        let port = listener.address().rsplit_once(':').unwrap().1.to_owned();
        let served = std::thread::spawn(move || {
            let mut served = listener.accept();
            assert_eq!(served.line(), "hi\n");
            served.send(b"ho\n");
            served.rest()
        });
        let word = format!("two.test:{port}");
        let Some(done) = in_own_mounts(hosts, "/etc/hosts", call, &[&word], &[]) else {
            crate::support::required("mount namespaces", false);
            return;
        };
        assert_eq!(
            (done.code, done.text().as_str()),
            (0, "ho\n"),
            "{}",
            done.stderr
        );
        served.join().unwrap();
    }
    let nobody = inet.nobody();
    let port = nobody.address.rsplit_once(':').unwrap().1;
    let word = format!("two.test:{port}");
    if RawStream::try_connect(&format!("inet6:[::1]:{port}"))
        .is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
    {
        let done = in_own_mounts(hosts, "/etc/hosts", call, &[&word], &[]).unwrap();
        let each = [
            format!("inet:127.0.0.1:{port}: "),
            format!("inet6:[::1]:{port}: "),
        ];
        assert_fails(&done, 3, &word, &[&each[0], &each[1], "; start the server"]);
    }
}

families!(an_address_in_use_is_5, |place| {
    let server = Server::start(place, &[]);
    let expected: &[&str] = match place.is_network() {
        true => &["sok: bind ", "in use; "],
        false => &["sok: bind ", "a live server (pid ", "; stop it"],
    };
    assert_fails(
        &sok(&["serve", server.address()]),
        5,
        server.address(),
        expected,
    );
    let words = ["call", server.address(), "hi", "--bind", server.address()];
    assert_fails(&sok(&words), 5, server.address(), &["sok: bind "]);
    let still = sok(&["call", server.address(), "hi"]);
    assert_eq!(
        (still.code, still.text().as_str()),
        (0, "hi\n"),
        "{}",
        still.stderr
    );
});

families!(a_bind_to_an_address_in_use_is_no_connection, |place| {
    let server = Server::start(place, &["--once"]);
    assert_eq!(sok(&["serve", server.address()]).code, 5);
    let done = sok(&["call", server.address(), "hi"]);
    assert_eq!(
        (done.code, done.text().as_str()),
        (0, "hi\n"),
        "{}",
        done.stderr
    );
    assert_eq!(server.wait(), 0);
});

families!(data_that_the_peer_leaves_unread_is_6, |place| {
    let listener = RawListener::bind(place);
    let mut client = Process::sok(&["connect", listener.address()]);
    client.write(b"unread");
    let mut served = listener.accept();
    served.send(b"partial");
    client.stdout().wait_for("partial");
    let mut seen = [std::mem::MaybeUninit::uninit(); 6];
    while served.socket().peek(&mut seen).unwrap() < 6 {}
    drop(served);
    // The input stays open: it is the connection that ends it.
    assert_eq!(client.wait(), 6);
    let done = client.done();
    assert_eq!(done.text(), "partial");
    assert_fails(&done, 6, listener.address(), &["reset"]);
});

families!(a_reset_after_a_part_of_the_data_is_6, |place| {
    if !place.is_network() {
        println!("skipped: this family has no other reset than data left unread");
        return;
    }
    let listener = RawListener::bind(place);
    let client = Process::sok(&["connect", listener.address()]);
    let mut served = listener.accept();
    served.send(b"partial");
    client.stdout().wait_for("partial");
    served.reset();
    let done = client.done();
    assert_eq!(done.text(), "partial");
    assert_fails(&done, 6, listener.address(), &["sok: receive ", "reset"]);
});

families!(a_peer_that_closes_while_we_send_exits_with_6, |place| {
    let listener = RawListener::bind(place);
    let client = Process::sok(&["connect", listener.address()]);
    let serving = std::thread::spawn(move || {
        let mut served = listener.accept();
        assert_eq!(served.take(4), b"\0\0\0\0");
        listener.address().to_owned()
    });
    let done = client.feed(&vec![0; 16 << 20]);
    assert_fails(&done, 6, &serving.join().unwrap(), &[]);
});

#[test]
fn a_wrong_address_or_option_is_2() {
    for (words, expected) in [
        (&["connect", "foo:a:b"][..], "not a prefix"),
        (&["connect", "localhost:99999"], "99999"),
        (&["connect", "inet::80"], "the host is empty"),
        (&["connect", ":80"], "the host is empty"),
        (&["connect"], "no address given"),
        (&["call", "--family", "unix", "hi"], "--path is missing"),
        (
            &["call", "--family", "unix", "--host", "a", "--port", "1"],
            "takes --path, not --host",
        ),
        (&["call", "--family", "inet", "--path", "a"], "not --path"),
        (
            &["call", "--family", "inet", "--host", "a"],
            "--port is missing",
        ),
        (&["call", "--port", "1"], "--host is missing"),
        (
            &["call", "--host", "a", "--port", "+1"],
            "\"+1\" is not a number",
        ),
        (
            &["call", "--host", "a", "--port", "70000"],
            "from 0 to 65535",
        ),
        (&["call", "--path", ""], "the path is empty"),
        (&["call", "--path", "a", "b", "c"], "given twice"),
        (
            &["call", "--type", "stream", "@s", "x"],
            "given twice, as a word and by --family, --type,",
        ),
        (
            &["serve", "unixgram:@s", "--type", "datagram"],
            "given twice",
        ),
        (
            &["connect", "--family", "inet", "--type", "seqpacket"],
            "--family inet --type seqpacket: inet has no seqpacket sockets; its types are stream, datagram",
        ),
        (
            &[
                "call",
                "--type",
                "seqpacket",
                "--host",
                "a",
                "--port",
                "1",
                "x",
            ],
            "a host has no seqpacket sockets; its types are stream, datagram",
        ),
        (
            &[
                "call",
                "--type",
                "seqpacket",
                "--family",
                "tcp6",
                "--host",
                "::1",
                "--port",
                "1",
            ],
            "inet6 has no seqpacket sockets",
        ),
        (
            &["call", "--type", "datagram", "--host", "a"],
            "--type datagram --host a: --port is missing",
        ),
        (
            &["call", "--type", "datagram", "--family", "unix", "x"],
            "--family unix --type datagram: --path is missing",
        ),
        (
            &["call", "--type", "datagram", "x"],
            "--type datagram: --path, or --host and --port, are missing",
        ),
        (
            &["call", "--type", "dgram", "--path", "a"],
            "'dgram' for '--type <TYPE>': known types are stream, seqpacket, datagram",
        ),
        (
            &["connect", "--bind", "@own", "127.0.0.1:1"],
            "no address in the same family",
        ),
        (
            &["connect", "--bind", ":80", "127.0.0.1:1"],
            "--bind needs one address",
        ),
        (&["connect", "--forbid", "w", "127.0.0.1:1"], "--prompt"),
        (
            &["serve", "@s", "--echo", "--discard"],
            "--echo and --discard",
        ),
        (
            &["serve", "--exec", "cat", "./a.sock"],
            "write the address before it",
        ),
        (
            &["call", "@s", "--bytes", "9", "--max-message", "5"],
            "--max-message needs a reply of messages",
        ),
        (
            &["call", "@s", "--no-half-close"],
            "--no-half-close needs --framing eof",
        ),
    ] {
        let done = sok(words);
        assert_fails(&done, 2, "", &[expected]);
    }
}

#[test]
fn the_error_of_a_nearly_right_address_gives_the_right_form() {
    for (words, expected) in [
        (
            &["connect", "localhost", "8080"][..],
            "one word: tcp:localhost:8080",
        ),
        (
            &["call", "127.0.0.1", "8080"],
            "one word: inet:127.0.0.1:8080",
        ),
        (&["call", "::1", "8080", "hi"], "one word: inet6:[::1]:8080"),
        (
            &["wait", "localhost", "8080"],
            "one word: tcp:localhost:8080",
        ),
        (
            &["check", "db.example", "5432"],
            "one word: tcp:db.example:5432",
        ),
        (
            &["relay", ":1", "a.example", "80"],
            "one word: tcp:a.example:80",
        ),
        (
            &["connect", "localhost"],
            "./localhost for a socket file, localhost:PORT for",
        ),
        (
            &["connect", "8080"],
            "write localhost:8080 to connect, :8080 to listen",
        ),
        (&["connect", "tcp://a.example:80"], "write tcp:a.example:80"),
        (&["connect", "tcp6://[::1]:80/path"], "write tcp6:[::1]:80"),
        (
            &["connect", "inet://a.example"],
            "write inet:a.example:PORT",
        ),
        (
            &["connect", "http://a.example:8080/x?y"],
            "write tcp:a.example:8080 for",
        ),
        (
            &["connect", "https://a.example"],
            "write tcp:a.example:PORT for",
        ),
        (
            &["connect", "ssh://me@a.example:2222"],
            "write tcp:a.example:2222 for",
        ),
        (&["connect", "http:///x"], "write tcp:HOST:PORT for"),
        (&["connect", "::1:2299"], "in brackets: [::1]:2299"),
        (
            &["connect", "2001:db8::1"],
            "in brackets: [2001:db8::1]:PORT",
        ),
        (&["connect", "fe80::1%1:80"], "in brackets: [fe80::1%1]:80"),
        (&["connect", "inet6:::1"], "in brackets: [::1]:PORT"),
        (
            &["connect", "sctp:a.example:80"],
            "write tcp:a.example:80 for TCP",
        ),
    ] {
        assert_fails(&sok(words), 2, "", &[expected]);
    }
    // A message may consist of digits.
    let nobody = Place::new(Kind::Inet).nobody();
    let done = sok(&["call", &nobody.address, "8080"]);
    assert_fails(&done, 3, &nobody.address, &["refused"]);
}

families!(a_bare_number_is_a_duration_in_seconds, |place| {
    let nobody = place.nobody();
    for (written, shown) in [("0.3", "300ms"), ("1", "1s"), ("250ms", "250ms")] {
        let done = sok(&["wait", &nobody.address, "--timeout", written]);
        let expected = format!("not ready within {shown}");
        assert_fails(&done, 124, &nobody.address, &[&expected]);
    }
});

#[test]
fn a_usage_error_is_2_and_one_line() {
    for (words, expected, help) in [
        (&["nonsense"][..], "unrecognized subcommand 'nonsense'", ""),
        (
            &["serv", "@s"],
            "'serv'; tip: a similar subcommand exists: 'serve'",
            "",
        ),
        (&["-v"], "no command given: serve, connect", ""),
        (
            &["connect", "@s", "--nonsense"],
            "unexpected argument '--nonsense' found",
            "connect",
        ),
        (
            &["connect", "@s", "--timeou", "1s"],
            "found; tip: a similar argument exists: '--timeout'",
            "connect",
        ),
        (&["connect", "@s", "--a\n\nb"], "'--a; b'", "connect"),
        (
            &["serve", "@s", "--framing", "eof"],
            "'eof' for '--framing <FRAMING>' [possible values: chunk, line, null, length]",
            "serve",
        ),
        (
            &["serve", "@s", "--suffix", "-x"],
            "; write a value that begins with - as --OPTION=VALUE; see",
            "serve",
        ),
        (
            &["call", "@s", "--timeout", "-1s"],
            "--OPTION=VALUE",
            "call",
        ),
        (&["call", "@s", "-5"], "write -- before the address", "call"),
        (
            &["wait", "@s", "ls", "-l"],
            "write -- before the command",
            "wait",
        ),
        (
            &["wait", "@s", "--timeout", "1M"],
            "write 1m for a minute",
            "wait",
        ),
        (
            &["call", "@s", "--lines", "1\n\nUsage: x"],
            "Usage: x' for '--lines <N>'",
            "call",
        ),
        (
            &["call", "--family", "bad", "hi"],
            "'bad' for '--family <FAMILY>': known families are inet,",
            "call",
        ),
        (
            &["call", "@s", "--framing", "lin"],
            "eof]; tip: a similar value exists: 'line'",
            "call",
        ),
        (&["call", "-q", "-v", "@s"], "cannot be used with", "call"),
        (&["-q", "relay"], "not provided: <LISTEN> <TARGET>", "relay"),
        (&["relay", "@s"], "were not provided: <TARGET>", "relay"),
        (
            &["connect", "@s", "--timeout", "soon"],
            "'soon' for '--timeout <DURATION>': ",
            "connect",
        ),
        (
            &["connect", "@s", "--timeout", "1.2.3"],
            "write 500ms, 2s or 1m, or a number of seconds",
            "connect",
        ),
        (
            &["connect", "@s", "--timeout", "5000000000"],
            "more than 100 years",
            "connect",
        ),
        // More than the clock can count.
        (
            &["connect", "@s", "--timeout", "500000000000y"],
            "500000000000y",
            "connect",
        ),
        (
            &["connect", "@s", "--retry-for", "500000000000y"],
            "500000000000y",
            "connect",
        ),
        (
            &["serve", "@s", "--mode", "888"],
            "must be an octal number",
            "serve",
        ),
        (
            &["relay", "@s", "@t", "--idle-timeout", "0s"],
            "must be more than 0",
            "relay",
        ),
        (
            &["connect", "@s", "--idle-timeout", "0s"],
            "must be more than 0",
            "connect",
        ),
    ] {
        let help = format!("; see 'sok {help} --help'\n").replace("  ", " ");
        let done = sok(words);
        assert_fails(&done, 2, "sok: usage: ", &[expected, &help]);
        assert!(done.stdout.is_empty(), "{}", done.text());
        let done = sok(&[words, &["--json"]].concat());
        let error: serde_json::Value = serde_json::from_str(&done.stderr).unwrap();
        assert_eq!((done.code, &error["exit"]), (2, &2.into()), "{error}");
        assert_eq!(error["operation"], "usage");
    }
    // The words after the two dashes belong to another program.
    let done = sok(&["wait", "--nonsense", "--", "ls", "--json"]);
    assert_fails(&done, 2, "sok: usage: ", &["; see 'sok wait --help'"]);
}

#[test]
fn help_and_version_are_printed_on_standard_output() {
    for words in [
        &["--help"][..],
        &["help", "call"],
        &["call", "-h"],
        &["--version"],
    ] {
        let done = sok(words);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{words:?}");
        assert!(done.stdout.ends_with(b"\n"), "{words:?}");
    }
    let bare = sok(&[]);
    assert_eq!(bare.code, 2);
    assert!(bare.stderr.contains("\nCommands:\n"), "{}", bare.stderr);
}

#[test]
fn an_error_is_one_line_whatever_bytes_it_quotes() {
    let place = Place::new(Kind::Unix);
    let missing = format!("{}/no\nfile", place.directory().display());
    let socket = place.path("s");
    let socket = socket.to_str().unwrap();
    for (words, expected) in [
        (
            &["call", "--host", "a\nb", "--port", "80", "x"][..],
            "a\\x0ab",
        ),
        (&["call", "--host", "a", "--port", "1\n2", "x"], "1\\x0a2"),
        (&["call", "--path", "a\nb", "b\tc", "x"], "b\\x09c"),
        (&["serve", socket, "--send", &missing], "no\\x0afile"),
        (&["serve", socket, "--owner", "x\ny"], "x\\x0ay"),
        (
            &["connect", "foo:\x1b[31m\u{9b}\u{e9}"],
            "foo:\\x1b[31m\\xc2\\x9b\u{e9}",
        ),
    ] {
        let done = sok(words);
        assert_fails(&done, done.code, "", &[expected]);
        assert!(done.code != 0, "{words:?}");
        let line = done.stderr.trim_end_matches('\n');
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    assert!(place.listing().is_empty(), "{:?}", place.listing());
}

#[test]
fn an_address_that_is_not_text_is_escaped_once() {
    for (word, shown) in [
        (&b"foo:\xff"[..], "address \"foo:\\xff\": "),
        (b"foo:\\", "address \"foo:\\\\\": "),
    ] {
        let client = Process::sok(&[OsStr::new("call"), OsStr::from_bytes(word), "x".as_ref()]);
        assert_fails(&client.done(), 2, shown, &["not a prefix"]);
    }
}

#[test]
fn a_path_that_is_too_long_is_2_and_the_error_has_the_limit() {
    let place = Place::new(Kind::Unix);
    let address = format!("unix:{}/{}", place.directory().display(), "n".repeat(300));
    for words in clients(&address) {
        assert_fails(&sok(&words), 2, &address, &["the limit is 107"]);
    }
    assert_fails(
        &sok(&["serve", &address]),
        2,
        &address,
        &["the limit is 107"],
    );
    assert!(place.listing().is_empty(), "{:?}", place.listing());
}

#[test]
fn a_link_local_address_without_its_interface_is_2() {
    if RawStream::try_connect("inet6:[::1]:1")
        .is_err_and(|e| e.kind() != ErrorKind::ConnectionRefused)
    {
        crate::support::required("inet6", false);
        return;
    }
    let done = sok(&["connect", "inet6:[fe80::1]:80"]);
    assert_fails(
        &done,
        2,
        "inet6:[fe80::1]:80",
        &["needs its interface, such as [fe80::1%eth0]"],
    );
}

families!(with_json_an_error_is_an_object, |place| {
    let nobody = place.nobody();
    let done = sok_with(&["call", &nobody.address, "hi", "--json"], b"");
    assert_eq!(done.code, 3);
    let error: serde_json::Value = serde_json::from_str(&done.stderr).unwrap();
    assert_eq!(error["event"], "error");
    assert_eq!(error["operation"], "connect");
    assert_eq!(error["address"], nobody.address.as_str());
    assert_eq!(error["exit"], 3);
});

#[test]
fn the_help_has_the_table_of_all_exit_codes() {
    let help = sok(&["--help"]).text();
    for (code, meaning) in [
        ("0", "success, and no data was lost"),
        ("1", "any other failure"),
        ("2", "usage error"),
        ("3", "no server"),
        ("4", "permission denied"),
        ("5", "address in use"),
        ("6", "the connection broke"),
        ("7", "the name did not resolve"),
        ("124", "timed out"),
        ("126", "the command to run cannot be executed"),
        ("127", "the command to run was not found"),
        ("128+n", "killed by signal n"),
    ] {
        let line = help
            .lines()
            .find(|line| line.split_whitespace().next() == Some(code));
        assert!(
            line.is_some_and(|line| line.contains(meaning)),
            "{code} {meaning}\n{help}"
        );
    }
}

#[test]
fn the_help_of_each_command_begins_with_its_summary() {
    let help = sok(&["--help"]).text();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let mut seen = 0;
    for line in commands.take_while(|line| !line.is_empty()) {
        let (command, summary) = line.trim().split_once(' ').unwrap();
        if command == "help" {
            continue;
        }
        for option in ["--help", "-h"] {
            let own = sok(&[command, option]).text();
            assert_eq!(own.lines().next(), Some(summary.trim()), "{command}");
        }
        seen += 1;
    }
    assert_eq!(seen, 10, "{help}");
}
