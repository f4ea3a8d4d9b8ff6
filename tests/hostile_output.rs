//! What a peer can write into our output: names, failures, control characters.

use std::io;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::signal::Signal;
use sok::Address;
use sok::address::UnixName;

use crate::support::{
    Kind, Place, Process, RawListener, RawStream, Server, Terminal, require_peer,
};

/// What a hostile client calls itself.
const FORGED: &str = "a (pid 1 uid 0 gid 0) received=0\nsok: x\u{202e}\u{200b}\u{9b}2J";

/// A client of `server`, with a forged name where the family has names, and its address as the
/// server is to see it.
fn forger(place: &Place, server: &Server) -> (RawStream, Option<Address>) {
    let (word, name) = match place.kind() {
        Kind::Inet | Kind::Inet6 => return (RawStream::connect(server.address()), None),
        Kind::Unix => {
            let path = place.path(FORGED);
            let word = format!("unix:{}", path.display());
            (word, UnixName::Path(path))
        }
        Kind::Abstract => {
            let unique = place.directory().file_name().unwrap().to_string_lossy();
            let name = format!("{unique}{FORGED}");
            (format!("unix:@{name}"), UnixName::Abstract(name.into()))
        }
    };
    let client = RawStream::connect_from(&word, server.address());
    (client, Some(name.into()))
}

families!(a_client_forges_no_field_of_the_log, |place| {
    let server = Server::start(place, &["-v"]);
    let (mut client, forged) = forger(place, &server);
    client.send(b"hello");
    assert_eq!(client.take(5), b"hello");
    server.signal(Signal::SIGUSR1);
    server.stderr().wait_for("sok: open ");
    drop(client);
    let said = server.stderr().wait_for(" ended ");
    let process = format!(
        "pid={} uid={} gid={}",
        std::process::id(),
        nix::unistd::geteuid(),
        nix::unistd::getegid()
    );
    for report in ["sok: connected ", "sok: open ", "sok: ended "] {
        let lines: Vec<&str> = said.lines().filter(|l| l.starts_with(report)).collect();
        let [line] = lines[..] else {
            panic!("not one line with {report:?}: {said}")
        };
        assert!(line.chars().all(|c| matches!(c, ' '..='~')), "{line:?}");
        let fields: Vec<&str> = line.split(' ').collect();
        let peer: Address = fields[3].strip_prefix("peer=").unwrap().parse().unwrap();
        assert!(
            forged.as_ref().is_none_or(|forged| *forged == peer),
            "{line}"
        );
        let field = fields[4..].join(" ");
        assert_eq!(field.starts_with(&process), forged.is_some(), "{line}");
        assert_eq!(line.contains("pid="), forged.is_some(), "{line}");
    }
    // Of the totals, and of the open and the ended connection.
    assert_eq!(said.matches(" received=").count(), 3, "{said}");
});

families!(
    in_json_the_process_and_the_name_are_separate_fields,
    |place| {
        let server = Server::start(place, &["-v", "--json"]);
        let (client, forged) = forger(place, &server);
        server.stderr().wait_for("\"connected\"");
        server.signal(Signal::SIGUSR1);
        server.stderr().wait_for("\"totals\"");
        drop(client);
        let said = server.stderr().wait_for("\"ended\"");
        let mut seen = 0;
        for line in said.lines() {
            assert!(line.chars().all(|c| matches!(c, ' '..='~')), "{line:?}");
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let time = event["time"].as_str().unwrap();
            assert!(humantime::parse_rfc3339(time).is_ok(), "{line}");
            let connection = match &event["open"][0] {
                serde_json::Value::Null => &event,
                open => open,
            };
            let Some(peer) = connection["peer"].as_str() else {
                continue;
            };
            seen += 1;
            let peer: Address = peer.parse().unwrap();
            assert!(
                forged.as_ref().is_none_or(|forged| *forged == peer),
                "{line}"
            );
            let pid = connection["pid"].as_u64();
            assert_eq!(
                pid,
                forged.as_ref().map(|_| std::process::id().into()),
                "{line}"
            );
            let uid = connection["uid"].as_u64();
            let own = nix::unistd::geteuid().as_raw().into();
            assert_eq!(uid, forged.as_ref().map(|_| own), "{line}");
        }
        assert_eq!(seen, 3, "{said}");
    }
);

/// The reported failures: the number of single reports, and the sum of the summaries.
fn failures(said: &str) -> (usize, usize) {
    let lines = said
        .lines()
        .filter(|line| line.starts_with("sok: warning: "));
    let (mut alone, mut summed) = (0, 0);
    for line in lines {
        match line.split_once("more connections failed connections=") {
            Some((_, count)) => summed += count.parse::<usize>().unwrap(),
            None => alone += usize::from(line.contains(": failed ")),
        }
    }
    (alone, summed)
}

/// Lets 5,000 connections fail, and sees that all are counted and few are reported.
fn assert_bounded(server: &Server) {
    const THREADS: usize = 4;
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..5000 / THREADS {
                    let mut client = match RawStream::try_connect(server.address()) {
                        // A relay without a target may reset it before the call returns.
                        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => continue,
                        connected => connected.unwrap(),
                    };
                    let _ = io::Write::write(&mut client, b"half a message");
                    let _ = client.socket().shutdown(std::net::Shutdown::Write);
                    client.cut();
                }
            });
        }
    });
    // The sum comes when no more connection does, and before the server ends.
    let all = |said: &str| {
        let (alone, summed) = failures(said);
        alone + summed == 5000
    };
    let said = server.stderr().wait_until("5000 failures", all);
    let periods = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let (alone, _) = failures(&said);
    assert!(alone <= 10 * periods, "{alone} lines in {periods} s");
    assert!(said.lines().count() <= 1 + 11 * periods, "{said}");
    server.signal(Signal::SIGUSR1);
    server
        .stderr()
        .wait_for("connections=5000 open=0 failed=5000");
    server.terminate();
    assert_eq!(server.wait(), 0);
}

families!(reports_of_many_failures_are_limited, |place| {
    assert_bounded(&Server::start(place, &["--framing", "line"]));
});

families!(reports_of_many_failures_of_a_relay_are_limited, |place| {
    let nobody = place.nobody();
    let words = ["relay", &place.word(), &nobody.address, "--threads", "1"];
    assert_bounded(&Server::of(Process::sok(&words)));
});

families!(unreported_failures_are_counted_at_the_end, |place| {
    let server = Server::start(place, &["--framing", "line", "--exit-after", "30"]);
    for _ in 0..30 {
        let mut client = RawStream::connect(server.address());
        client.send(b"half");
        client.finish();
        client.cut();
    }
    assert_eq!(server.wait(), 6);
    let (alone, summed) = failures(&server.said());
    assert_eq!(alone + summed, 30, "{}", server.said());
});

families!(verbose_reports_each_failure, |place| {
    let server = Server::start(place, &["--framing", "line", "--exit-after", "30", "-v"]);
    for _ in 0..30 {
        let mut client = RawStream::connect(server.address());
        client.send(b"half");
        client.finish();
        client.cut();
    }
    assert_eq!(server.wait(), 6);
    assert_eq!(failures(&server.said()), (30, 0), "{}", server.said());
});

/// A reply that would set the title, clear the screen and more; the first character is cut in two.
const REPLY: [&[u8]; 2] = [
    b"ab\xe4",
    b"\xbd\xa0\tc \x1b]0;forged\x07\xc2\x9b2J\xff\r\nend\r\n",
];
const ORDERS: &str = "\u{1b}]0;forged\u{7}\u{9b}2J";

/// What a terminal shows of that reply.
fn screen_of(place: &Place, options: &[&str]) -> String {
    let listener = RawListener::bind(place);
    let mut terminal = Terminal::connect(listener.address(), options);
    let mut served = listener.accept();
    terminal.screen.wait_for("> ");
    terminal.press("ask\r");
    assert_eq!(served.line(), "ask\n");
    served.send(REPLY[0]);
    terminal.screen.wait_for("ab");
    served.send(REPLY[1]);
    let screen = terminal.screen.wait_for("end");
    drop(served);
    assert_eq!(terminal.ended(), Some(0));
    screen
}

families!(a_peer_cannot_control_the_terminal, |place| {
    if !require_peer("setsid") {
        return;
    }
    let screen = screen_of(place, &[]);
    let shown = r"\x1b]0;forged\x07\xc2\x9b2J\xff";
    assert!(screen.contains(&format!("你\tc {shown}\r")), "{screen:?}");
    assert!(!screen.contains("\u{1b}]0;"), "{screen:?}");
});

families!(raw_passes_all_to_the_terminal, |place| {
    if !require_peer("setsid") {
        return;
    }
    let screen = screen_of(place, &["--raw"]);
    assert!(screen.contains(ORDERS), "{screen:?}");
});

families!(without_a_terminal_a_reply_is_not_changed, |place| {
    let listener = RawListener::bind(place);
    let words = ["connect", listener.address(), "--prompt", ""];
    let mut client = Process::sok(&words);
    let mut served = listener.accept();
    REPLY.iter().for_each(|part| served.send(part));
    drop(served);
    client.close_stdin();
    let done = client.done();
    assert_eq!((done.code, done.stdout), (0, REPLY.concat()));
});

const HELP: [&[&str]; 4] = [
    &["--help"],
    &["--version"],
    &["help", "call"],
    &["call", "--help"],
];

#[test]
fn help_that_cannot_be_written_is_a_failure() {
    for words in HELP {
        let script = r#"exec "$SOK" "$@" >/dev/full"#;
        let done = Process::sh(script, words).done();
        assert_eq!(done.code, 1, "{words:?}: {}", done.stderr);
        let expected = "sok: write standard output: No space left on device\n";
        assert_eq!(done.stderr, expected, "{words:?}");
    }
}

#[test]
fn help_without_a_reader_is_no_failure() {
    for words in HELP {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(Process::PROGRAM);
        command.args(words).stdout(writer).stderr(Stdio::piped());
        let done = command.output().unwrap();
        assert_eq!(
            (done.status.code(), &*done.stderr),
            (Some(0), &b""[..]),
            "{words:?}"
        );
    }
}
