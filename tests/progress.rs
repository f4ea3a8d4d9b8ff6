//! The progress of `connect`, `serve` and `bench` on a terminal.

use std::fs::File;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    ErrorTerminal, Kind, Place, Process, RawListener, RawStream, Server, noise, require_peer, run,
    sok,
};

/// What erases the line.
const ERASE: &str = "\r\u{1b}[K";
/// More than the buffers of a connection hold.
const MUCH: usize = 32_000_000;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(Process::PROGRAM);
    command.args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// `sok connect` with a file of `MUCH` bytes as its input, and this standard output.
fn connect(place: &Place, arguments: &[&str], output: impl Into<Stdio>) -> ErrorTerminal {
    let file = place.file("much", noise(MUCH));
    let mut command = command(arguments);
    command.stdin(File::open(file).unwrap()).stdout(output);
    ErrorTerminal::of(command)
}

#[test]
fn a_transfer_shows_share_amount_rate_and_time_left_and_leaves_its_total() {
    run(Kind::Unix, |place| {
        let listener = RawListener::bind(place);
        let client = connect(place, &["connect", listener.address()], Stdio::null());
        let mut served = listener.accept();
        served.take(1_000_000);
        let shown = client.screen.wait_for(" of 32.0 MB");
        assert!(shown.contains('%') && shown.contains("B/s"), "{shown:?}");
        client.screen.wait_for(" left");
        assert_eq!(served.rest().len(), MUCH - 1_000_000);
        drop(served);
        let (code, shown) = client.ended();
        assert_eq!(code, Some(0), "{shown}");
        let last = shown.rsplit(ERASE).next().unwrap();
        assert!(last.contains("100%  32.0 MB of 32.0 MB"), "{shown:?}");
        assert!(last.ends_with("\r\n"), "{shown:?}");
        let widest = shown.split(ERASE).map(|line| line.chars().count()).max();
        assert!(widest < Some(80), "{shown:?}");
    });
}

#[test]
fn what_is_received_is_shown_too() {
    run(Kind::Unix, |place| {
        let listener = RawListener::bind(place);
        let arguments = ["connect", listener.address(), "--progress", "always"];
        let client = ErrorTerminal::of(command(&arguments));
        let mut served = listener.accept();
        served.send(b"a reply");
        client.screen.wait_for("received 7 B");
        drop(served);
        assert_eq!(client.ended().0, Some(0));
    });
}

/// A transfer with these options shows nothing, while one that begins later is shown.
fn assert_shows_nothing(place: &Place, options: &[&str], change: impl FnOnce(&mut Command)) {
    let (listener, other) = (RawListener::bind(place), RawListener::bind(place));
    let mut first = command(&[&["connect", listener.address()], options].concat());
    change(&mut first);
    let quiet = ErrorTerminal::of(first);
    let served = listener.accept();
    let watched = ErrorTerminal::of(command(&["connect", other.address()]));
    let other = other.accept();
    watched.screen.wait_for("sent 0 B");
    drop((served, other));
    let (code, shown) = quiet.ended();
    assert_eq!((code, &*shown), (Some(0), ""));
    assert_eq!(watched.ended().0, Some(0));
}

#[test]
fn nothing_is_shown_quietly_or_never() {
    run(Kind::Unix, |place| {
        assert_shows_nothing(place, &["--quiet", "--progress", "always"], |_| ());
        assert_shows_nothing(place, &["--progress", "never"], |_| ());
        assert_shows_nothing(place, &["--json"], |_| ());
    });
}

#[test]
fn nothing_is_shown_where_data_is_on_a_terminal() {
    run(Kind::Unix, |place| {
        let data = nix::pty::openpty(None, None).unwrap();
        let end = || Stdio::from(data.slave.try_clone().unwrap());
        assert_shows_nothing(place, &[], |command| {
            command.stdout(end());
        });
        assert_shows_nothing(place, &[], |command| {
            command.stdin(end());
        });
    });
}

#[test]
fn a_stream_that_is_not_used_may_be_a_terminal() {
    run(Kind::Unix, |place| {
        let data = nix::pty::openpty(None, None).unwrap();
        let listener = RawListener::bind(place);
        let arguments = ["connect", listener.address(), "--send-only"];
        let client = connect(place, &arguments, Stdio::from(data.slave));
        let mut served = listener.accept();
        client.screen.wait_for(" of 32.0 MB");
        assert_eq!(served.rest().len(), MUCH);
        drop(served);
        assert_eq!(client.ended().0, Some(0));
    });
}

#[test]
fn a_program_in_the_background_does_not_write_into_the_line_of_the_shell() {
    if !require_peer("setsid") {
        return;
    }
    run(Kind::Unix, |place| {
        let listener = RawListener::bind(place);
        let script = r#"set -m; "$0" connect "$1" --progress always < /dev/null > /dev/null &
            "$0" connect "$2" --progress always < /dev/null > /dev/null; wait"#;
        let second = RawListener::bind(place);
        // Its session has the terminal of standard error: the input is that too.
        let pair = nix::pty::openpty(None, None).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        let mut shell = Command::new("setsid");
        shell.args(["--ctty", "--wait", "sh", "-c", script, Process::PROGRAM]);
        shell.args([listener.address(), second.address()]);
        shell.stdin(end()).stdout(end()).stderr(end());
        let mut running = shell.spawn().unwrap();
        // It has the terminal too.
        drop(shell);
        let screen = crate::support::Log::of(File::from(pair.master));
        let mut background = listener.accept();
        background.send(b"12345");
        let mut foreground = second.accept();
        foreground.send(b"123");
        screen.wait_for("received 3 B");
        drop((background, foreground));
        assert!(running.wait().unwrap().success());
        drop(pair.slave);
        let shown = screen.wait_closed();
        let shown = String::from_utf8_lossy(&shown);
        assert!(!shown.contains("received 5 B"), "{shown:?}");
    });
}

#[test]
fn a_server_shows_what_its_open_connections_get_and_erases_the_line() {
    run(Kind::Unix, |place| {
        let file = place.file("data", noise(MUCH));
        let word = place.word();
        let mut serve = command(&["serve", &word, "--send", &file.to_string_lossy(), "-v"]);
        serve.args(["--progress", "always"]);
        let server = ErrorTerminal::of(serve);
        let address = Server::address_in(&server.screen);
        let address = address.trim_end();
        let mut one = RawStream::connect(address);
        server.screen.wait_for(" of 32.0 MB");
        let mut two = RawStream::connect(address);
        let shown = server.screen.wait_for("2 connections");
        assert!(shown.contains(" of 64.0 MB"), "{shown:?}");
        // The line of -v about the second one is on a line of its own.
        let at = shown
            .rfind("sok: connected connection=2")
            .unwrap_or_else(|| panic!("{shown:?}"));
        assert!(shown[..at].ends_with(ERASE), "{shown:?}");
        assert_eq!(one.rest().len(), MUCH);
        assert_eq!(two.rest().len(), MUCH);
        drop((one, two));
        server
            .screen
            .wait_until("the end of the progress", |shown| {
                shown.matches("ended").count() == 2 && shown.ends_with(['\n', 'K'])
            });
        let program = Pid::from_raw(i32::try_from(server.program.id()).unwrap());
        kill(program, Signal::SIGTERM).unwrap();
        let (code, shown) = server.ended();
        assert_eq!(code, Some(0), "{shown}");
        let last = shown.rsplit(['\n', '\r']).next().unwrap();
        assert!(matches!(last, "" | "\u{1b}[K"), "{shown:?}");
    });
}

#[test]
fn a_measurement_shows_its_progress_and_erases_it() {
    let arguments = [
        "bench",
        "throughput",
        "--families",
        "unix",
        "--duration",
        "50ms",
    ];
    let bench = ErrorTerminal::of(command(&arguments));
    let (code, shown) = bench.ended();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("throughput over unix"), "{shown:?}");
    assert!(shown.ends_with(ERASE), "{shown:?}");
    let none = [&arguments[..], &["--progress", "never"]].concat();
    assert_eq!(
        ErrorTerminal::of(command(&none)).ended(),
        (Some(0), String::new())
    );
    let all = [&arguments[..], &["--progress", "always"]].concat();
    assert!(sok(&all).stderr.contains("throughput over unix"));
}

#[test]
fn progress_without_a_transfer_is_refused() {
    run(Kind::Unix, |place| {
        let word = place.word();
        let lines: [&[&str]; 3] = [
            &["serve", &word, "--progress", "always"],
            &["connect", &word, "--progress", "never", "--exec", "true"],
            &["connect", &word, "--progress", "never", "--prompt", "> "],
        ];
        for line in lines {
            let done = sok(line);
            assert_eq!(done.code, 2, "{}", done.stderr);
            assert!(done.stderr.contains("--progress"), "{}", done.stderr);
        }
    });
}
