//! `serve --stdio`: one client and the standard streams.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;

use nix::sys::signal::Signal;

use crate::support::{Kind, Place, Process, RawStream, Server, Terminal, assert_same, noise};

/// More than all buffers between two processes hold.
const MUCH: usize = 10_000_000;

fn start(place: &Place, options: &[&str]) -> Server {
    Server::start(place, &[&["--stdio"], options].concat())
}

/// Waits for the end of a server without more input.
fn assert_ends(server: Server, code: i32, stdout: &[u8]) {
    let done = server.into_process().done();
    assert_eq!(done.code, code, "{}", done.stderr);
    assert_same(&done.stdout, stdout);
}

fn assert_file_is_gone(place: &Place, server: &Server) {
    if place.kind() == Kind::Unix {
        assert!(!Path::new(server.path()).exists(), "it is left behind");
    }
}

forms!(messages_pass_both_ways_and_the_client_ends_it, |place| {
    let mut server = start(place, &[]);
    let mut client = Process::sok(&["connect", server.address()]);
    client.write(b"request\n");
    server.stdout().wait_for("request\n");
    server.write(b"reply\n");
    client.stdout().wait_for("reply\n");
    if place.has_connection() {
        client.close_stdin();
        assert_eq!(server.wait(), 0, "{}", server.stderr().text());
        assert_eq!(client.wait(), 0);
    } else {
        // Nothing tells it that the client has gone.
        drop(client);
        server.terminate();
        assert_eq!(server.wait(), 143);
    }
    assert_file_is_gone(place, &server);
});

families!(large_transfers_pass_both_ways_at_once, |place| {
    let (there, back) = (noise(MUCH), noise(MUCH + 13));
    // Whichever half ends first.
    let server = start(place, &["--keep-sending"]);
    let address = server.address().to_owned();
    let client = thread::spawn({
        let there = there.clone();
        move || RawStream::connect(&address).exchange(&there)
    });
    let done = server.into_process().feed(&back);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_same(&done.stdout, &there);
    assert_same(&client.join().unwrap(), &back);
});

families!(each_half_may_end_first, |place| {
    let data = noise(300_000);
    for server_first in [true, false] {
        let mut server = start(place, &[]);
        let mut client = RawStream::connect(server.address());
        if server_first {
            server.write(&data);
            server.close_stdin();
            assert_same(&client.rest(), &data);
            client.send(&data);
            client.finish();
        } else {
            client.send(&data);
            client.finish();
            server.stdout().wait_for_bytes(data.len());
            // Its input comes without a pause.
            server.write(&data);
            server.close_stdin();
            assert_same(&client.rest(), &data);
        }
        assert_ends(server, 0, &data);
    }
});

families!(a_reply_after_the_end_of_input_is_complete, |place| {
    let server = start(place, &[]);
    let mut client = RawStream::connect(server.address());
    let server = thread::spawn(|| server.into_process().feed(b"request"));
    assert_eq!(client.rest(), b"request");
    client.send(b"reply");
    drop(client);
    let done = server.join().unwrap();
    assert_eq!((done.code, &*done.text()), (0, "reply"));
});

families!(a_file_is_served_to_a_file, |place| {
    let content = noise(MUCH);
    let input = place.file("input", &content);
    let script = r#"exec "$SOK" serve "$1" --stdio <"$2""#;
    let server = Server::of(Process::sh(
        script,
        &[&place.word(), input.to_str().unwrap()],
    ));
    let copy = place.path("copy");
    let script = r#"exec "$SOK" connect "$1" </dev/null >"$2""#;
    let done = Process::sh(script, &[server.address(), copy.to_str().unwrap()]).done();
    assert_eq!((done.code, server.wait()), (0, 0), "{}", done.stderr);
    assert_same(&fs::read(copy).unwrap(), &content);
});

forms!(a_second_client_is_refused, |place| {
    if !place.has_connection() {
        return;
    }
    let mut server = start(place, &[]);
    let mut first = Process::sok(&["connect", server.address()]);
    first.write(b"first\n");
    server.stdout().wait_for("first\n");
    let second = Process::sok(&["connect", server.address()]).done();
    assert_eq!(second.code, 3, "{}", second.stderr);
    assert_file_is_gone(place, &server);
    // The first one is still there.
    server.write(b"reply\n");
    first.stdout().wait_for("reply\n");
    drop(first);
    server.close_stdin();
    server.wait();
});

families!(a_client_that_waits_in_the_backlog_is_cut_off, |place| {
    let mut server = start(place, &[]);
    server.signal(Signal::SIGSTOP);
    let mut clients = [(); 2].map(|()| RawStream::connect(server.address()));
    server.signal(Signal::SIGCONT);
    // No byte comes of it, but an end.
    assert_eq!(clients[1].cut(), b"");
    server.write(b"served");
    assert_eq!(clients[0].take(6), b"served");
});

families!(a_reset_by_the_client_is_exit_code_6, |place| {
    let mut server = start(place, &[]);
    let mut client = RawStream::connect(server.address());
    client.send(b"hello");
    server.stdout().wait_for("hello");
    // AF_UNIX has no reset, but one for bytes that are left unread.
    server.write(b"unread");
    let mut peek = [std::mem::MaybeUninit::uninit(); 1];
    client.socket().peek(&mut peek).unwrap();
    client.reset();
    assert_eq!(server.wait(), 6, "{}", server.stderr().text());
    let said = server.said();
    assert!(
        said.contains("\nsok: receive ") && said.contains(place.family()),
        "{said}"
    );
    assert_eq!(server.stdout().wait_closed(), b"hello");
});

families!(a_killed_client_is_exit_code_6_unless_it_had_all, |place| {
    let zeros = r#"exec "$SOK" serve "$1" --stdio </dev/zero"#;
    let server = Server::of(Process::sh(zeros, &[&place.word()]));
    let script = r#"exec "$SOK" connect "$1" </dev/null"#;
    let client = Process::sh(script, &[server.address()]);
    client.stdout().wait_for_bytes(1);
    client.signal(Signal::SIGKILL);
    assert_eq!(server.wait(), 6, "{}", server.stderr().text());

    let server = start(place, &[]);
    let mut client = Process::sok(&["connect", server.address()]);
    client.write(b"all");
    server.stdout().wait_for("all");
    client.signal(Signal::SIGKILL);
    // The kernel ends it as if it had ended.
    assert_eq!(server.wait(), 0, "{}", server.stderr().text());
});

families!(a_signal_ends_it_and_resets_the_connection, |place| {
    let signals = [
        (Signal::SIGHUP, 129),
        (Signal::SIGTERM, 143),
        (Signal::SIGINT, 130),
    ];
    for (signal, code) in signals {
        let server = start(place, &[]);
        server.signal(signal);
        assert_eq!(server.wait(), code);
        assert_file_is_gone(place, &server);

        let server = start(place, &[]);
        let mut client = RawStream::connect(server.address());
        client.send(b"hello");
        server.stdout().wait_for("hello");
        server.signal(signal);
        assert_eq!(server.wait(), code);
        let end = client.try_rest();
        match place.is_network() {
            // It must not take what it has for all.
            true => assert!(RawStream::is_broken(&end.unwrap_err())),
            false => assert_eq!(end.unwrap(), b""),
        }
        assert_file_is_gone(place, &server);
    }
});

families!(the_standard_streams_may_be_files_or_nothing, |place| {
    let content = noise(3 << 20);
    let input = place.file("input", &content);
    let output = place.path("output");
    let serve = |redirects: &str, sends: &[u8]| {
        let script = format!(r#"exec "$SOK" serve "$1" --stdio {redirects}"#);
        let files = [input.to_str().unwrap(), output.to_str().unwrap()];
        let process = Process::sh(&script, &[&place.word(), files[0], files[1]]);
        let server = Server::of(process);
        let got = RawStream::connect(server.address()).exchange(sends);
        let done = server.into_process().done();
        assert_eq!(done.code, 0, "{redirects}: {}", done.stderr);
        (got, done.stdout)
    };
    assert_same(&serve(r#"<"$2""#, b"").0, &content);
    assert_same(&serve(r#"<"$2" >"$3""#, &content).0, &content);
    assert_same(&fs::read(&output).unwrap(), &content);
    assert_eq!(serve("</dev/null", b"hi"), (vec![], b"hi".to_vec()));
    assert_eq!(serve("<&-", b"hi"), (vec![], b"hi".to_vec()));
    assert_eq!(serve(">&-", b"hi"), (vec![], vec![]));
    assert_eq!(serve("</dev/null >/dev/null", b"hi"), (vec![], vec![]));
});

families!(an_output_whose_reader_closed_ends_it_quietly, |place| {
    let script = r#"{ "$SOK" serve "$1" --stdio </dev/null; echo "code $?" >&2; } | head -n1"#;
    let process = Process::sh(script, &[&place.word()]);
    let address = Server::address_of(&process);
    let mut client = RawStream::connect(&address);
    let lines = "line\n".repeat(1 << 20);
    // It does not take all of them.
    let _ = client.write_all(lines.as_bytes());
    client.cut();
    let done = process.done();
    assert_eq!(done.text(), "line\n");
    let rest = done.stderr.split_once('\n').unwrap().1;
    assert_eq!(rest, "code 0\n");
});

families!(an_output_without_room_is_an_error, |place| {
    let script = r#"exec "$SOK" serve "$1" --stdio >/dev/full"#;
    let server = Server::of(Process::sh(script, &[&place.word()]));
    let mut client = RawStream::connect(server.address());
    client.send(b"hello");
    client.cut();
    assert_eq!(server.wait(), 1);
    let said = server.said();
    let error = "\nsok: write standard output: No space left on device\n";
    assert!(said.ends_with(error), "{said}");
});

families!(an_unreadable_input_breaks_the_connection, |place| {
    let script = r#"exec "$SOK" serve "$1" --stdio </"#;
    let server = Server::of(Process::sh(script, &[&place.word()]));
    let mut client = RawStream::connect(server.address());
    let end = client.try_rest();
    if place.is_network() {
        assert!(RawStream::is_broken(&end.unwrap_err()));
    }
    assert_eq!(server.wait(), 1);
    let said = server.said();
    assert!(said.contains("\nsok: read standard input: "), "{said}");
});

families!(its_output_ends_with_the_client, |place| {
    let mut server = start(place, &["--keep-sending"]);
    let mut client = RawStream::connect(server.address());
    client.send(b"all");
    client.finish();
    // While its input is still open.
    assert_eq!(server.stdout().wait_closed(), b"all");
    server.write(b"later");
    assert_eq!(client.take(5), b"later");
    server.close_stdin();
    assert_eq!(client.rest(), b"");
    drop(client);
    assert_eq!(server.wait(), 0);
});

families!(without_a_half_close_the_client_sees_no_end, |place| {
    let mut server = start(place, &["--no-half-close", "--trace"]);
    let mut client = RawStream::connect(server.address());
    server.write(b"hi");
    server.close_stdin();
    assert_eq!(client.take(2), b"hi");
    client.send(b"reply");
    client.finish();
    assert_eq!(client.rest(), b"");
    assert_eq!(server.wait(), 0);
    assert_eq!(server.stdout().wait_closed(), b"reply");
    assert!(!server.said().contains("shutdown("));
});

forms!(a_silent_client_times_out, |place| {
    let server = start(place, &["--idle-timeout", "300ms"]);
    let mut client = Process::sok(&["connect", server.address()]);
    client.write(b"hi\n");
    assert_eq!(server.wait(), 124, "{}", server.stderr().text());
    assert_eq!(server.stdout().wait_closed(), b"hi\n");
    let said = server.said();
    assert!(said.contains("no data passed for 300ms"), "{said}");
});

forms!(the_reports_are_those_of_a_server, |place| {
    let server = start(place, &["-v"]);
    let mut client = Process::sok(&["connect", server.address(), "-v"]);
    client.write(b"hello\n");
    server.stdout().wait_for("hello");
    let said = server.stderr().text();
    assert!(
        said.contains("\nsok: connected connection=1 peer="),
        "{said}"
    );
    server.signal(Signal::SIGUSR1);
    let said = server.stderr().wait_for("sok: open connection=1");
    assert!(said.contains("sok: totals connections=1 open=1"), "{said}");
    if place.has_connection() {
        client.close_stdin();
        assert_eq!(server.wait(), 0);
        let said = server.said();
        let count = if place.keeps_messages() { 5 } else { 6 };
        let ended = format!(" received={count} sent=0 ");
        assert!(
            said.contains("\nsok: ended ") && said.contains(&ended),
            "{said}"
        );
    }
});

families!(events_are_objects_with_json, |place| {
    let server = start(place, &["-v", "--json"]);
    RawStream::connect(server.address()).exchange(b"");
    assert_eq!(server.wait(), 0);
    let events: Vec<serde_json::Value> = server
        .said()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names = events.iter().map(|event| {
        let report = event["message"].as_str();
        report
            .or_else(|| event["event"].as_str())
            .unwrap()
            .to_owned()
    });
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["listening", "connected", "ended"]
    );
});

families!(a_conversation_is_held_with_the_client, |place| {
    let mut server = start(place, &["--prompt", "? ", "--forbid", "secret"]);
    let mut client = RawStream::connect(server.address());
    server.stderr().wait_for("? ");
    server.write(b"a secret\nhello\n");
    assert_eq!(client.line(), "hello\n");
    client.send(b"hi\n");
    server.stdout().wait_for("hi\n");
    drop(client);
    server.close_stdin();
    assert_eq!(server.wait(), 0, "{}", server.stderr().text());
    assert!(server.said().contains("not sent: the line contains"));
});

families!(on_a_terminal_it_holds_a_conversation, |place| {
    let mut terminal = Terminal::run(&["serve", &place.word(), "--stdio"]);
    let mut client = RawStream::connect(&Server::address_in(&terminal.stderr));
    terminal.screen.wait_for("> ");
    terminal.press("hello\r");
    assert_eq!(client.line(), "hello\n");
    client.send(b"hi \x1b[31m\n");
    terminal.screen.wait_for("hi \\x1b[31m");
    drop(client);
    assert_eq!(terminal.ended(), Some(0));
});

families!(ctrl_c_at_the_prompt_gives_the_terminal_back, |place| {
    let mut terminal = Terminal::run(&["serve", &place.word(), "--stdio"]);
    let client = RawStream::connect(&Server::address_in(&terminal.stderr));
    terminal.screen.wait_for("> ");
    terminal.press("\x03");
    assert_eq!(terminal.ended(), Some(130));
    drop(client);
});

#[test]
fn every_address_of_a_name_is_closed_after_the_first_client() {
    let place = Place::new(Kind::Inet);
    let process = Process::sok(&["serve", "localhost:0", "--stdio"]);
    let address = Server::address_of(&process);
    let port = address.rsplit_once(':').unwrap().1;
    let mut client = RawStream::connect(&address);
    client.send(b"first");
    process.stdout().wait_for("first");
    let name = format!("localhost:{port}");
    let second = Process::sok(&["connect", &name]).done();
    assert_eq!(second.code, 3, "{}", second.stderr);
    drop((client, place));
    assert_eq!(process.done().code, 0);
}

forms!(a_hangup_reads_the_rules_again_and_ends_nothing, |place| {
    let rules = place.file("rules", "allow any\n");
    let rules = rules.to_str().unwrap();
    for (options, code) in [(&[][..], 143), (&["--keep-open"][..], 0)] {
        let server = start(place, &[&["--rules", rules, "-v"], options].concat());
        for count in 1..3 {
            server.signal(Signal::SIGHUP);
            server.stderr().wait_for_count("rules read again", count);
        }
        server.terminate();
        assert_eq!(server.wait(), code, "{}", server.stderr().text());
    }
});
