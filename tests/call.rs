//! `sok call`: one request, one reply, on every family.

use std::io::Write;

use crate::support::{
    Kind, Process, RawListener, RawStream, Server, require_peer, run, sok, sok_with,
};

/// The one line on standard error of a failed call to `address`.
fn assert_one_line(stderr: &str, address: &str) {
    assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
    assert!(stderr.starts_with("sok: "), "{stderr:?}");
    assert!(stderr.contains(address), "{stderr:?} lacks {address}");
}

families!(
    a_line_is_sent_and_the_one_line_of_the_reply_is_printed,
    |place| {
        let listener = RawListener::bind(place);
        let call = Process::sok(&["call", listener.address(), "status"]);
        let mut served = listener.accept();
        assert_eq!(served.line(), "status\n");
        served.send(b"up\nand more");
        let code = call.wait();
        // It has ended while the server keeps the connection open.
        drop(served);
        assert_eq!(code, 0, "{}", call.stderr().text());
        assert_eq!(call.done().stdout, b"up\n");
    }
);

families!(each_framing_has_its_request_and_its_reply, |place| {
    for (framing, request, reply, printed) in [
        ("chunk", &b"ask\n"[..], &b"answer"[..], &b"answer"[..]),
        ("line", b"ask\n", b"answer\nrest", b"answer\n"),
        ("null", b"ask\0", b"answer\0rest", b"answer\0"),
        (
            "length",
            b"\0\0\0\x03ask",
            b"\0\0\0\x06answerrest",
            b"answer",
        ),
        ("length", b"\0\0\0\x03ask", b"\0\0\0\0", b""),
    ] {
        let listener = RawListener::bind(place);
        let call = Process::sok(&["call", listener.address(), "ask", "--framing", framing]);
        let mut served = listener.accept();
        assert_eq!(served.take(request.len()), request, "{framing}");
        served.send(reply);
        assert_eq!(call.wait(), 0, "{framing}: {}", call.stderr().text());
        // Nothing came after the request.
        assert_eq!(served.try_rest().unwrap_or_default(), b"", "{framing}");
        assert_eq!(call.done().stdout, printed, "{framing}");
    }
});

families!(an_empty_message_is_no_chunk, |place| {
    let listener = RawListener::bind(place);
    let words = ["call", listener.address(), "--framing", "chunk"];
    let given = [&words[..], &[""]].concat();
    let bare = [&given[..], &["--no-newline"]].concat();
    for done in [sok(&given), sok(&bare), sok(&words)] {
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert_one_line(&done.stderr, listener.address());
        assert!(done.stderr.contains("--framing line"), "{}", done.stderr);
    }
});

families!(framing_eof_half_closes_and_reads_to_end_of_file, |place| {
    let listener = RawListener::bind(place);
    let call = Process::sok(&["call", listener.address(), "ask", "--framing", "eof"]);
    let mut served = listener.accept();
    assert_eq!(served.rest(), b"ask\n");
    served.send(b"one\ntwo");
    served.send(b"three");
    drop(served);
    let done = call.done();
    assert_eq!((done.code, done.text().as_str()), (0, "one\ntwothree"));
});

families!(
    a_reply_of_several_lines_ends_with_the_last_of_them,
    |place| {
        let listener = RawListener::bind(place);
        let call = Process::sok(&["call", listener.address(), "ask", "--lines", "3"]);
        let mut served = listener.accept();
        served.line();
        served.send(b"1\n");
        call.stdout().wait_for("1\n");
        served.send(b"\n3");
        served.send(b"\n4\n");
        assert_eq!(call.wait(), 0, "{}", call.stderr().text());
        assert_eq!(call.done().stdout, b"1\n\n3\n");
        drop(served);
    }
);

families!(a_reply_of_a_given_size_ends_with_its_last_byte, |place| {
    let listener = RawListener::bind(place);
    let call = Process::sok(&["call", listener.address(), "ask", "--bytes", "5"]);
    let mut served = listener.accept();
    served.line();
    served.send(b"\0\n2");
    call.stdout().wait_for_bytes(3);
    served.send(b"3456");
    assert_eq!(call.wait(), 0, "{}", call.stderr().text());
    assert_eq!(call.done().stdout, b"\0\n234");
    drop(served);
});

families!(the_message_can_be_read_from_the_standard_input, |place| {
    let server = Server::start(place, &["--framing", "line", "--suffix", "!"]);
    for input in ["你好", "你好\n"] {
        let done = sok_with(&["call", server.address()], input.as_bytes());
        assert_eq!(
            (done.code, done.text().as_str()),
            (0, "你好!\n"),
            "{}",
            done.stderr
        );
    }
    let done = sok_with(&["call", server.address()], b"");
    assert_eq!((done.code, done.text().as_str()), (0, "!\n"));
});

families!(the_address_may_be_given_in_parts_to_a_client, |place| {
    let server = Server::start(place, &[]);
    let rest = server.address().split_once(':').unwrap().1.to_owned();
    let mut words = vec!["call", "hello", "--family", place.family()];
    let host;
    match place.is_network() {
        true => {
            host = rest.rsplit_once(':').unwrap().0.trim_matches(['[', ']']);
            words.extend(["--host", host, "--port", server.port()]);
        }
        false => words.extend(["--path", &rest]),
    }
    let done = sok(&words);
    assert_eq!(
        (done.code, done.text().as_str()),
        (0, "hello\n"),
        "{}",
        done.stderr
    );
});

families!(
    an_incomplete_reply_is_printed_and_is_a_broken_connection,
    |place| {
        for (options, reply) in [
            (&["--framing", "line"][..], "half"),
            (&["--lines", "2"], "one\ntwo"),
            (&["--bytes", "9"], "8 bytes."),
            (&["--framing", "null"], "half"),
        ] {
            let listener = RawListener::bind(place);
            let mut words = vec!["call", listener.address(), "ask"];
            words.extend(options);
            let call = Process::sok(&words);
            let mut served = listener.accept();
            served.take(4);
            served.send(reply.as_bytes());
            drop(served);
            let done = call.done();
            assert_eq!((done.code, done.text().as_str()), (6, reply), "{options:?}");
            assert_one_line(&done.stderr, listener.address());
            assert!(
                done.stderr.contains("closed the connection"),
                "{}",
                done.stderr
            );
        }
    }
);

families!(no_reply_at_all_is_a_broken_connection, |place| {
    let listener = RawListener::bind(place);
    let call = Process::sok(&["call", listener.address(), "ask"]);
    let mut served = listener.accept();
    served.line();
    drop(served);
    let done = call.done();
    assert_eq!((done.code, done.text().as_str()), (6, ""));
    assert_one_line(&done.stderr, listener.address());
});

families!(
    a_server_that_closes_with_an_unread_request_breaks_the_connection,
    |place| {
        let listener = RawListener::bind(place);
        let call = Process::sok(&["call", listener.address(), "ask"]);
        let mut served = listener.accept();
        served.send(b"ha");
        call.stdout();
        let mut seen = [std::mem::MaybeUninit::uninit(); 4];
        while served.socket().peek(&mut seen).unwrap() < 4 {}
        drop(served);
        let done = call.done();
        assert_eq!(done.code, 6, "{}", done.stderr);
        assert_one_line(&done.stderr, listener.address());
    }
);

families!(the_time_limit_applies_to_the_whole_call, |place| {
    let listener = RawListener::bind(place);
    let call = Process::sok(&["call", listener.address(), "ask", "--timeout", "300ms"]);
    let mut served = listener.accept();
    served.line();
    served.send(b"half");
    let done = call.done();
    assert_eq!(done.code, 124);
    assert_one_line(&done.stderr, listener.address());
    let expected = "the reply was not complete within 300ms";
    assert!(done.stderr.contains(expected), "{}", done.stderr);
    drop(served);
});

families!(
    a_large_request_reaches_a_server_that_answers_while_it_reads,
    |place| {
        let server = Server::start(place, &[]);
        let message = "0123456789abcde\n".repeat(1 << 18).replace('\n', ".");
        let done = sok_with(
            &["call", server.address(), "--max-message", "8MiB"],
            message.as_bytes(),
        );
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_eq!(done.stdout.len(), message.len() + 1);
        assert!(done.stdout.starts_with(message.as_bytes()));
    }
);

families!(
    a_reply_that_is_complete_early_does_not_stop_the_request,
    |place| {
        // An echo server stops reading while its replies are not read.
        let server = Server::start(place, &["-v"]);
        // More than the buffers of both ends hold.
        let message = vec![b'x'; 32 << 20];
        let done = sok_with(&["call", server.address(), "--bytes", "10"], &message);
        assert_eq!(
            (done.code, done.text().as_str()),
            (0, "xxxxxxxxxx"),
            "{}",
            done.stderr
        );

        let listener = RawListener::bind(place);
        let mut call = Process::sok(&["call", listener.address()]);
        call.write(&message);
        call.close_stdin();
        let mut served = listener.accept();
        served.send(b"done\n");
        call.stdout().wait_for("done\n");
        assert_eq!(served.take(message.len() + 1).len(), message.len() + 1);
        assert_eq!(call.wait(), 0, "{}", call.stderr().text());
    }
);

families!(
    the_error_of_a_too_large_reply_names_the_option_that_raises_the_limit,
    |place| {
        let listener = RawListener::bind(place);
        let call = Process::sok(&["call", listener.address(), "ask", "--max-message", "1KiB"]);
        let mut served = listener.accept();
        served.line();
        // The call may leave before it has read all of this.
        let _ = served.write_all(&[b'x'; 4096]);
        let done = call.done();
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert_one_line(&done.stderr, listener.address());
        assert!(
            done.stderr.contains("1024 bytes; raise --max-message"),
            "{}",
            done.stderr
        );
    }
);

families!(a_length_of_2_gib_is_refused_at_once, |place| {
    let listener = RawListener::bind(place);
    let call = Process::sok(&["call", listener.address(), "ask", "--framing", "length"]);
    let mut served = listener.accept();
    served.take(7);
    served.send(&0x8000_0000_u32.to_be_bytes());
    let done = call.done();
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert_one_line(&done.stderr, listener.address());
});

families!(a_reply_after_a_reset_is_incomplete, |place| {
    let listener = RawListener::bind(place);
    let call = Process::sok(&["call", listener.address(), "ask", "--lines", "2"]);
    let mut served = listener.accept();
    served.line();
    served.send(b"one\n");
    call.stdout().wait_for("one\n");
    // On a family without resets it is an end, which comes too early as well.
    RawStream::reset(served);
    let done = call.done();
    assert_eq!(
        (done.code, done.text().as_str()),
        (6, "one\n"),
        "{}",
        done.stderr
    );
    assert_one_line(&done.stderr, listener.address());
});

families!(redis_answers_a_ping, |place| {
    if !require_peer("redis-server") {
        return;
    }
    // Redis chooses no free port of its own, and has no abstract names.
    if place.kind() != Kind::Unix {
        return;
    }
    let path = place.path("redis.sock");
    let mut redis = std::process::Command::new("redis-server");
    redis.args([
        "--port",
        "0",
        "--save",
        "",
        "--daemonize",
        "no",
        "--unixsocket",
    ]);
    let redis = Process::spawn({
        redis.arg(&path).current_dir(place.directory());
        redis
    });
    let address = format!("unix:{}", path.display());
    let done = sok(&["call", &address, "PING", "--retry-for", "30s"]);
    assert_eq!(
        (done.code, done.text().as_str()),
        (0, "+PONG\r\n"),
        "{}",
        done.stderr
    );
    let done = sok(&["call", &address, "ECHO 你好", "--lines", "2"]);
    assert_eq!(
        (done.code, done.text().as_str()),
        (0, "$6\r\n你好\r\n"),
        "{}",
        done.stderr
    );
    drop(redis);
});

families!(a_time_limit_includes_reading_the_request, |place| {
    let echo = Server::start(place, &[]);
    // The input stays open and says nothing.
    let call = Process::sok(&["call", echo.address(), "--timeout", "30ms"]);
    assert_eq!(call.wait(), 124, "{}", call.stderr().text());
    call.stderr()
        .wait_for("standard input did not end within 30ms");
});

families!(
    a_time_limit_ends_the_retries_and_reports_why_they_failed,
    |place| {
        let nobody = place.nobody();
        let limits = ["--timeout", "30ms", "--retry-for", "5m"];
        let done = sok(&[&["call", &nobody.address, "hello"], &limits[..]].concat());
        assert_eq!(done.code, 3, "{}", done.stderr);
        assert_one_line(&done.stderr, &nobody.address);

        let full = RawListener::with_backlog(place, 0);
        let queued = RawStream::connect(full.address());
        let done = sok(&[&["call", full.address(), "hello"], &limits[..]].concat());
        assert_eq!(done.code, 124, "{}", done.stderr);
        assert_one_line(&done.stderr, full.address());
        drop(queued);
    }
);

families!(a_full_backlog_is_retried_only_for_retry_for, |place| {
    let full = RawListener::with_backlog(place, 0);
    let queued = RawStream::connect(full.address());
    let done = sok(&["call", full.address(), "hello", "--retry-for", "30ms"]);
    assert_eq!(done.code, 124, "{}", done.stderr);
    assert_one_line(&done.stderr, full.address());
    drop(queued);
});

families!(verbose_reports_a_connection_and_its_end, |place| {
    let server = Server::start(place, &[]);
    for words in [&["call"][..], &["connect"], &["connect", "--prompt", "> "]] {
        let words = [words, &[server.address(), "-v"]].concat();
        let done = sok_with(&words, b"hi\n");
        assert_eq!(done.code, 0, "{}", done.stderr);
        let address = server.address();
        let begun = format!("sok: connected address={address}\n");
        let ended = format!("sok: ended address={address} received=3 sent=3 seconds=");
        for expected in [begun, ended] {
            assert_eq!(done.stderr.matches(&expected).count(), 1, "{}", done.stderr);
        }
    }
});

families!(verbose_reports_the_bytes_before_a_failure, |place| {
    let listener = RawListener::bind(place);
    let address = listener.address();
    let expected = format!("sok: failed address={address} received=5 sent=7 seconds=");
    for words in [
        &["call", "--lines", "2", address, "unread"][..],
        &["connect", address],
        &["connect", "--prompt", "> ", address],
    ] {
        let mut client = Process::sok(&[words, &["-v"]].concat());
        if words[0] == "connect" {
            client.write(b"unread\n");
        }
        let mut served = listener.accept();
        served.send(b"part\n");
        client.stdout().wait_for("part\n");
        let mut seen = [std::mem::MaybeUninit::uninit(); 7];
        while served.socket().peek(&mut seen).unwrap() < 7 {}
        drop(served);
        assert_eq!(client.wait(), 6, "{words:?}");
        let said = client.said();
        // The thread of `connect` that sends counts after its send; the reset may come in between.
        let uncounted = expected.replace("sent=7", "sent=0");
        let may_be_uncounted = words == ["connect", address];
        let is_told = |expected: &str| said.matches(expected).count() == 1;
        assert!(
            is_told(&expected) || (may_be_uncounted && is_told(&uncounted)),
            "{said}"
        );
    }
    let words = ["call", "--bytes", "6", "--timeout", "2s", "-v"];
    let client = Process::sok(&[&words[..], &[address, "unread"]].concat());
    let mut served = listener.accept();
    served.send(b"part\n");
    assert_eq!(client.wait(), 124);
    assert_eq!(
        client.said().matches(&expected).count(),
        1,
        "{}",
        client.said()
    );
});

#[test]
fn quiet_applies_to_json_too() {
    run(Kind::Unix, |place| {
        let word = place.word();
        let server = Process::sok(&["serve", &word, "-q", "--json", "--once"]);
        let done = sok(&["call", "--retry-for", "60s", &word, "hi"]);
        assert_eq!((done.code, done.stderr), (0, String::new()));
        assert_eq!((server.wait(), server.said()), (0, String::new()));
    });
}

families!(bytes_after_the_reply_are_reported_by_default, |place| {
    let backend = RawListener::bind(place);
    for (options, is_told) in [
        (&[][..], true),
        (&["--lines", "1"], false),
        (&["-q"], false),
    ] {
        let call = Process::sok(&[&["call", backend.address(), "hi"], options].concat());
        let mut server = backend.accept();
        assert_eq!(server.line(), "hi\n");
        server.send(b"one\ntwo\n");
        let done = call.done();
        assert_eq!((done.code, done.stdout.as_slice()), (0, &b"one\n"[..]));
        let said = done
            .stderr
            .contains("what came after it was left out (4 B)");
        assert_eq!(said, is_told, "{}", done.stderr);
    }
});
