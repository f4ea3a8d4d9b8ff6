//! `sok call`: where the request ends, and where the reply begins and ends.

use crate::support::{Process, RawListener, RawStream, Server, sok, sok_with};

/// A call with `options`, and the server's end of its connection.
fn call(listener: &RawListener, options: &[&str]) -> (Process, RawStream) {
    let words = [&["call", listener.address()], options].concat();
    let call = Process::sok(&words);
    let served = listener.accept();
    (call, served)
}

families!(a_message_that_is_given_ends_like_a_line, |place| {
    let listener = RawListener::bind(place);
    for (options, sent) in [
        (&["show", "--framing", "eof"][..], &b"show\n"[..]),
        (&["show\n", "--framing", "eof"], b"show\n"),
        (&["show", "--framing", "eof", "--no-newline"], b"show"),
        (&["", "--framing", "eof"], b""),
        (&["show", "--framing", "chunk"], b"show\n"),
        (&["show", "--framing", "chunk", "--no-newline"], b"show"),
        (&["show"], b"show\n"),
        (&["show", "--no-newline"], b"show"),
        (&["show", "--bytes", "2"], b"show\n"),
        // These have an end of their own.
        (&["show", "--framing", "null"], b"show\0"),
        (&["show", "--framing", "null", "--no-newline"], b"show\0"),
        (&["show", "--framing", "length"], b"\0\0\0\x04show"),
        (
            &["show", "--framing", "length", "--no-newline"],
            b"\0\0\0\x04show",
        ),
    ] {
        let (call, mut served) = call(&listener, options);
        assert_eq!(served.take(sent.len()), sent, "{options:?}");
        call.signal(nix::sys::signal::Signal::SIGKILL);
        assert_eq!(served.cut(), b"", "{options:?}");
    }
});

families!(the_standard_input_is_sent_unchanged, |place| {
    let listener = RawListener::bind(place);
    for framing in ["eof", "chunk"] {
        // It is read to its end before the connection is made.
        let mut call = Process::sok(&["call", listener.address(), "--framing", framing]);
        call.write(b"show");
        call.close_stdin();
        let mut served = listener.accept();
        assert_eq!(served.take(4), b"show", "{framing}");
        call.signal(nix::sys::signal::Signal::SIGKILL);
        assert_eq!(served.cut(), b"", "{framing}");
    }
});

families!(a_greeting_is_awaited_and_discarded, |place| {
    for (options, greeting, reply, printed) in [
        (
            &["NOOP", "--skip", "1"][..],
            &b"220 hello\r\n"[..],
            &b"250 OK\r\n"[..],
            "250 OK\r\n",
        ),
        (
            &["NOOP", "--skip", "2", "--lines", "2"],
            b"220-hello\n220 there\n",
            b"250-a\n250 b\n",
            "250-a\n250 b\n",
        ),
        (
            &["NOOP", "--skip", "1", "--bytes", "3"],
            b"220 hello\n",
            b"250 OK",
            "250",
        ),
        (
            &["NOOP", "--skip", "1", "--until", "."],
            b".\n",
            b"a\n.\n",
            "a\n.\n",
        ),
    ] {
        let listener = RawListener::bind(place);
        let (call, mut served) = call(&listener, &[options, &["--trace"]].concat());
        // A server of mail breaks off with a client that does not wait.
        let half = greeting.len() - 1;
        served.send(&greeting[..half]);
        let seen = call.stderr().wait_for("recv(");
        assert!(!seen.contains("send("), "{options:?}: {seen}");
        served.send(&greeting[half..]);
        assert_eq!(served.line(), "NOOP\n", "{options:?}");
        served.send(reply);
        assert_eq!(call.wait(), 0, "{}", call.stderr().text());
        drop(served);
        assert_eq!(call.done().text(), printed, "{options:?}");
    }
});

families!(a_greeting_and_the_reply_may_arrive_together, |place| {
    let listener = RawListener::bind(place);
    let options = ["--skip", "1", "--framing", "eof"];
    let words = [&["call", listener.address()], &options[..]].concat();
    let mut call = Process::sok(&words);
    call.write(b"EHLO me\r\nQUIT\r\n");
    call.close_stdin();
    let mut served = listener.accept();
    served.send(b"220 hello\r\n250 me\r\n221 bye\r\n");
    assert_eq!(served.rest(), b"EHLO me\r\nQUIT\r\n");
    drop(served);
    let done = call.done();
    assert_eq!(
        (done.code, done.text().as_str()),
        (0, "250 me\r\n221 bye\r\n"),
        "{}",
        done.stderr
    );
});

families!(end_of_file_within_the_greeting_breaks_the_call, |place| {
    for framing in ["line", "eof"] {
        let listener = RawListener::bind(place);
        let (call, mut served) = call(&listener, &["hi", "--skip", "2", "--framing", framing]);
        served.send(b"220-hello\nand");
        drop(served);
        let done = call.done();
        assert_eq!((done.code, done.text().as_str()), (6, ""), "{framing}");
        let expected = "before its greeting was complete";
        assert!(done.stderr.contains(expected), "{}", done.stderr);
        assert!(done.stderr.contains(listener.address()), "{}", done.stderr);
    }
});

families!(a_reply_ends_with_the_given_line, |place| {
    for (options, reply, printed) in [
        (
            &["--until", "END"][..],
            &b"STAT END\r\nENDING\r\nEND\r\nmore\n"[..],
            "STAT END\r\nENDING\r\nEND\r\n",
        ),
        (
            &["--until", "END", "--until", "ERROR"],
            b"ERROR\nmore",
            "ERROR\n",
        ),
        (&["--until", "END\r"], b"END\nmore\n", "END\n"),
        (&["--until", "END\r"], b"END\r\nmore\n", "END\r\n"),
        (&["--until", ""], b"Header: a\n\nbody", "Header: a\n\n"),
    ] {
        let listener = RawListener::bind(place);
        let words = [&["stats"], options].concat();
        let (call, mut served) = call(&listener, &words);
        assert_eq!(served.line(), "stats\n");
        // In two pieces, with the last line in both.
        let middle = printed.len() - 2;
        served.send(&reply[..middle]);
        served.send(&reply[middle..]);
        assert_eq!(call.wait(), 0, "{options:?}: {}", call.stderr().text());
        drop(served);
        let done = call.done();
        assert_eq!(done.text(), printed);
        assert_eq!(done.stderr, "");
    }
});

#[test]
fn the_last_line_of_a_reply_is_given_without_its_newline() {
    for text in ["END\n", "END\r\n", "\n", "two\nlines"] {
        let words = ["call", "@nobody", "stats", "--until", "ERROR"];
        let done = sok(&[&words[..], &["--until", text]].concat());
        assert_eq!(done.code, 2, "{text:?}: {}", done.stderr);
        let expected = "--until takes one line, without its newline";
        assert!(done.stderr.contains(expected), "{}", done.stderr);
    }
}

families!(a_reply_without_the_given_line_is_incomplete, |place| {
    let listener = RawListener::bind(place);
    let (call, mut served) = call(&listener, &["stats", "--until", "END"]);
    served.line();
    served.send(b"STAT a\nEN");
    drop(served);
    let done = call.done();
    assert_eq!((done.code, done.text().as_str()), (6, "STAT a\nEN"));
    assert!(
        done.stderr.contains("in the middle of the reply"),
        "{}",
        done.stderr
    );
});

families!(
    with_no_half_close_the_sending_half_of_a_call_stays_open,
    |place| {
        let listener = RawListener::bind(place);
        let words = ["GET", "--framing", "eof", "--no-half-close", "--trace"];
        let (call, mut served) = call(&listener, &words);
        assert_eq!(served.line(), "GET\n");
        served.send(b"all of it");
        served.finish();
        assert_eq!(served.rest(), b"");
        let done = call.done();
        assert_eq!((done.code, done.text().as_str()), (0, "all of it"));
        assert!(!done.stderr.contains("shutdown("), "{}", done.stderr);
    }
);

families!(a_line_server_answers_a_call_with_eof_framing, |place| {
    // As HAProxy's: it answers lines, and what has no newline gets no answer.
    let script = "while read -r line; do echo \"got $line\"; done";
    let server = Server::start(place, &["--exec", "sh", "-c", script]);
    let done = sok(&["call", "--framing", "eof", server.address(), "show info"]);
    assert_eq!(
        (done.code, done.text().as_str()),
        (0, "got show info\n"),
        "{}",
        done.stderr
    );
    let done = sok_with(&["call", "--framing", "eof", server.address()], b"show");
    assert_eq!((done.code, done.text().as_str()), (0, ""));
});
