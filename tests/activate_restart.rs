//! `sok activate --restart`: no client is refused while its command ends and starts again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::Signal;

use crate::support::{Activate, Kind, PYTHON_SERVER, Place, Process, ask, require_peer};

forms!(
    a_server_that_ends_after_each_client_serves_the_next,
    |place| {
        if !require_peer("python3") {
            return;
        }
        for options in [&["--restart", "--on-demand"][..], &["--restart"]] {
            let command = ["python3", "-c", PYTHON_SERVER, "1"];
            let activate = Activate::start(place, options, &command);
            let servers: BTreeSet<i32> = (0..3).map(|_| ask(activate.address(), "hello")).collect();
            assert_eq!(servers.len(), 3, "{options:?}");
            assert_eq!(activate.stop(), 0);
            assert_eq!(place.listing(), Vec::<String>::new());
        }
    }
);

forms!(a_killed_server_is_started_again, |place| {
    if !require_peer("python3") {
        return;
    }
    let activate = Activate::python(place, &["--restart"]);
    let first = ask(activate.address(), "hello");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), Signal::SIGKILL).unwrap();
    activate.wait_for_starts(2);
    let second = ask(activate.address(), "again");
    assert_ne!(first, second);
    let report =
        format!("sok: warning: program ended pid={first} status=signal: 9 (SIGKILL) pause=");
    activate.stderr().wait_for(&report);
    assert_eq!(activate.stop(), 0);
});

forms!(no_client_fails_while_the_server_is_replaced, |place| {
    if !require_peer("python3") {
        return;
    }
    for overlap in ["300ms", "0s"] {
        let activate = Activate::python(place, &["--restart", "--overlap", overlap]);
        activate.wait_for_starts(1);
        let (done, address) = (AtomicBool::new(false), activate.address());
        let servers: BTreeSet<i32> = thread::scope(|scope| {
            let client = || {
                let mut servers = BTreeSet::new();
                while !done.load(Ordering::Relaxed) {
                    servers.insert(ask(address, "hello"));
                }
                servers
            };
            let clients = [scope.spawn(client), scope.spawn(client)];
            let mut servers = BTreeSet::new();
            for starts in 2..6 {
                activate.signal(Signal::SIGHUP);
                activate.wait_for_starts(starts);
                servers.insert(ask(address, "hello"));
            }
            done.store(true, Ordering::Relaxed);
            for client in clients {
                servers.extend(client.join().unwrap());
            }
            servers
        });
        // Without an overlap, each served what came after its start.
        let least = if overlap == "0s" { 4 } else { 2 };
        assert!(servers.len() >= least, "{overlap}: {servers:?}");
        assert_eq!(activate.stop(), 0);
        assert_eq!(place.listing(), Vec::<String>::new());
    }
});

families!(a_new_command_that_fails_leaves_the_old_one, |place| {
    if !require_peer("python3") {
        return;
    }
    let broken = place.path("broken");
    let script = r#"test ! -e "$2" || { echo failed; exit 1; }; exec python3 -c "$1""#;
    let command = [
        "sh",
        "-c",
        script,
        "sh",
        PYTHON_SERVER,
        broken.to_str().unwrap(),
    ];
    let activate = Activate::start(place, &["--restart", "--overlap", "5m"], &command);
    let first = ask(activate.address(), "hello");
    fs::write(&broken, "").unwrap();
    activate.signal(Signal::SIGHUP);
    activate.stderr().wait_for("status=exit status: 1");
    assert_eq!(ask(activate.address(), "hello"), first);
    let said = activate.stderr().text();
    assert!(
        said.contains("the new program ended, the old one stays pid="),
        "{said}"
    );
    // It is not tried again by itself, but at the next signal.
    fs::remove_file(&broken).unwrap();
    activate.signal(Signal::SIGHUP);
    activate.wait_for_starts(2);
    assert_eq!(activate.stdout().text().matches("failed").count(), 1);
    assert_eq!(activate.stop(), 0);
});

families!(
    a_new_command_takes_over_when_the_old_one_ends_meanwhile,
    |place| {
        if !require_peer("python3") {
            return;
        }
        let activate = Activate::python(place, &["--restart", "--overlap", "5m", "-v"]);
        let first = ask(activate.address(), "hello");
        activate.signal(Signal::SIGHUP);
        activate.wait_for_starts(2);
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), Signal::SIGTERM).unwrap();
        activate.stderr().wait_for("program ended");
        let second = ask(activate.address(), "hello");
        assert_ne!(first, second);
        assert_eq!(ask(activate.address(), "hello"), second);
        assert_eq!(activate.stop(), 0);
        assert_eq!(activate.said().matches("program started").count(), 2);
    }
);

#[test]
fn a_hangup_starts_a_command_that_waits_for_its_next_start() {
    let place = Place::new(Kind::Unix);
    let script = "echo started; exit 1";
    let activate = Activate::start(&place, &["--restart"], &["sh", "-c", script]);
    // The pauses double: without the signals this would take half a minute.
    for starts in 1..9 {
        activate.stderr().wait_for_count("program ended", starts);
        activate.signal(Signal::SIGHUP);
    }
    activate.stdout().wait_for_count("started", 9);
    // A command that ends by itself during the stop has its own status.
    activate.stderr().wait_for_count("program ended", 9);
    assert_eq!(activate.stop(), 0);
}

#[test]
fn a_hangup_without_a_command_changes_nothing() {
    let place = Place::new(Kind::Unix);
    let options = ["--restart", "--on-demand", "-v"];
    let activate = Activate::start(&place, &options, &["true"]);
    activate.signal(Signal::SIGHUP);
    activate
        .stderr()
        .wait_for("no program runs that could be replaced");
    assert_eq!(activate.stop(), 0);
    assert!(!activate.said().contains("program started"));
}

#[test]
fn a_server_finds_the_mode_of_the_sockets_as_the_other_left_it() {
    if !require_peer("python3") {
        return;
    }
    let place = Place::new(Kind::Unix);
    let script = "import os, signal
print('blocks', os.get_blocking(3), flush=True)
os.set_blocking(3, False)
print('is set', flush=True)
signal.pause()";
    let options = ["--restart", "--overlap", "100ms", "-v"];
    let activate = Activate::start(&place, &options, &["python3", "-c", script]);
    activate.stdout().wait_for("is set\n");
    // Two that share the sockets: the old one relies on what it has set.
    activate.signal(Signal::SIGHUP);
    activate.stderr().wait_for("program ended");
    let said = activate.stdout().wait_for_count("is set\n", 2);
    assert_eq!(said, "blocks True\nis set\nblocks False\nis set\n");
    // One after the other.
    let said = activate.stderr().wait_for_count("program started pid=", 2);
    let pid = said
        .rsplit_once("started pid=")
        .unwrap()
        .1
        .lines()
        .next()
        .unwrap();
    let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    let said = activate.stdout().wait_for_count("is set\n", 3);
    assert!(said.ends_with("blocks True\nis set\n"), "{said}");
    assert_eq!(activate.stop(), 0);
}

#[test]
fn all_runs_end_at_a_stop() {
    let place = Place::new(Kind::Unix);
    let script = "echo ready; exec sleep 300";
    let options = ["--restart", "--overlap", "5m"];
    let activate = Activate::start(&place, &options, &["sh", "-c", script]);
    activate.stdout().wait_for("ready");
    activate.signal(Signal::SIGHUP);
    activate.stdout().wait_for_count("ready", 2);
    assert_eq!(activate.stop(), 0);
    // The last process that has it open has ended.
    activate.stdout().wait_closed();
    assert_eq!(place.listing(), Vec::<String>::new());
}

#[test]
fn a_supervisor_that_ignores_a_signal_from_the_start_leaves_it_ignored() {
    let place = Place::new(Kind::Unix);
    let script = r#"trap '' HUP; exec "$SOK" activate "$1" --restart -v -- sh -c 'echo ready; exec sleep 300'"#;
    let activate = Process::sh(script, &[&place.word()]);
    activate.stdout().wait_for("ready");
    activate.signal(Signal::SIGHUP);
    activate.signal(Signal::SIGTERM);
    assert_eq!(activate.wait(), 0);
    assert_eq!(activate.said().matches("program started").count(), 1);
}

#[test]
fn an_ignored_sigchld_keeps_no_status_back() {
    if !require_peer("python3") {
        return;
    }
    let place = Place::new(Kind::Unix);
    let script = "import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", script, Process::PROGRAM, "activate", &place.word()]);
    command.args(["--", "sh", "-c", "exit 9"]);
    assert_eq!(Process::spawn(command).done().code, 9);
}

#[test]
fn the_socket_file_stays_while_the_command_restarts() {
    let place = Place::new(Kind::Unix);
    let options = ["--restart", "--on-demand"];
    let activate = Activate::start(&place, &options, &["sh", "-c", "exit 0"]);
    for _ in 0..3 {
        // Nobody accepts: it waits in the backlog.
        let _client = std::os::unix::net::UnixStream::connect(activate.path()).unwrap();
        assert!(
            fs::metadata(activate.path())
                .unwrap()
                .file_type()
                .is_socket()
        );
    }
    assert_eq!(activate.stop(), 0);
}
