//! `sok connect`: both directions to their ends, on every family.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;

use crate::support::{
    Kind, Place, Process, RawListener, Server, assert_same, require_peer, sok_with,
};

/// Bytes of which no two places look the same.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(step).take(length).collect()
}

/// Waits until the client has seen the end that its peer sent, which its trace shows.
fn wait_for_end_seen(client: &Process) {
    client.stderr().wait_until("a recv of 0 bytes", |text| {
        text.lines()
            .any(|line| line.contains("recv(") && line.contains(") = 0 "))
    });
}

families!(a_reply_long_after_the_half_close_is_complete, |place| {
    let script = "cat >/dev/null; sleep 5; echo late";
    let server = Server::start(place, &["--exec", "sh", "-c", script]);
    let done = sok_with(&["connect", server.address()], b"hi");
    assert_eq!(
        (done.code, done.text().as_str()),
        (0, "late\n"),
        "{}",
        done.stderr
    );
});

families!(end_of_input_half_closes_the_connection, |place| {
    let listener = RawListener::bind(place);
    let mut client = Process::sok(&["connect", listener.address(), "--trace"]);
    client.write(b"all there is");
    client.close_stdin();
    let mut served = listener.accept();
    assert_eq!(served.rest(), b"all there is");
    served.send(b"reply");
    drop(served);
    let done = client.done();
    assert_eq!((done.code, done.text().as_str()), (0, "reply"));
    assert!(done.stderr.contains("shutdown("), "{}", done.stderr);
});

families!(
    input_that_continues_after_the_peers_end_is_sent_completely,
    |place| {
        let listener = RawListener::bind(place);
        let mut client = Process::sok(&["connect", listener.address()]);
        let bytes = pattern(8 << 20);
        let mut served = listener.accept();
        thread::scope(|scope| {
            scope.spawn(|| {
                client.write(&bytes);
                client.close_stdin();
            });
            let first = served.take(1 << 20);
            served.finish();
            assert_same(&[first, served.rest()].concat(), &bytes);
        });
        drop(served);
        let done = client.done();
        assert_eq!(done.code, 0, "{}", done.stderr);
    }
);

families!(only_a_stream_enlarges_its_pipe, |place| {
    let server = Server::start(place, &[]);
    let room = |pipe: &dyn AsFd| fcntl(pipe.as_fd(), FcntlArg::F_GETPIPE_SZ).unwrap();
    let default = room(&io::pipe().unwrap().0);
    for (size, is_stream) in [(1_000, false), (4 << 20, true)] {
        let ((input, mut fed), (mut printed, output)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let given = input.try_clone().unwrap();
        let mut client = Command::new(Process::PROGRAM)
            .args(["connect", server.address()])
            .stdin(input)
            .stdout(output)
            .spawn()
            .unwrap();
        let bytes = pattern(size);
        let came = thread::scope(|scope| {
            let feeder = scope.spawn(|| {
                fed.write_all(&bytes).unwrap();
                drop(fed);
            });
            let mut came = Vec::new();
            io::copy(&mut printed, &mut came).unwrap();
            feeder.join().unwrap();
            came
        });
        assert_same(&came, &bytes);
        assert!(client.wait().unwrap().success());
        let wanted = if is_stream { 256 << 10 } else { default };
        assert_eq!((room(&given), room(&printed)), (wanted, wanted), "{size}");
    }
});

families!(with_no_half_close_the_sending_half_stays_open, |place| {
    let listener = RawListener::bind(place);
    let mut client = Process::sok(&["connect", listener.address(), "--no-half-close", "--trace"]);
    client.write(b"hi");
    client.close_stdin();
    let mut served = listener.accept();
    assert_eq!(served.take(2), b"hi");
    served.send(b"reply");
    served.finish();
    // Only the end of the client ends it.
    assert_eq!(served.rest(), b"");
    let done = client.done();
    assert_eq!((done.code, done.text().as_str()), (0, "reply"));
    assert!(!done.stderr.contains("shutdown("), "{}", done.stderr);
});

families!(
    the_peers_end_of_file_ends_the_exchange_with_open_input,
    |place| {
        let listener = RawListener::bind(place);
        let mut client = Process::sok(&["connect", listener.address()]);
        client.write(b"hi");
        let mut served = listener.accept();
        assert_eq!(served.take(2), b"hi");
        served.send(b"bye");
        drop(served);
        assert_eq!(client.wait(), 0, "{}", client.stderr().text());
        assert_eq!(client.stdout().wait_closed(), b"bye");
        client.stdin();
    }
);

families!(available_input_is_sent_to_a_half_closed_peer, |place| {
    let listener = RawListener::bind(place);
    let (input, mut feed) = io::pipe().unwrap();
    feed.write_all(b"already here").unwrap();
    let mut client = Command::new(Process::PROGRAM)
        .args(["connect", listener.address()])
        .stdin(input)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut served = listener.accept();
    served.finish();
    assert_eq!(served.rest(), b"already here");
    drop(served);
    assert_eq!(client.wait().unwrap().code(), Some(0));
    drop(feed);
});

families!(
    with_keep_sending_later_input_reaches_a_half_closed_peer,
    |place| {
        let listener = RawListener::bind(place);
        let mut client =
            Process::sok(&["connect", listener.address(), "--keep-sending", "--trace"]);
        let mut served = listener.accept();
        served.send(b"that was all of mine");
        served.finish();
        wait_for_end_seen(&client);
        client.write(b"later");
        assert_eq!(served.take(5), b"later");
        client.close_stdin();
        assert_eq!(served.rest(), b"");
        drop(served);
        let done = client.done();
        assert_eq!(
            (done.code, done.text().as_str()),
            (0, "that was all of mine")
        );
    }
);

families!(
    the_output_is_closed_at_the_peers_end_while_input_continues,
    |place| {
        let listener = RawListener::bind(place);
        let mut client = Process::sok(&["connect", listener.address(), "--keep-sending"]);
        let mut served = listener.accept();
        served.send(b"that was all of mine");
        served.finish();
        assert_eq!(client.stdout().wait_closed(), b"that was all of mine");
        client.write(b"later");
        assert_eq!(served.take(5), b"later");
        client.close_stdin();
        assert_eq!(served.rest(), b"");
        drop(served);
        assert_eq!(client.wait(), 0, "{}", client.stderr().text());
    }
);

families!(a_large_transfer_works_both_ways_at_once, |place| {
    let (there, back) = (pattern(8 << 20), pattern((8 << 20) + 13));
    let listener = RawListener::bind(place);
    // The server may end first, and then a pipe that is empty for a moment would be the end.
    let client = Process::sok(&["connect", listener.address(), "--keep-sending"]);
    thread::scope(|scope| {
        let serving = scope.spawn(|| listener.accept().exchange(&back));
        let done = client.feed(&there);
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert!(done.stdout == back, "{} bytes came", done.stdout.len());
        assert!(serving.join().unwrap() == there);
    });
});

families!(
    a_peer_that_sends_everything_before_it_reads_does_not_deadlock,
    |place| {
        let (there, back) = (pattern(8 << 20), pattern(8 << 20));
        let listener = RawListener::bind(place);
        let client = Process::sok(&["connect", listener.address()]);
        thread::scope(|scope| {
            let serving = scope.spawn(|| {
                let mut served = listener.accept();
                served.send(&back);
                served.rest()
            });
            let done = client.feed(&there);
            assert_eq!(done.code, 0, "{}", done.stderr);
            assert!(done.stdout == back, "{} bytes came", done.stdout.len());
            assert!(serving.join().unwrap() == there);
        });
    }
);

families!(
    the_output_can_be_read_after_all_the_input_is_written,
    |place| {
        let (there, back) = (pattern(4 << 20), pattern(4 << 20));
        let listener = RawListener::bind(place);
        let mut client = Command::new(Process::PROGRAM)
            .args(["connect", listener.address()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        thread::scope(|scope| {
            let serving = scope.spawn(|| listener.accept().exchange(&back));
            let (mut input, mut output) =
                (client.stdin.take().unwrap(), client.stdout.take().unwrap());
            // The output is not read yet: it fills up while the input continues.
            input.write_all(&there).unwrap();
            drop(input);
            let mut came = Vec::new();
            io::Read::read_to_end(&mut output, &mut came).unwrap();
            assert!(came == back, "{} bytes came", came.len());
            assert!(serving.join().unwrap() == there);
        });
        assert_eq!(client.wait().unwrap().code(), Some(0));
    }
);

families!(the_input_and_the_output_may_be_files_or_nothing, |place| {
    let server = Server::start(place, &[]);
    let content = pattern(3 << 20);
    let input = place.file("input", &content);
    let output = place.path("output");
    let files = [input.to_str().unwrap(), output.to_str().unwrap()];
    let run = |script: &str| {
        let done = Process::sh(script, &[server.address(), files[0], files[1]]).done();
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{script}");
        done.stdout
    };
    assert!(run(r#""$SOK" connect "$1" <"$2""#) == content);
    assert!(run(r#"cat "$2" | "$SOK" connect "$1" >"$3"; cat "$3""#) == content);
    assert!(run(r#""$SOK" connect "$1" <"$2" >"$3" && cat "$3""#) == content);
    assert_eq!(run(r#""$SOK" connect "$1" </dev/null"#), b"");
    assert_eq!(run(r#""$SOK" connect "$1" <&-"#), b"");
    assert_eq!(run(r#"echo hi | "$SOK" connect "$1" >&-"#), b"");
    assert_eq!(run(r#"echo hi | "$SOK" connect "$1" >/dev/null"#), b"");
});

families!(a_file_is_sent_from_its_current_offset, |place| {
    let server = Server::start(place, &[]);
    let input = place.file("input", "first\nsecond\nthird\n");
    let script =
        r#"exec <"$2"; read first; echo "had $first"; "$SOK" connect "$1"; echo "left: $(cat)""#;
    let done = Process::sh(script, &[server.address(), input.to_str().unwrap()]).done();
    assert_eq!(done.text(), "had first\nsecond\nthird\nleft: \n");
});

families!(an_unreadable_input_ends_the_exchange, |place| {
    // The server would wait for us as we would wait for it.
    let listener = RawListener::bind(place);
    for redirect in ["</", r#"0>"$2""#] {
        let script = format!(r#"exec "$SOK" connect "$1" {redirect}"#);
        let file = place.path("written");
        let client = Process::sh(&script, &[listener.address(), file.to_str().unwrap()]);
        let mut served = listener.accept();
        // Not a good end.
        assert_eq!(served.cut(), b"");
        assert_eq!(client.wait(), 1, "{redirect}");
        let said = String::from_utf8(client.stderr().wait_closed()).unwrap();
        assert!(said.starts_with("sok: read standard input: "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
});

families!(an_output_without_room_is_an_error, |place| {
    let server = Server::start(place, &[]);
    let done = Process::sh(
        r#"echo hi | "$SOK" connect "$1" >/dev/full"#,
        &[server.address()],
    )
    .done();
    assert_eq!(done.code, 1);
    assert_eq!(
        done.stderr,
        "sok: write standard output: No space left on device\n"
    );
});

families!(an_output_whose_reader_closed_ends_it_quietly, |place| {
    let lines = place.file("lines", "line\n".repeat(1 << 20));
    let server = Server::start(place, &["--send", lines.to_str().unwrap()]);
    let script = r#"{ "$SOK" connect "$1" </dev/null; echo "code $?" >&2; } | head -n1"#;
    let done = Process::sh(script, &[server.address()]).done();
    assert_eq!(
        (done.text().as_str(), done.stderr.as_str()),
        ("line\n", "code 0\n")
    );
});

families!(non_blocking_standard_streams_lose_nothing, |place| {
    if !require_peer("python3") {
        return;
    }
    // All three are set by one who shares them, as an event loop's parent process does.
    let script = "import os, sys\nfor end in 0, 1: os.set_blocking(end, False)\nos.execv(sys.argv[1], sys.argv[1:])";
    let server = Server::start(place, &[]);
    let mut command = Command::new("python3");
    command.args(["-c", script, Process::PROGRAM, "connect", server.address()]);
    let there = pattern(4 << 20);
    let done = Process::spawn(command).feed(&there);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout == there, "{} bytes came", done.stdout.len());
});

families!(the_idle_timeout_ends_a_silent_connection, |place| {
    let listener = RawListener::bind(place);
    let mut client = Process::sok(&["connect", listener.address(), "--idle-timeout", "300ms"]);
    client.write(b"hi");
    let mut served = listener.accept();
    served.send(b"there");
    assert_eq!(client.wait(), 124);
    assert_eq!(client.stdout().wait_closed(), b"there");
    let said = client.said();
    assert!(
        said.contains(listener.address()) && said.contains("300ms"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    drop(served);
});

families!(a_server_that_starts_later_is_retried, |place| {
    let nobody = place.nobody();
    let address = nobody.address.clone();
    let words = ["call", &address, "hi", "--retry-for", "60s", "--trace"];
    let client = Process::sok(&words);
    client.stderr().wait_for("connect(");
    let listener = RawListener::of(nobody);
    let mut served = listener.accept();
    assert_eq!(served.line(), "hi\n");
    served.send(b"at last\n");
    let done = client.done();
    assert_eq!((done.code, done.text().as_str()), (0, "at last\n"));
    let refused = done
        .stderr
        .lines()
        .filter(|line| line.contains("connect("))
        .count();
    assert!(refused > 1, "{}", done.stderr);
});

families!(no_server_within_the_retry_time_is_3, |place| {
    let nobody = place.nobody();
    let done = sok_with(
        &[
            "call",
            &nobody.address,
            "hi",
            "--retry-for",
            "300ms",
            "--trace",
        ],
        b"",
    );
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert!(
        done.stderr.matches("connect(").count() > 1,
        "{}",
        done.stderr
    );
});

families!(the_server_sees_the_address_that_the_client_bound, |place| {
    let listener = RawListener::bind(place);
    let own = match place.kind() {
        // Another address than the one that the kernel would choose.
        Kind::Inet => "inet:127.0.0.2:0".to_owned(),
        _ => place.word(),
    };
    let client = Process::sok(&["connect", listener.address(), "--bind", &own]);
    let served = listener.accept();
    let seen = served.socket().peer_addr().unwrap();
    match place.kind() {
        Kind::Inet => assert_eq!(seen.as_socket().unwrap().ip().to_string(), "127.0.0.2"),
        Kind::Inet6 => assert_eq!(seen.as_socket().unwrap().ip().to_string(), "::1"),
        Kind::Unix => {
            assert_eq!(
                format!("unix:{}", seen.as_pathname().unwrap().display()),
                own
            );
        }
        Kind::Abstract => {
            let name = String::from_utf8_lossy(seen.as_abstract_namespace().unwrap()).into_owned();
            assert_eq!(format!("unix:@{name}"), own);
        }
    }
    drop(served);
    assert_eq!(client.wait(), 0, "{}", client.stderr().text());
    assert_own_file_is_gone(place, &own);
});

families!(
    a_client_exits_with_the_number_of_its_signal_and_cleans_up,
    |place| {
        let signals = [
            (Signal::SIGHUP, 129),
            (Signal::SIGTERM, 143),
            (Signal::SIGINT, 130),
        ];
        for (signal, code) in signals {
            let listener = RawListener::bind(place);
            let client = Process::sok(&["connect", listener.address()]);
            let served = listener.accept();
            client.signal(signal);
            assert_eq!(client.wait(), code);
            drop(served);
            let own = place.word();
            for command in [&["connect"][..], &["call", "--timeout", "1h"]] {
                let mut words = command.to_vec();
                words.extend([listener.address(), "--bind", &own]);
                if command[0] == "call" {
                    words.push("hi");
                }
                let client = Process::sok(&words);
                let served = listener.accept();
                client.signal(signal);
                assert_eq!(client.wait(), code, "{command:?}");
                drop(served);
                assert_own_file_is_gone(place, &own);
            }
        }
    }
);

families!(a_client_that_ignores_sighup_survives_one, |place| {
    let listener = RawListener::bind(place);
    let script = "trap '' HUP; exec \"$SOK\" connect \"$1\" --bind \"$2\"";
    let own = place.word();
    let mut client = Process::sh(script, &[listener.address(), &own]);
    let mut served = listener.accept();
    client.signal(Signal::SIGHUP);
    client.write(b"still here\n");
    assert_eq!(served.line(), "still here\n");
    client.close_stdin();
    assert_eq!(served.rest(), b"");
    drop(served);
    assert_eq!(client.wait(), 0);
});

fn assert_own_file_is_gone(place: &Place, own: &str) {
    if place.kind() == Kind::Unix {
        let path = own.strip_prefix("unix:").unwrap();
        assert!(
            !std::path::Path::new(path).exists(),
            "{path} is left behind"
        );
    }
}
