//! When threads or descriptors run out, the program reports an error, or a connection fails, but the
//! program never crashes.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::support::{
    Done, Kind, Place, Process, RawStream, Server, is_root, require_peer, run, sok_for_anybody,
};

/// The numbers of descriptors from which each command either says that it lacks some or works.
const DESCRIPTORS: [u32; 12] = [4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 19, 22];

/// Starts the program under a limit of `prlimit(1)`, as an unprivileged user, since a process limit
/// does not apply to root.
fn limited(place: &Place, limit: &str, arguments: &[&str]) -> Option<Process> {
    if !require_peer("prlimit") {
        return None;
    }
    let program = sok_for_anybody(place);
    let mut command = Command::new("prlimit");
    command.arg(limit).arg(program).args(arguments);
    if is_root() {
        command.uid(65534).gid(65534);
    }
    Some(Process::spawn(command))
}

/// The same to its end, with nothing to read.
fn done(place: &Place, limit: &str, arguments: &[&str]) -> Option<Done> {
    limited(place, limit, arguments).map(Process::done)
}

/// An echo server that anybody may connect to.
fn echo(place: &Place) -> Server {
    match place.kind() {
        Kind::Unix => Server::start(place, &["--mode", "666"]),
        Kind::Inet | Kind::Inet6 | Kind::Abstract => Server::start(place, &[]),
    }
}

#[test]
fn no_thread_for_a_name_look_up_is_an_error() {
    run(Kind::Inet, |place| {
        let server = Server::at("inet:127.0.0.1:0", &[]);
        let name = format!("localhost:{}", server.port());
        for arguments in [
            &["call", &name, "hello"][..],
            &["connect", &name],
            &["wait", &name],
            &["bench", "rtt", &name],
        ] {
            let Some(done) = done(place, "--nproc=1", arguments) else {
                return;
            };
            assert_eq!(done.code, 1, "{arguments:?}: {}", done.stderr);
            let said = format!("sok: resolve tcp:{name}: cannot start a thread: ");
            assert!(done.stderr.starts_with(&said), "{}", done.stderr);
            assert!(done.stderr.contains("ulimit -u"), "{}", done.stderr);
        }
    });
}

families!(
    a_failed_thread_start_is_an_error_of_its_operation,
    |place| {
        let server = echo(place);
        let (there, fresh) = (server.address(), place.word());
        let cases: [(&[&str], &str); 6] = [
            (&["call", there], "read standard input"),
            (&["connect", there], "start the send thread"),
            (&["connect", there, "--prompt", ">"], "read lines"),
            (&["bench", "rtt", there], "start the measurement"),
            (
                &["serve", &fresh, "--threads", "2"],
                "start a server thread",
            ),
            (
                &["relay", &fresh, there, "--threads", "2"],
                "start a server thread",
            ),
        ];
        for (arguments, what) in cases {
            let Some(done) = done(place, "--nproc=1", arguments) else {
                return;
            };
            assert_eq!(done.code, 1, "{arguments:?}: {}", done.stderr);
            let said = format!("sok: {what}: cannot start a thread: ");
            assert!(
                done.stderr.contains(&said),
                "{arguments:?}: {}",
                done.stderr
            );
        }
    }
);

families!(
    a_relay_without_a_thread_for_a_name_fails_each_client,
    |place| {
        let target = Server::at("inet:127.0.0.1:0", &[]);
        let name = format!("localhost:{}", target.port());
        let arguments = ["relay", &place.word(), &name, "--threads", "1"];
        let Some(relay) = limited(place, "--nproc=1", &arguments) else {
            return;
        };
        let relay = Server::of(relay);
        for count in 1..=2 {
            let mut client = RawStream::connect(relay.address());
            // It may be broken off before it sends. Where the family has no reset, the bytes that
            // were left unread make it an error.
            let sent = client.socket().send(b"hello");
            let rest = sent.and_then(|_| client.try_rest());
            assert!(rest.is_err_and(|error| RawStream::is_broken(&error)));
            relay
                .stderr()
                .wait_for_count("cannot start a thread", count);
        }
        relay.terminate();
        assert_eq!(relay.wait(), 0, "{}", relay.said());
    }
);

families!(a_server_lacks_descriptors_at_start_or_serves, |place| {
    let target = echo(place);
    let has_served: Vec<bool> = DESCRIPTORS
        .iter()
        .flat_map(|count| {
            let limit = format!("--nofile={count}");
            let (one, other, there) = (place.word(), place.word(), target.address());
            let serve = ["serve", &one];
            let relay = ["relay", &other, there, "--threads", "1"];
            [
                limited(place, &limit, &serve),
                limited(place, &limit, &relay),
            ]
        })
        .flatten()
        .map(serves)
        .collect();
    // Each server at last has enough of them.
    assert!(has_served.is_empty() || has_served.ends_with(&[true, true]));
});

/// Whether a server serves; if it does not, it has ended with an error that says why.
fn serves(process: Process) -> bool {
    let began = |text: &str| text.contains("listening on") || text.contains("Too many open files");
    process.stderr().wait_until("a beginning", began);
    if process.stderr().text().contains("Too many open files") {
        assert_eq!(process.wait(), 1);
        let said = process.said();
        assert!(said.contains("ulimit -n"), "{said}");
        return false;
    }
    let server = Server::of(process);
    assert_eq!(
        RawStream::connect(server.address()).exchange(b"hello"),
        b"hello"
    );
    true
}

families!(a_client_lacks_descriptors_or_does_its_work, |place| {
    let server = echo(place);
    let there = server.address();
    for arguments in [
        &["call", there, "hello"][..],
        &["connect", there],
        &["wait", there, "--timeout", "1s"],
        &["check", there],
        &["check"],
        &["tour", "--lesson", "1"],
    ] {
        let codes: Vec<i32> = DESCRIPTORS
            .iter()
            .filter_map(|count| {
                let done = done(place, &format!("--nofile={count}"), arguments)?;
                let lacks = done.stderr.contains("Too many open files");
                let says_why = lacks && done.stderr.contains("ulimit -n");
                // A wait continues until there are some.
                let is_right = matches!((done.code, says_why), (0, false) | (1 | 124, true));
                assert!(is_right, "{arguments:?} with {count}: {done:?}");
                Some(done.code)
            })
            .collect();
        assert!(
            codes.is_empty() || codes[0] == 1,
            "{arguments:?}: {codes:?}"
        );
    }
});

#[test]
fn a_client_whose_name_fills_sun_path_is_served() {
    if !require_peer("perl") {
        return;
    }
    run(Kind::Unix, |place| {
        let server = Server::start(place, &["-v"]);
        // The kernel takes a path without a NUL at its end, which few programs can make.
        let script = r#"
            my ($server, $folder) = @ARGV;
            socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die $!;
            my $own = "$folder/" . "x" x (107 - length $folder);
            bind($s, pack("Sa108", AF_UNIX, $own)) or die $!;
            connect($s, pack_sockaddr_un($server)) or die $!;
            syswrite $s, "hello";
            sysread $s, my $reply, 5;
            print $reply;"#;
        let mut perl = Command::new("perl");
        perl.args(["-MSocket", "-e", script, server.path()])
            .arg(place.directory());
        let done = Process::spawn(perl).done();
        assert_eq!(done.text(), "hello", "{}", done.stderr);
        server.stderr().wait_for("xxx");
        let reply = RawStream::connect(server.address()).exchange(b"hello");
        assert_eq!(reply, b"hello");
    });
}

#[test]
fn a_wait_without_descriptors_fails_with_an_error() {
    run(Kind::Abstract, |place| {
        let word = place.word();
        for limit in DESCRIPTORS {
            let arguments = ["wait", &word, "--timeout", "0s"];
            let Some(done) = done(place, &format!("--nofile={limit}"), &arguments) else {
                return;
            };
            // A program that has enough descriptors finds no server.
            let lacks = done.stderr.contains("ulimit -n");
            assert!(
                lacks || done.stderr.contains("no server"),
                "{}",
                done.stderr
            );
            assert!(!lacks || done.code == 1, "{limit}: {}", done.stderr);
        }
    });
}

families!(a_limit_of_file_sizes_ends_no_server, |place| {
    let script = r#"ulimit -f 1; exec "$SOK" relay "$1" "$2" --dump "$3""#;
    let (front, echo) = (Place::new(place.kind()), Server::start(place, &[]));
    let dump = front.path("dump").display().to_string();
    let arguments = [&*front.word(), echo.address(), &*dump];
    let relay = Server::of(Process::sh(script, &arguments));
    let mut client = RawStream::connect(relay.address());
    let bytes = vec![b'x'; 20_000];
    for _ in 0..2 {
        client.send(&bytes);
        assert_eq!(client.take(bytes.len()), bytes);
    }
    relay.stderr().wait_for("cannot write the dump");
});
