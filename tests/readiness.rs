//! The moment at which clients can connect, as it is told: on standard error, to a service manager, to a
//! descriptor, in a file.

use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{
    Kind, LIMIT, Passed, Place, Process, RawStream, Server, assert_answers, have, require_peer, sok,
};

/// A service manager: the socket that it receives on, and its name as `NOTIFY_SOCKET` has it.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    /// One with a path and one with an abstract name.
    fn each(place: &Place) -> [Self; 2] {
        let path = place.path("notify");
        let name = format!("{}-notify", place.directory().display()).replace('/', "-");
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        [
            (UnixDatagram::bind(&path), path.display().to_string()),
            (UnixDatagram::bind_addr(&address), format!("@{name}")),
        ]
        .map(|(socket, name)| {
            let socket = socket.unwrap();
            socket.set_read_timeout(Some(LIMIT)).unwrap();
            Self { socket, name }
        })
    }

    /// The next state, as its lines.
    fn next(&self) -> Vec<String> {
        let mut state = [0; 4096];
        let count = self.socket.recv(&mut state).expect("the service tells");
        let text = std::str::from_utf8(&state[..count]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The states up to the one that begins with `line`.
    fn until(&self, line: &str) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        while all
            .last()
            .is_none_or(|state: &Vec<String>| state[0] != line)
        {
            all.push(self.next());
        }
        all
    }

    fn is_silent(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let next = self.socket.recv(&mut [0; 4096]);
        self.socket.set_nonblocking(false).unwrap();
        next.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// The program under a service manager.
fn managed(manager: &Manager, arguments: &[&str]) -> Process {
    let mut command = Command::new(Process::PROGRAM);
    command.args(arguments).env("NOTIFY_SOCKET", &manager.name);
    Process::spawn(command)
}

forms!(
    all_are_told_at_one_moment_that_clients_can_connect,
    |place| {
        for manager in Manager::each(place) {
            let file = place.path("addresses");
            let path = file.to_str().unwrap();
            let (one, other) = (place.word(), place.word());
            let target = Server::start(place, place.line_framing());
            let words = [
                "relay",
                &one,
                target.address(),
                "--listen",
                &other,
                "--announce",
                path,
            ];
            let relay = managed(&manager, &words);
            let ready = manager.next();
            assert_eq!(ready[0], "READY=1");
            // Whoever is told by the manager finds the addresses, and the lines of both listeners.
            let announced = fs::read_to_string(&file).unwrap();
            let addresses: Vec<&str> = announced.lines().collect();
            assert_eq!(addresses.len(), 2, "{announced}");
            let said = relay
                .stderr()
                .wait_until("two lines", |text| text.lines().count() == 2);
            let own: Vec<_> = said
                .lines()
                .map(|line| line.strip_prefix("listening on "))
                .collect();
            assert_eq!(own, [Some(addresses[0]), Some(addresses[1])]);
            for address in addresses {
                assert_answers(address, "hello", "hello");
            }
            relay.signal(Signal::SIGTERM);
            let last = manager.until("STOPPING=1");
            assert!(
                last.iter().flatten().all(|line| line != "READY=1"),
                "{last:?}"
            );
            let counts = &last.last().unwrap()[1];
            assert!(counts.starts_with("STATUS=connections=2 "), "{counts}");
            assert_eq!(relay.wait(), 0, "{}", relay.said());
            assert!(!file.exists(), "the addresses of a relay that has ended");
        }
    }
);

forms!(
    a_newline_and_the_end_tell_that_clients_can_connect,
    |place| {
        // The shell passes a pipe as descriptor 3, and prints what comes through it.
        let script =
            r#"{ "$SOK" serve "$@" --ready-fd 3 --once 3>&1 >/dev/null; } | { cat; echo end; }"#;
        let word = place.word();
        let mut words = vec![&*word];
        words.extend(place.line_framing());
        let server = Process::sh(script, &words);
        let address = Server::address_of(&server);
        // It is closed: the reader ends while the server goes on.
        let told = server
            .stdout()
            .wait_until("the end", |text| text.ends_with("end\n"));
        assert_eq!(told, "\nend\n");
        assert!(!server.has_ended());
        assert_answers(&address, "hello", "hello");
    }
);

forms!(
    all_are_told_at_one_moment_that_a_supervisor_has_bound,
    |place| {
        // The shell passes a pipe as descriptor 3, and prints what comes through it.
        let script = r#"{ "$SOK" activate --ready-fd 3 "$@" 3>&1 >&2; } | { cat; echo end; }"#;
        let command = r#"echo "socket=$NOTIFY_SOCKET" >&2; sleep 300"#;
        for manager in Manager::each(place) {
            let file = place.path("addresses");
            let word = place.word();
            let path = file.to_str().unwrap();
            let words = [&word, "--announce", path, "-v", "--", "sh", "-c", command];
            let mut shell = Command::new("sh");
            shell.args(["-c", script, "sh"]).args(words);
            shell.env("SOK", Process::PROGRAM);
            shell.env("NOTIFY_SOCKET", &manager.name);
            let activate = Process::spawn(shell);
            assert_eq!(manager.next(), ["READY=1"]);
            let announced = fs::read_to_string(&file).unwrap();
            activate
                .stderr()
                .wait_for(&format!("listening on {announced}"));
            activate.stdout().wait_for("\nend\n");
            // It would be the second to notify.
            activate.stderr().wait_for("socket=\n");
            let said = activate.stderr().wait_for("program started pid=");
            let pid: i32 = pid_in(&said);
            let parent = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let parent = parent
                .rsplit_once(") ")
                .unwrap()
                .1
                .split(' ')
                .nth(1)
                .unwrap();
            let parent = nix::unistd::Pid::from_raw(parent.parse().unwrap());
            nix::sys::signal::kill(parent, Signal::SIGTERM).unwrap();
            assert_eq!(manager.next(), ["STOPPING=1"]);
            activate.wait();
            assert!(
                !file.exists(),
                "the addresses of a supervisor that has ended"
            );
        }
    }
);

/// The number of the program that a supervisor has started.
fn pid_in(said: &str) -> i32 {
    let rest = said.rsplit_once("program started pid=").unwrap().1;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

families!(quiet_is_about_standard_error, |place| {
    let [manager, _] = Manager::each(place);
    let file = place.path("addresses");
    let words = [
        "serve",
        &place.word(),
        "-q",
        "--announce",
        file.to_str().unwrap(),
    ];
    let server = managed(&manager, &words);
    assert_eq!(manager.next()[0], "READY=1");
    let address = fs::read_to_string(&file).unwrap();
    RawStream::connect(address.trim_end()).send(b"x");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 0);
    assert_eq!(server.said(), "");
});

families!(nobody_is_told_of_a_server_that_cannot_listen, |place| {
    let [manager, _] = Manager::each(place);
    let taken = Server::start(place, &[]);
    let file = place.path("addresses");
    let path = file.to_str().unwrap();
    let (free, target) = (place.word(), place.word());
    let words = [
        "relay",
        &free,
        "unix:@sok-none",
        "--listen",
        taken.address(),
        "--announce",
        path,
    ];
    let relay = managed(&manager, &words);
    assert_eq!(relay.wait(), 5, "{}", relay.said());
    assert!(manager.is_silent() && !file.exists(), "{target}");
    let names = place.listing();
    assert!(
        names.iter().all(|name| !name.starts_with(".sok-")),
        "{names:?}"
    );
});

#[test]
fn a_service_manager_gets_the_counts_and_not_too_often() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let [manager, _] = Manager::each(&place);
    let server = managed(&manager, &["serve", &place.word()]);
    assert_eq!(manager.next()[0], "READY=1");
    let address = Server::address_of(&server);
    let most = 300;
    for _ in 0..most {
        let mut client = RawStream::connect(&address);
        client.send(b"x");
        assert_eq!(client.take(1), b"x");
    }
    let last = format!("STATUS=connections={most} open=0 failed=0 received={most} sent={most}");
    let mut states = 0;
    while manager.next() != [&*last] {
        states += 1;
    }
    assert!(states < most / 2, "{states} states of {most} connections");
    server.signal(Signal::SIGTERM);
    assert_eq!(manager.next(), ["STOPPING=1", &*last]);
}

#[test]
fn a_server_that_ends_by_itself_tells_it_too() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let [manager, _] = Manager::each(&place);
    let server = managed(&manager, &["serve", &place.word(), "--once"]);
    let mut client = RawStream::connect(&Server::address_of(&server));
    client.send(b"x");
    client.finish();
    assert_eq!(client.rest(), b"x");
    let counts = "STATUS=connections=1 open=0 failed=0 received=1 sent=1";
    let last = manager.until("STOPPING=1");
    assert_eq!(last.last().unwrap()[1], counts);
    assert_eq!(server.wait(), 0);
}

/// A manager that does not read must not hold up the server, and gets what is important later.
#[test]
fn a_service_manager_with_a_full_queue_gets_the_states_that_matter() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let [manager, _] = Manager::each(&place);
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send_to(b"X=1", &manager.name).is_ok() {}
    let server = managed(&manager, &["serve", &place.word()]);
    let address = Server::address_of(&server);
    let mut client = RawStream::connect(&address);
    client.send(b"x");
    assert_eq!(client.take(1), b"x");
    manager.until("READY=1");
}

#[test]
fn a_service_manager_that_cannot_be_told_stops_no_server() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let gone = place.path("gone");
    let told = |value: &str| {
        let mut command = Command::new(Process::PROGRAM);
        command.args(["serve", "inet:127.0.0.1:0"]);
        command.env("NOTIFY_SOCKET", value);
        let server = Process::spawn(command);
        let mut client = RawStream::connect(&Server::address_of(&server));
        client.send(b"x");
        assert_eq!(client.take(1), b"x");
        drop(client);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait(), 0);
        server.said()
    };
    // An address of vsock(7) leads out of this machine: no socket is made for it.
    for value in ["vsock:2:1", "notify", "@", "unixgram:/x"] {
        let said = told(value);
        let cause = format!("notify NOTIFY_SOCKET={value}: neither an absolute path nor an");
        assert_eq!(said.matches(&cause).count(), 1, "{said}");
    }
    let said = told(gone.to_str().unwrap());
    let cause = format!(
        "notify unixgram:{}: No such file or directory",
        gone.display()
    );
    assert_eq!(said.matches(&cause).count(), 1, "{said}");
    let said = told("");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_file_of_addresses_replaces_one_of_addresses_and_nothing_more() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let word = place.word();
    let announcing = |path: &Path| {
        let arguments = ["serve", &word, "--announce", path.to_str().unwrap()];
        Process::sok(&arguments)
    };
    let file = place.file("old", "inet:127.0.0.1:1\nunix:/run/x.sock\n");
    let before = fs::metadata(&file).unwrap().ino();
    let server = Server::of(announcing(&file));
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        format!("{}\n", server.address())
    );
    let now = fs::metadata(&file).unwrap();
    assert_ne!(now.ino(), before, "readers of the old file have it whole");
    assert_eq!(now.permissions().mode() & 0o111, 0);
    // Another program has replaced it: it stays.
    let other = place.file("other", "other");
    fs::rename(&other, &file).unwrap();
    server.terminate();
    assert_eq!(server.wait(), 0, "{}", server.said());
    assert_eq!(fs::read_to_string(&file).unwrap(), "other");

    for content in ["other", "inet:127.0.0.1:1\nmore\n", "\n"] {
        fs::write(&file, content).unwrap();
        let done = announcing(&file).done();
        assert_eq!(done.code, 2, "{}", done.stderr);
        let cause = "this file has something other than addresses, and would be replaced; give";
        assert!(done.stderr.contains(cause), "{}", done.stderr);
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
    fs::write(&file, "").unwrap();
    let server = Server::of(announcing(&file));
    // The number of the file that was removed is not that of the next one.
    fs::remove_file(&file).unwrap();
    fs::write(&file, "next").unwrap();
    server.terminate();
    assert_eq!(server.wait(), 0, "{}", server.said());
    assert_eq!(fs::read_to_string(&file).unwrap(), "next");

    let link = place.path("link");
    std::os::unix::fs::symlink("old", &link).unwrap();
    for path in [place.directory(), &link, Path::new("/dev/null")] {
        let done = announcing(path).done();
        let cause = format!("announce {}: this is not a regular file", path.display());
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(done.stderr.contains(&cause), "{}", done.stderr);
    }
    let done = announcing(&place.path("missing/file")).done();
    let cause = "/missing/file: No such file or directory; give a path in a directory that exists";
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(done.stderr.contains(cause), "{}", done.stderr);
    assert_eq!(place.listing(), ["link", "old"]);
}

#[test]
fn one_connection_has_no_address_to_announce() {
    if !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Inet);
    let listener = Passed::listening(&place);
    let connection = Passed::connected(&place, listener.address());
    let file = place.path("addresses");
    let words = ["serve", "fd:3", "--announce", file.to_str().unwrap()];
    let done = Process::sok_inheriting(connection.descriptor(), &words).done();
    assert_eq!(done.code, 2, "{}", done.stderr);
    let cause = "--announce has no address to name";
    assert!(done.stderr.contains(cause), "{}", done.stderr);
}

#[test]
fn a_descriptor_that_cannot_be_told_is_a_usage_error() {
    for (script, cause) in [
        (
            r#""$SOK" serve "$1" --ready-fd 7"#,
            "--ready-fd 7: it is not open; open it for sok",
        ),
        (
            r#""$SOK" serve "$1" --ready-fd 3 3</dev/null"#,
            "--ready-fd 3: it is open for reading",
        ),
        (r#""$SOK" serve "$1" --ready-fd 2"#, "--ready-fd"),
        (r#""$SOK" serve "$1" --ready-fd x"#, "--ready-fd"),
        (
            r#""$SOK" serve "$1" --ready-fd 3 --pass-fd 3 --exec cat 3>/dev/null"#,
            "--ready-fd 3: the same descriptor as --pass-fd 3",
        ),
    ] {
        let done = Process::sh(script, &["unix:@sok-never-listens"]).done();
        assert_eq!(done.code, 2, "{script}: {}", done.stderr);
        assert!(done.stderr.contains(cause), "{script}: {}", done.stderr);
    }
    if !have(Kind::Inet) {
        return;
    }
    let socket = Passed::listening(&Place::new(Kind::Inet));
    let words = ["serve", "fd:3", "--ready-fd", "3"];
    let done = Process::sok_inheriting(socket.descriptor(), &words).done();
    assert_eq!(done.code, 2, "{}", done.stderr);
    let cause = "--ready-fd 3: the same descriptor as fd:3";
    assert!(done.stderr.contains(cause), "{}", done.stderr);
}

/// The reader takes nothing, or has gone: the server goes on.
#[test]
fn a_reader_of_the_newline_stops_no_server() {
    if !require_peer("mkfifo") {
        return;
    }
    let place = Place::new(Kind::Unix);
    let full = r#"dd if=/dev/zero of="$1" oflag=nonblock bs=4k 2>/dev/null"#;
    let gone = "exec 4<&-";
    for (name, prepare) in [("full", full), ("gone", gone)] {
        let script = format!(
            r#"mkfifo "$1" && exec 4<>"$1" 3>"$1" || exit 99
            {prepare}
            exec "$SOK" serve "$2" --ready-fd 3"#
        );
        let fifo = place.path(name);
        let server = Process::sh(&script, &[fifo.to_str().unwrap(), &place.word()]);
        let mut client = RawStream::connect(&Server::address_of(&server));
        client.send(b"x");
        assert_eq!(client.take(1), b"x");
        drop(client);
        if name == "gone" {
            server.stderr().wait_for("cannot write to --ready-fd");
        }
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait(), 0);
        let warned = server.said().contains("cannot write to --ready-fd");
        assert_eq!(warned, name == "gone", "{}", server.said());
    }
}

#[test]
fn the_file_of_addresses_is_no_socket_of_the_server() {
    let place = Place::new(Kind::Unix);
    let (word, other) = (place.word(), place.word());
    let path = word.split_once(':').unwrap().1;
    let path = path.replacen('/', "//", 1);
    for words in [
        &["serve", &word, "--announce", &path][..],
        &["serve", &other, "--status", &word, "--announce", &path],
        &["relay", &word, "inet:127.0.0.1:1", "--announce", &path],
        &["activate", &word, "--announce", &path, "--", "true"],
    ] {
        let done = sok(words);
        assert_eq!(done.code, 2, "{}", done.stderr);
        let cause = "this is the path of the server's own socket";
        assert!(done.stderr.contains(cause), "{}", done.stderr);
    }
    assert_eq!(place.listing(), Vec::<String>::new());
}

#[test]
fn a_socket_at_the_path_of_the_file_of_addresses_stays() {
    let place = Place::new(Kind::Unix);
    let (word, path) = (place.word(), place.path("addresses"));
    let other = format!("unix:{}", path.display());
    let server = Server::at(&other, &[]);
    let done = sok(&["serve", &word, "--announce", path.to_str().unwrap()]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert_answers(server.address(), "hello", "hello");
}

forms!(a_start_that_fails_leaves_no_file_of_addresses, |place| {
    let file = place.path("addresses");
    let path = file.to_str().unwrap();
    let before = place.listing();
    let script = r#"ulimit -n 8; exec "$SOK" serve "$1" --announce "$2""#;
    let done = Process::sh(script, &[&place.word(), path]).done();
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert_eq!(place.listing(), before);
    let server = Server::start(place, &[]);
    let before = place.listing();
    let done = sok(&["serve", server.address(), "--announce", path]);
    assert_ne!(done.code, 0, "{}", done.stderr);
    assert_eq!(place.listing(), before);
});
