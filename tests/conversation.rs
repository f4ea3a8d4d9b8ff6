//! The conversation of `sok connect`: prompt, line, reply, again; on a terminal and without one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use nix::pty::openpty;
use nix::sys::termios::{Termios, tcgetattr};

use crate::support::{Log, Process, RawListener, Server, sok, sok_with};

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

families!(
    without_a_terminal_the_replies_are_written_as_they_are,
    |place| {
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
    }
);

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

families!(
    a_forbidden_line_is_refused_and_nothing_of_it_is_sent,
    |place| {
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
        let refused = "sok: not sent: the line has \"drop\" in it\n";
        assert!(
            done.stderr.starts_with(&format!("? {refused}? ")),
            "{}",
            done.stderr
        );
        assert!(done.stderr.contains("has \"删\" in it"), "{}", done.stderr);
    }
);

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
    a_server_that_leaves_with_no_line_left_ends_the_conversation,
    |place| {
        let mut client = left_by_the_server(place);
        client.close_stdin();
        let done = client.done();
        assert_eq!((done.code, done.text().as_str()), (0, "go away"));
    }
);

families!(
    a_server_that_leaves_ends_a_conversation_whose_input_is_open,
    |place| {
        let client = left_by_the_server(place);
        assert_eq!(client.wait(), 0, "{}", client.stderr().text());
    }
);

families!(
    lines_left_in_a_pipe_when_the_server_leaves_are_a_failure,
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

/// The program on a terminal of its own.
struct Terminal {
    program: std::process::Child,
    keyboard: File,
    screen: Log,
    // It closes with the program, however that ends.
    stderr: Log,
    // Kept open, so that its modes can be read when the program has ended.
    terminal: OwnedFd,
    modes: Termios,
}

impl Terminal {
    fn connect(address: &str, options: &[&str]) -> Self {
        let pair = openpty(None, None).unwrap();
        let modes = tcgetattr(&pair.slave).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        // With a session of its own the terminal's keys send it signals.
        let mut program = Command::new("setsid")
            .args(["--ctty", "--wait", Process::PROGRAM, "connect", address])
            .args(options)
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let keyboard = File::from(pair.master);
        let screen = Log::of(Screen(keyboard.try_clone().unwrap()));
        let stderr = Log::of(program.stderr.take().unwrap());
        Self {
            program,
            keyboard,
            screen,
            stderr,
            terminal: pair.slave,
            modes,
        }
    }

    /// Waits for the `count`th `reply` and the prompt: keys that come before it are not read as
    /// keys. The prompt is in the line before a reply that comes late.
    fn wait_for_prompt_after(&self, reply: &str, count: usize) {
        let wanted = format!("a prompt after {count} times {reply:?}");
        self.screen.wait_until(&wanted, |text| {
            let at = text.match_indices(reply).nth(count - 1);
            at.is_some_and(|(at, _)| {
                let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
                text[line..].contains("> ")
            })
        });
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Its exit code, once the terminal is as it was.
    fn ended(mut self) -> Option<i32> {
        self.stderr.wait_closed();
        let code = self.program.wait().unwrap().code();
        let modes = tcgetattr(&self.terminal).unwrap();
        assert_eq!(modes, self.modes, "the terminal is not as it was");
        code
    }
}

/// What the terminal shows.
struct Screen(File);

impl Read for Screen {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

families!(on_a_terminal_it_is_a_conversation, |place| {
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
    on_a_terminal_what_a_conversation_lacks_asks_for_a_plain_exchange,
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

families!(what_is_typed_ahead_on_a_terminal_is_not_lost, |place| {
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

families!(ctrl_c_at_the_prompt_gives_the_terminal_back, |place| {
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
    ctrl_c_while_a_reply_is_awaited_gives_the_terminal_back,
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
    a_server_that_leaves_at_the_prompt_gives_the_terminal_back,
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
