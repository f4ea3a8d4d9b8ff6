//! `sok activate`: what its command inherits, when it starts, and how both end.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::Signal;

use crate::support::{
    Activate, Init, Kind, PYTHON_SERVER, Place, Process, Server, Terminal, ask, have, require_peer,
    run, sok,
};

/// Prints the variables of activation and the open descriptors, besides that of the listing.
const INHERITED: &str = r#"
import os
for name, value in sorted(os.environ.items()):
    if name.startswith("LISTEN_"):
        print(name, "own" if name == "LISTEN_PID" and value == str(os.getpid()) else value)
listed = sorted(map(int, os.listdir("/proc/self/fd")))
print("open", *(one for one in listed if os.path.lexists(f"/proc/self/fd/{one}")))
"#;

forms!(a_server_serves_the_socket_that_it_inherits, |place| {
    if !require_peer("python3") {
        return;
    }
    let activate = Activate::python(place, &[]);
    assert!(activate.address().starts_with(place.prefix()));
    let first = ask(activate.address(), "hello");
    assert_eq!(ask(activate.address(), "again"), first);
    assert_eq!(activate.stop(), 0);
    assert_eq!(place.listing(), Vec::<String>::new());
});

forms!(a_server_starts_when_the_first_client_waits, |place| {
    if !require_peer("python3") {
        return;
    }
    let activate = Activate::python(place, &["--on-demand", "-v"]);
    assert_eq!(activate.stdout().text(), "");
    ask(activate.address(), "hello");
    let said = activate.stderr().wait_for("program started");
    let positions =
        ["listening on", "a client waits", "program started"].map(|text| said.find(text));
    assert!(positions.is_sorted() && positions[0].is_some(), "{said}");
    assert_eq!(activate.stop(), 0);
    assert_eq!(place.listing(), Vec::<String>::new());
});

forms!(
    without_a_client_nothing_starts_and_a_stop_is_clean,
    |place| {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let activate = Activate::start(place, &["--on-demand", "-v"], &["true"]);
            activate.signal(signal);
            assert_eq!(activate.wait(), 0);
            assert!(!activate.said().contains("program started"));
            assert_eq!(place.listing(), Vec::<String>::new());
        }
    }
);

#[test]
fn a_command_inherits_the_sockets_and_nothing_else() {
    if !require_peer("python3") || !have(Kind::Inet) {
        return;
    }
    let place = Place::new(Kind::Unix);
    let script = r#"LISTEN_FDS=7 LISTEN_PID=$$ LISTEN_FDNAMES=a:b LISTEN_PIDFDID=1 exec "$SOK" activate \
        "$1" inet:127.0.0.1:0 udp4:127.0.0.1:0 $3 -- python3 -c "$2" 3</dev/null 9</dev/null"#;
    let word = place.word();
    let done = Process::sh(script, &[&word, INHERITED, ""]).done();
    let open = "open 0 1 2 3 4 5\n";
    assert_eq!(done.text(), format!("LISTEN_FDS 3\nLISTEN_PID own\n{open}"));
    assert_eq!(done.code, 0);
    let names = "--fdname one --fdname two --fdname 3";
    let done = Process::sh(script, &[&word, INHERITED, names]).done();
    let named = "LISTEN_FDNAMES one:two:3\nLISTEN_FDS 3\nLISTEN_PID own\n";
    assert_eq!(done.text(), format!("{named}{open}"));
}

#[test]
fn each_socket_of_a_name_has_the_name_of_its_address() {
    if !require_peer("python3") || !have(Kind::Inet6) {
        return;
    }
    let addresses = crate::support::resolved("localhost").len();
    let names = ["--fdname", "web", "--fdname", "last"];
    let words = ["activate", "tcp:localhost:0", "@"];
    let command = ["--", "python3", "-c", INHERITED];
    let done = sok(&[&words[..], &names, &command].concat());
    let named = format!("LISTEN_FDNAMES {}last\n", "web:".repeat(addresses));
    assert!(done.text().starts_with(&named), "{}", done.text());
    assert_eq!(done.stderr.matches("listening on").count(), addresses + 1);
}

forms!(a_command_gets_sockets_that_listen_and_block, |place| {
    if !require_peer("python3") {
        return;
    }
    let script = r#"
import os, socket
s = socket.socket(fileno=3)
listens = s.type != socket.SOCK_DGRAM and s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
print(s.type.name, bool(listens), os.get_blocking(3), repr(s.getsockname()))
"#;
    let word = place.word();
    let kind = place.socket_type().sock_name();
    let listens = if place.has_connection() {
        "True"
    } else {
        "False"
    };
    for (options, blocks) in [(&[][..], "True"), (&["--nonblocking"], "False")] {
        let command = ["--", "python3", "-c", script];
        let done = sok(&[&["activate", &word], options, &command].concat());
        let text = done.text();
        let name = text.strip_prefix(&format!("{kind} {listens} {blocks} "));
        let name = name.unwrap_or_else(|| panic!("{text}{}", done.stderr));
        // The name is that of the address, also of a socket file: it was not renamed.
        if place.kind() == Kind::Unix {
            let (_, path) = word.split_once(':').unwrap();
            assert_eq!(name, format!("'{path}'\n"));
        }
    }
});

#[test]
fn the_socket_file_has_the_mode_and_the_owner_as_given() {
    let place = Place::new(Kind::Unix);
    for (prefix, mode) in [("unix", "640"), ("unixpacket", "606"), ("unixgram", "666")] {
        let path = place.path(prefix);
        let word = format!("{prefix}:{}", path.display());
        let script = r#"umask 077; exec "$SOK" activate "$1" --mode "$2" --owner ":$3" -- cat"#;
        let group = fs::metadata(place.directory()).unwrap().gid().to_string();
        let activate = Server::of(Process::sh(script, &[&word, mode, &group]));
        let found = fs::metadata(&path).unwrap();
        assert_eq!(format!("{:o}", found.mode() & 0o777), mode);
        assert_eq!(found.gid().to_string(), group);
        activate.terminate();
        assert_eq!(activate.wait(), 0);
    }
    assert_eq!(place.listing(), Vec::<String>::new());
}

forms!(the_exit_status_of_the_command_is_that_of_sok, |place| {
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -9 $$", 137),
        ("kill -40 $$", 168),
    ] {
        let done = sok(&["activate", &place.word(), "--", "sh", "-c", script]);
        assert_eq!(done.code, code, "{script}: {}", done.stderr);
        assert_eq!(place.listing(), Vec::<String>::new());
    }
});

#[test]
fn a_command_that_cannot_run_is_126_or_127() {
    let place = Place::new(Kind::Unix);
    let file = place.file("file", "text");
    let script = place.file("script", "#!/not/there\n");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (file, script) = (file.to_str().unwrap(), script.to_str().unwrap());
    let word = place.word();
    for (command, code, cause) in [
        ("no-such-program", 127, "no such program"),
        ("/no/such/program", 127, "no such program"),
        (file, 126, "not an executable file"),
        (
            place.directory().to_str().unwrap(),
            126,
            "not an executable file",
        ),
        (script, 127, "No such file or directory"),
    ] {
        let done = sok(&["activate", &word, "--", command]);
        assert_eq!(done.code, code, "{}", done.stderr);
        let error = done.stderr.lines().last().unwrap();
        let expected = format!("sok: exec {command}: {cause}");
        assert!(error.starts_with(&expected), "{error}");
        // One that is missing is found before anything is bound.
        assert_eq!(done.stderr.contains("listening"), command == script);
        assert_eq!(place.listing(), ["file", "script"]);
    }
    let done = sok(&["activate", &word, "--json", "--", script]);
    let error: serde_json::Value =
        serde_json::from_str(done.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&error["event"], &error["exit"]),
        (&"error".into(), &127.into())
    );
}

#[test]
fn what_is_left_of_the_command_ends_with_it() {
    let place = Place::new(Kind::Unix);
    for (script, code) in [
        ("sleep 300 & exit 3", 3),
        ("trap '' TERM; sleep 300 & exit 3", 3),
        ("(trap '' TERM; sleep 300) & kill -9 $$", 137),
    ] {
        let words = [
            "activate",
            &place.word(),
            "--grace",
            "100ms",
            "--",
            "sh",
            "-c",
            script,
        ];
        let activate = Process::sok(&words);
        assert_eq!(activate.wait(), code, "{script}");
        // The last process that has it open has ended.
        activate.stdout().wait_closed();
    }
}

#[test]
fn the_signals_reach_the_command() {
    let place = Place::new(Kind::Unix);
    let script = "for name in TERM INT HUP USR1 USR2; do trap \"echo $name; exit 5\" $name; done
        echo ready; while :; do sleep 300 & wait; done";
    for name in ["TERM", "INT", "HUP", "USR1", "USR2"] {
        let activate = Activate::start(&place, &[], &["sh", "-c", script]);
        activate.stdout().wait_for("ready");
        activate.signal(format!("SIG{name}").parse().unwrap());
        assert_eq!(activate.wait(), 5, "{name}");
        assert_eq!(
            activate.stdout().wait_closed(),
            format!("ready\n{name}\n").into_bytes()
        );
    }
    // The signal that was sent is no failure.
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let activate = Activate::start(&place, &[], &["sh", "-c", "echo ready; exec sleep 300"]);
        activate.stdout().wait_for("ready");
        activate.signal(signal);
        assert_eq!(activate.wait(), 0, "{signal}");
    }
    assert_eq!(place.listing(), Vec::<String>::new());
}

#[test]
fn the_stop_signal_is_as_given() {
    let place = Place::new(Kind::Unix);
    let script = "trap 'echo stopped; exit 0' USR1; trap 'exit 9' TERM INT; echo ready
        while :; do sleep 300 & wait; done";
    for (name, signal) in [("USR1", Signal::SIGTERM), ("sigusr1", Signal::SIGINT)] {
        let options = ["--stop-signal", name];
        let activate = Activate::start(&place, &options, &["sh", "-c", script]);
        activate.stdout().wait_for("ready");
        activate.signal(signal);
        assert_eq!(activate.wait(), 0);
        assert_eq!(activate.stdout().wait_closed(), b"ready\nstopped\n");
    }
}

families!(a_stop_refuses_clients_at_once, |place| {
    let script = "trap '' TERM; exec 3<&-; echo ready; sleep 300";
    let activate = Activate::start(place, &["-v", "--grace", "5m"], &["sh", "-c", script]);
    activate.stdout().wait_for("ready");
    activate.signal(Signal::SIGTERM);
    // Until the stop has begun, a client waits in the backlog.
    let wait = sok(&["wait", "--gone", activate.address(), "--timeout", "60s"]);
    assert_eq!(wait.code, 0, "{}", wait.stderr);
    activate.signal(Signal::SIGTERM);
    assert_eq!(activate.wait(), 137);
});

#[test]
fn a_terminal_is_not_the_input_of_the_command() {
    let words = ["activate", "@", "--", "readlink", "/proc/self/fd/0"];
    let terminal = Terminal::run(&words);
    terminal.screen.wait_for("/dev/null");
}

#[test]
fn as_pid_1_orphans_are_reaped_and_the_status_of_the_command_is_kept() {
    let orphan = "(sh -c 'kill -40 $$' &); (true &)";
    let no_zombie = "while grep -qs '^State:.Z' /proc/[0-9]*/status; do :; done; exit 7";
    let script = format!("{orphan}; {no_zombie}");
    let Some(activate) = Init::sok(&["activate", "@", "-v", "--", "sh", "-c", &script]) else {
        return;
    };
    assert_eq!(
        activate.process().wait(),
        7,
        "{}",
        activate.process().stderr().text()
    );
}

#[test]
fn bad_options_are_usage_errors() {
    for (words, expected) in [
        (&["activate"][..], "not provided: <ADDRESS>... <CMD>..."),
        (&["activate", "@"], "not provided: <CMD>..."),
        (
            &["activate", "@", "ls", "-l"],
            "write -- before the command",
        ),
        (&["activate", "--", "ls"], "not provided: <ADDRESS>..."),
        (
            &["activate", "nothing", "--", "ls"],
            "no prefix and no port",
        ),
        (
            &["activate", "localhost", "80", "--", "ls"],
            "one word: tcp:localhost:80",
        ),
        (
            &["activate", "@", "--fdname", "a:b", "--", "ls"],
            "and no colon",
        ),
        (&["activate", "@", "--fdname", "", "--", "ls"], "1 to 255"),
        (
            &[
                "activate", "@", "--fdname", "a", "--fdname", "b", "--", "ls",
            ],
            "--fdname is given 2 times, and ADDRESS 1 times; give one",
        ),
        (
            &["activate", "@", "@", "--fdname", "a", "--", "ls"],
            "--fdname is given 1 times, and ADDRESS 2 times",
        ),
        (
            &["activate", "@", "--overlap", "1s", "--", "ls"],
            "not provided: --restart",
        ),
        (
            &["activate", "@", "--restart", "--overlap", "1x", "--", "ls"],
            "'1x' for '--overlap",
        ),
        (
            &["activate", "@", "--grace", "soon", "--", "ls"],
            "'soon' for '--grace",
        ),
        (
            &["activate", "@", "--stop-signal", "KILL", "--", "ls"],
            "that can be handled",
        ),
        (
            &["activate", "@", "--stop-signal", "9", "--", "ls"],
            "that can be handled",
        ),
        (
            &["activate", "@", "--mode", "600", "--", "ls"],
            "apply only to a socket file",
        ),
        (
            &["activate", "@", "--owner", "root", "--", "ls"],
            "apply only to a socket file",
        ),
        (
            &["activate", "@", "--v6only", "--", "ls"],
            "applies only to IPv6",
        ),
        (
            &["activate", "@", "--ttl", "3", "--", "ls"],
            "applies only to UDP",
        ),
        (
            &["activate", "@", "--congestion", "reno", "--", "ls"],
            "applies only to TCP",
        ),
        (
            &["activate", "@", "--restart", "--nonsense", "--", "ls"],
            "'--nonsense'",
        ),
    ] {
        let done = sok(words);
        assert_eq!(done.code, 2, "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(expected), "{words:?}: {}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    }
}

forms!(an_address_in_use_is_5, |place| {
    let server = Activate::start(place, &["--on-demand"], &["true"]);
    let done = sok(&["activate", server.address(), "--", "true"]);
    assert_eq!(done.code, 5, "{}", done.stderr);
    assert!(done.stderr.contains(server.address()), "{}", done.stderr);
});

#[test]
fn a_socket_that_cannot_be_bound_leaves_no_other_behind() {
    run(Kind::Unix, |place| {
        let first = place.word();
        let done = sok(&["activate", &first, "unix:/no/such/s.sock", "--", "true"]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert_eq!(place.listing(), Vec::<String>::new());
    });
}

#[test]
fn a_killed_supervisor_takes_the_command_with_it() {
    if !require_peer("python3") {
        return;
    }
    let place = Place::new(Kind::Unix);
    let activate = Activate::start(&place, &[], &["python3", "-c", PYTHON_SERVER]);
    activate.wait_for_starts(1);
    activate.signal(Signal::SIGKILL);
    assert_eq!(activate.wait(), 137);
    // The last process that has it open has ended.
    activate.stdout().wait_closed();
    // Its socket file is stale, and the next one replaces it.
    let next = Activate::at(&[activate.address()], &["--on-demand"], &["true"]);
    assert_eq!(next.stop(), 0);
}
