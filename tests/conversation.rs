//! The conversation of `sok connect`: prompt, line, reply, again; on a terminal and without one.

use crate::support::{Process, RawListener, Server, Terminal, sok, sok_with};

families!(
    a_line_is_sent_its_reply_written_and_the_prompt_comes_again,
    |place| {
        let server = Server::start(place, &["--framing", "line", "--suffix", "!"]);
        let mut client = Process::sok(&["connect", server.address(), "--prompt", "? "]);
        client.stderr().wait_for("? ");
        client.write("你好\n".as_bytes());
        client.stdout().wait_for("你好!\n");
        client.stderr().wait_for_count("? ", 2);
        client.write(b"\n");
        client.stdout().wait_for("你好!\n!\n");
        client.stderr().wait_for_count("? ", 3);
        let done = client.done();
        assert_eq!((done.code, done.text().as_str()), (0, "你好!\n!\n"));
        assert_eq!(done.stderr, "? ? ? ");
    }
);

families!(without_a_terminal_replies_are_written_unchanged, |place| {
    let listener = RawListener::bind(place);
    let mut client = Process::sok(&["connect", listener.address(), "--prompt", "? "]);
    client.write(b"one\n");
    let mut served = listener.accept();
    assert_eq!(served.line(), "one\n");
    served.send(b"first");
    client.stdout().wait_for("first");
    client.write(b"two");
    client.close_stdin();
    assert_eq!(served.line(), "two\n");
    served.send(b"second\n");
    // The end of the input ends the sending half, and what comes then is written.
    assert_eq!(served.rest(), b"");
    served.send(b"and bye");
    drop(served);
    let done = client.done();
    assert_eq!(
        (done.code, done.text().as_str()),
        (0, "firstsecond\nand bye")
    );
});

families!(lines_pass_to_a_server_that_answers_none, |place| {
    let server = Server::start(place, &["--discard"]);
    let done = sok_with(&["connect", server.address(), "--prompt", "? "], b"a\nb\n");
    assert_eq!(
        (done.code, done.text().as_str()),
        (0, ""),
        "{}",
        done.stderr
    );
    assert_eq!(done.stderr, "? ? ? ");
});

families!(lines_pass_to_a_server_that_answers_two_at_once, |place| {
    let listener = RawListener::bind(place);
    let mut client = Process::sok(&["connect", listener.address(), "--prompt", "? "]);
    client.write(b"GET / HTTP/1.0\n\n");
    let mut served = listener.accept();
    assert_eq!(served.line(), "GET / HTTP/1.0\n");
    assert_eq!(served.line(), "\n");
    served.send(b"HTTP/1.0 204 No Content\n\n");
    client.stdout().wait_for("204 No Content\n\n");
    client.close_stdin();
    assert_eq!(served.rest(), b"");
    drop(served);
    assert_eq!(client.done().code, 0);
});

families!(a_line_longer_than_all_buffers_passes_an_echo, |place| {
    let server = Server::start(place, &[]);
    let line = "0123456789".repeat(1 << 19);
    let done = sok_with(
        &["connect", server.address(), "--prompt", ""],
        line.as_bytes(),
    );
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.text().strip_suffix('\n') == Some(&line),
        "{} bytes came",
        done.stdout.len()
    );
});

families!(a_forbidden_line_is_refused_and_not_sent, |place| {
    let listener = RawListener::bind(place);
    let words = [
        "connect",
        listener.address(),
        "--prompt",
        "? ",
        "--forbid",
        "drop",
        "--forbid",
        "删",
    ];
    let mut client = Process::sok(&words);
    let mut served = listener.accept();
    client.write("please drop it\n删除\nselect\n".as_bytes());
    assert_eq!(served.line(), "select\n");
    served.send(b"ok\n");
    client.stdout().wait_for("ok\n");
    client.close_stdin();
    assert_eq!(served.rest(), b"");
    drop(served);
    let done = client.done();
    assert_eq!((done.code, done.text().as_str()), (0, "ok\n"));
    let refused = "sok: not sent: the line contains \"drop\"\n";
    assert!(
        done.stderr.starts_with(&format!("? {refused}? ")),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("contains \"删\""), "{}", done.stderr);
});

families!(the_empty_word_cannot_be_forbidden, |place| {
    let nobody = place.nobody();
    let words = ["connect", &nobody.address, "--prompt", "", "--forbid", ""];
    let done = sok(&words);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    assert!(done.stderr.contains("--forbid"), "{}", done.stderr);
});

/// A client at its prompt, without a terminal, that has seen its server end.
fn left_by_the_server(place: &crate::support::Place) -> Process {
    let listener = RawListener::bind(place);
    let client = Process::sok(&["connect", listener.address(), "--prompt", "? "]);
    let mut served = listener.accept();
    client.stderr().wait_for("? ");
    served.send(b"go away");
    drop(served);
    client.stdout().wait_for("go away");
    client
}

families!(
    a_server_that_closes_after_the_last_line_ends_the_conversation,
    |place| {
        let mut client = left_by_the_server(place);
        client.close_stdin();
        let done = client.done();
        assert_eq!((done.code, done.text().as_str()), (0, "go away"));
    }
);

families!(
    a_server_that_closes_ends_a_conversation_with_open_input,
    |place| {
        let client = left_by_the_server(place);
        assert_eq!(client.wait(), 0, "{}", client.stderr().text());
    }
);

families!(
    lines_left_in_a_pipe_when_the_server_closes_are_a_failure,
    |place| {
        let listener = RawListener::bind(place);
        let mut client = Process::sok(&["connect", listener.address(), "--prompt", "? "]);
        client.write(b"a\nb\nc\n");
        client.close_stdin();
        let mut served = listener.accept();
        assert_eq!(served.line(), "a\n");
        served.send(b"bye\n");
        drop(served);
        // The second line may have been on its way; then the connection breaks.
        let done = client.done();
        assert_eq!(done.code, 6, "{}", done.stderr);
    }
);

families!(on_a_terminal_connect_holds_a_conversation, |place| {
    if !crate::support::require_peer("setsid") {
        return;
    }
    let server = Server::start(place, &["--framing", "line", "--suffix", "!"]);
    let mut terminal = Terminal::connect(server.address(), &[]);
    terminal.screen.wait_for("> ");
    // The line is edited: what Backspace takes is not sent.
    terminal.press("你好x\u{7f}\r");
    terminal.wait_for_prompt_after("你好!", 1);
    // The line before comes back with the arrow.
    terminal.press("\u{1b}[A\r");
    terminal.wait_for_prompt_after("你好!", 2);
    terminal.press("\u{4}");
    assert_eq!(terminal.ended(), Some(0));
});

families!(
    on_a_terminal_options_of_the_exchange_disable_the_conversation,
    |place| {
        if !crate::support::require_peer("setsid") {
            return;
        }
        let listener = RawListener::bind(place);
        for options in [
            &["--no-half-close"][..],
            &["--keep-sending"],
            &["--idle-timeout", "1h"],
        ] {
            let mut terminal = Terminal::connect(listener.address(), options);
            let mut served = listener.accept();
            terminal.press("hello\n");
            assert_eq!(served.line(), "hello\n");
            served.send(b"well\n");
            let screen = terminal.screen.wait_for("well");
            assert!(!screen.contains("> "), "{options:?}: {screen}");
            drop(served);
            terminal.press("\u{4}");
            assert_eq!(terminal.ended(), Some(0), "{options:?}");
        }
        let terminal = Terminal::connect(listener.address(), &["--idle-timeout", "50ms"]);
        let served = listener.accept();
        assert_eq!(terminal.ended(), Some(124));
        drop(served);
    }
);

families!(input_typed_ahead_on_a_terminal_is_not_lost, |place| {
    if !crate::support::require_peer("setsid") {
        return;
    }
    let listener = RawListener::bind(place);
    let mut terminal = Terminal::connect(listener.address(), &[]);
    let mut served = listener.accept();
    terminal.screen.wait_for("> ");
    terminal.press("one\rtwo\rthree\r\u{4}");
    for line in ["one\n", "two\n", "three\n"] {
        assert_eq!(served.line(), line);
        served.send(b"well\n");
    }
    assert_eq!(served.rest(), b"");
    drop(served);
    assert_eq!(terminal.ended(), Some(0));
});

families!(ctrl_c_that_is_typed_ahead_ends_the_conversation, |place| {
    if !crate::support::require_peer("setsid") {
        return;
    }
    let listener = RawListener::bind(place);
    let mut terminal = Terminal::connect(listener.address(), &[]);
    let mut served = listener.accept();
    terminal.screen.wait_for("> ");
    terminal.press("hello\r\u{3}");
    assert_eq!(served.line(), "hello\n");
    served.send(b"well\n");
    assert_eq!(terminal.ended(), Some(130));
});

families!(ctrl_c_at_the_prompt_restores_the_terminal, |place| {
    if !crate::support::require_peer("setsid") {
        return;
    }
    let listener = RawListener::bind(place);
    let mut terminal = Terminal::connect(listener.address(), &["--prompt", "ask: "]);
    let served = listener.accept();
    terminal.screen.wait_for("ask: ");
    terminal.press("half a li\u{3}");
    assert_eq!(terminal.ended(), Some(130));
    drop(served);
});

families!(
    ctrl_c_while_a_reply_is_awaited_restores_the_terminal,
    |place| {
        if !crate::support::require_peer("setsid") {
            return;
        }
        let listener = RawListener::bind(place);
        let mut terminal = Terminal::connect(listener.address(), &["--prompt", "ask: "]);
        let mut served = listener.accept();
        terminal.screen.wait_for("ask: ");
        terminal.press("hi\r");
        assert_eq!(served.line(), "hi\n");
        terminal.press("\u{3}");
        assert_eq!(terminal.ended(), Some(130));
    }
);

families!(
    a_server_that_closes_at_the_prompt_restores_the_terminal,
    |place| {
        if !crate::support::require_peer("setsid") {
            return;
        }
        let listener = RawListener::bind(place);
        let terminal = Terminal::connect(listener.address(), &["--prompt", "ask: "]);
        let served = listener.accept();
        terminal.screen.wait_for("ask: ");
        drop(served);
        assert_eq!(terminal.ended(), Some(0));
    }
);
