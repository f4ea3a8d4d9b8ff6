//! `sok activate` with commands that misbehave.

use std::fs;
use std::os::unix::net::UnixListener;

use nix::sys::signal::Signal;

use crate::support::{Activate, Kind, PYTHON_SERVER, Place, Process, ask, require_peer, sok};

/// Does `what` with the first socket.
fn python(what: &str) -> String {
    format!("import os, signal, socket, sys\ns = socket.socket(fileno=3)\n{what}")
}

forms!(
    a_command_that_closes_its_sockets_takes_them_from_nobody,
    |place| {
        if !require_peer("python3") {
            return;
        }
        let closed = place.path("closed");
        let script =
            r#"test -e "$2" && exec python3 -c "$1"; : > "$2"; exec 3<&-; echo closed; exit 1"#;
        let closed = closed.to_str().unwrap();
        let command = ["sh", "-c", script, "sh", PYTHON_SERVER, closed];
        let activate = Activate::start(place, &["--restart"], &command);
        ask(activate.address(), "hello");
        assert_eq!(activate.stop(), 0);
        assert_eq!(place.listing(), ["closed"]);
    }
);

forms!(
    a_socket_that_the_command_has_shut_down_is_an_error,
    |place| {
        if !require_peer("python3") {
            return;
        }
        let shut_down = python("try: s.shutdown(socket.SHUT_RDWR)\nexcept OSError: pass");
        let word = place.word();
        for options in [&["--restart"][..], &["--restart", "--on-demand"]] {
            let command = ["python3", "-c", &shut_down];
            let activate = Activate::at(&[&word], options, &command);
            if options.contains(&"--on-demand") {
                // Its server does not answer.
                sok(&[
                    "call",
                    "--no-reply",
                    activate.address(),
                    "hello",
                    "--timeout",
                    "30s",
                ]);
            }
            assert_eq!(activate.wait(), 1);
            let said = activate.said();
            let error = format!(
                "sok: listen {}: the program has shut down the socket",
                activate.address()
            );
            assert!(said.contains(&error), "{said}");
            assert_eq!(place.listing(), Vec::<String>::new());
        }
    }
);

locals!(
    a_socket_file_that_the_command_removes_is_reported,
    |place| {
        if place.kind() != Kind::Unix || !require_peer("python3") {
            return;
        }
        let remove =
            python("os.unlink(s.getsockname())\nprint('removed', flush=True)\nsys.exit(1)");
        let activate = Activate::start(place, &["--restart"], &["python3", "-c", &remove]);
        activate.stdout().wait_for("removed");
        activate
            .stderr()
            .wait_for("no client finds the server: its socket file was removed or replaced");
        // Another one takes the name: it is not removed.
        let _other = UnixListener::bind(activate.path()).unwrap();
        assert_eq!(activate.stop(), 0);
        assert_eq!(place.listing().len(), 1);
    }
);

#[test]
fn a_command_that_ignores_the_signal_is_killed_after_the_grace_period() {
    let place = Place::new(Kind::Unix);
    let script = "trap '' TERM INT; echo ready; while :; do sleep 300; done";
    for options in [
        &["--grace", "100ms"][..],
        &["--grace", "0s"],
        &["--grace", "100ms", "--restart"],
    ] {
        let activate = Activate::start(&place, options, &["sh", "-c", script]);
        activate.stdout().wait_for("ready");
        assert_eq!(activate.stop(), 137);
        // The last process that has it open has ended.
        activate.stdout().wait_closed();
        let said = activate.said();
        assert!(
            said.contains("warning: killed: it did not end within the grace period pid="),
            "{said}"
        );
        assert_eq!(place.listing(), Vec::<String>::new());
    }
}

#[test]
fn a_second_signal_kills_at_once() {
    let place = Place::new(Kind::Unix);
    let script = "trap 'echo asked' TERM INT; echo ready; while :; do sleep 300 & wait; done";
    for (first, second) in [
        (Signal::SIGTERM, Signal::SIGTERM),
        (Signal::SIGINT, Signal::SIGINT),
    ] {
        let activate = Activate::start(&place, &["--grace", "5m"], &["sh", "-c", script]);
        activate.stdout().wait_for("ready");
        activate.signal(first);
        activate.stdout().wait_for("asked");
        activate.signal(second);
        assert_eq!(activate.wait(), 137);
        activate.stdout().wait_closed();
        assert_eq!(place.listing(), Vec::<String>::new());
    }
}

#[test]
fn a_replaced_command_that_ignores_the_signal_is_killed() {
    let place = Place::new(Kind::Unix);
    let script = "trap '' TERM; echo ready; while :; do sleep 300; done";
    for overlap in ["0s", "1ms"] {
        let options = ["--restart", "--overlap", overlap, "--grace", "100ms"];
        let activate = Activate::start(&place, &options, &["sh", "-c", script]);
        activate.stdout().wait_for("ready");
        activate.signal(Signal::SIGHUP);
        activate
            .stderr()
            .wait_for("killed: it did not end within the grace period");
        activate.stdout().wait_for_count("ready", 2);
        activate.signal(Signal::SIGKILL);
    }
}

#[test]
fn a_command_that_fails_at_once_does_not_spin() {
    let place = Place::new(Kind::Unix);
    for options in [&["--restart"][..], &["--restart", "--on-demand"]] {
        let activate = Activate::start(&place, options, &["false"]);
        // It never accepts, so it is wanted all the time.
        let _client = options
            .contains(&"--on-demand")
            .then(|| std::os::unix::net::UnixStream::connect(activate.path()).unwrap());
        let said = activate.stderr().wait_for_count("program ended", 4);
        for pause in ["pause=100ms", "pause=200ms", "pause=400ms", "pause=800ms"] {
            assert_eq!(said.matches(pause).count(), 1, "{said}");
        }
        assert_eq!(activate.stop(), 0);
    }
}

#[test]
fn a_client_that_nobody_serves_does_not_spin() {
    let place = Place::new(Kind::Unix);
    let options = ["--restart", "--on-demand", "-v"];
    let activate = Activate::start(&place, &options, &["true"]);
    let _client = std::os::unix::net::UnixStream::connect(activate.path()).unwrap();
    // Ten of them cannot begin in less than nine tenths of a second.
    let began = std::time::Instant::now();
    activate.stderr().wait_for_count("program started", 10);
    assert!(began.elapsed() >= std::time::Duration::from_millis(800));
    assert_eq!(activate.stop(), 0);
}

#[test]
fn without_a_descriptor_left_a_start_is_an_error() {
    let place = Place::new(Kind::Unix);
    let script = r#"ulimit -n 12; exec "$SOK" activate "$1" @ @ @ @ -- true"#;
    let done = Process::sh(script, &[&place.word()]).done();
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(
        done.stderr
            .contains("Too many open files; raise the open file limit"),
        "{}",
        done.stderr
    );
    assert_eq!(place.listing(), Vec::<String>::new());
}

#[test]
fn the_words_of_the_command_cannot_forge_a_report() {
    let place = Place::new(Kind::Unix);
    let bad = place.file("bad\nsok: forged", "#!/not/there\n");
    fs::set_permissions(&bad, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let done = sok(&["activate", "@", "-v", "--", bad.to_str().unwrap()]);
    assert_eq!(done.code, 127);
    assert!(
        done.stderr.contains("bad\\x0asok: forged"),
        "{}",
        done.stderr
    );
    assert!(
        !done
            .stderr
            .lines()
            .any(|line| line.starts_with("sok: forged"))
    );
}
