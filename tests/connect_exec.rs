//! `connect --exec`: a program that talks to a server.

use std::collections::HashMap;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{
    Done, Kind, Place, Process, RawListener, RawMessageListener, RawStream, Server, Terminal,
    assert_same, noise, sok,
};

/// Connects a script of the shell.
fn client(address: &str, options: &[&str], script: &str) -> Process {
    let words = [
        &["connect", address],
        options,
        &["--exec", "sh", "-c", script],
    ]
    .concat();
    Process::sok(&words)
}

/// A client of a raw server, with its connection.
fn accepted(place: &Place, options: &[&str], script: &str) -> (Process, RawStream) {
    let listener = RawListener::bind(place);
    let client = client(listener.address(), options, script);
    let served = listener.accept();
    (client, served)
}

fn assert_quiet(done: &Done, code: i32) {
    assert_eq!((done.code, &*done.text()), (code, ""), "{}", done.stderr);
}

families!(
    a_program_sees_the_end_of_the_server_and_can_still_send,
    |place| {
        let (client, mut served) = accepted(place, &[], "wc -c");
        let data = noise(300_000);
        let got = served.exchange(&data);
        assert_eq!(String::from_utf8(got).unwrap().trim(), "300000");
        assert_quiet(&client.done(), 0);
    }
);

families!(a_program_reads_and_writes_at_once, |place| {
    let (client, mut served) = accepted(place, &[], "exec cat");
    let data = noise(4 << 20);
    assert_same(&served.exchange(&data), &data);
    assert_quiet(&client.done(), 0);
});

families!(two_programs_talk_to_each_other, |place| {
    let script = r#"read line; echo "you said $line"; cat >/dev/null"#;
    let server = Server::start(place, &["--exec", "sh", "-c", script]);
    let script = r#"echo hello; read line; echo "$line" >&2; exit 9"#;
    let done = client(server.address(), &[], script).done();
    assert_quiet(&done, 9);
    assert_eq!(done.stderr, "you said hello\n");
});

families!(
    the_server_sees_the_end_when_the_program_closes_its_output,
    |place| {
        let script = r#"echo hi; exec >&-; read line; echo "it read $line" >&2; exit 4"#;
        let (client, mut served) = accepted(place, &[], script);
        assert_eq!(served.rest(), b"hi\n");
        served.send(b"more\n");
        let done = client.done();
        assert_quiet(&done, 4);
        assert_eq!(done.stderr, "it read more\n");
    }
);

families!(
    what_a_program_wrote_arrives_although_it_read_nothing,
    |place| {
        let script = "head -c 4000000 /dev/zero";
        let (client, mut served) = accepted(place, &[], script);
        served.send(&noise(100_000));
        assert_eq!(served.rest().len(), 4_000_000);
        // The connection is still open here: the client waits for no more than the arrival.
        assert_quiet(&client.done(), 0);
    }
);

families!(a_server_that_sends_on_does_not_hold_the_client, |place| {
    let (client, served) = accepted(place, &[], "head -c 5");
    let mut sending = served.twin();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            use std::io::Write;
            while sending.write_all(&[b'x'; 10_000]).is_ok() {}
        });
        let mut reading = served.twin();
        assert_eq!(reading.take(5), b"xxxxx");
        reading.cut();
        assert_quiet(&client.done(), 0);
    });
});

families!(the_exit_code_is_that_of_the_program, |place| {
    for (script, code) in [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
    ] {
        let (client, mut served) = accepted(place, &[], script);
        served.cut();
        assert_quiet(&client.done(), code);
    }
});

families!(a_killed_program_is_no_good_end_for_the_server, |place| {
    let (client, mut served) = accepted(place, &[], "printf half; kill -9 $$");
    let end = served.try_rest();
    match place.is_network() {
        true => assert!(RawStream::is_broken(&end.unwrap_err())),
        false => assert_eq!(end.unwrap(), b"half"),
    }
    assert_quiet(&client.done(), 137);
});

families!(a_program_that_cannot_run_is_126_or_127, |place| {
    let server = RawListener::bind(place);
    let text = place.file("text", "no program");
    for (program, code) in [
        ("no-such-program", 127),
        ("/none/program", 127),
        (&*text.to_string_lossy(), 126),
        ("/tmp", 126),
    ] {
        let done = sok(&["connect", server.address(), "--exec", program]);
        assert_quiet(&done, code);
        assert!(done.stderr.contains(program), "{}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    }
    // One that only the start finds out about.
    use std::os::unix::fs::PermissionsExt;
    let format = place.file("format", "\x01\x02");
    std::fs::set_permissions(&format, PermissionsExt::from_mode(0o755)).unwrap();
    let done = sok(&[
        "connect",
        server.address(),
        "--exec",
        &format.to_string_lossy(),
    ]);
    assert_quiet(&done, 126);
});

families!(no_server_is_exit_code_3_and_runs_nothing, |place| {
    let nobody = place.nobody();
    let done = client(&nobody.address, &[], "echo ran >&2").done();
    assert_quiet(&done, 3);
    assert!(!done.stderr.contains("ran"), "{}", done.stderr);
});

families!(a_connection_that_breaks_is_exit_code_6, |place| {
    // It fails only because the connection does.
    for script in [
        "echo ready; cat >/dev/null",
        "echo ready; exec cat /dev/zero",
    ] {
        let (client, mut served) = accepted(place, &[], script);
        assert_eq!(served.line(), "ready\n");
        if !place.is_network() && script.ends_with("null") {
            continue; // Without a reset, that is a good end.
        }
        served.reset();
        let done = client.done();
        assert_quiet(&done, 6);
        assert!(done.stderr.contains(place.family()), "{}", done.stderr);
    }
    // Its own failure comes first, and the other one is reported.
    let (client, mut served) = accepted(place, &[], "echo ready; cat >/dev/null; exit 5");
    assert_eq!(served.line(), "ready\n");
    served.reset();
    let done = client.done();
    assert_quiet(&done, 5);
    assert_eq!(done.stderr.contains("sok: "), place.is_network());
});

families!(output_that_a_closed_server_did_not_take_is_lost, |place| {
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!(
        "echo started >&2; read line <'{}'; echo hello; echo done >&2",
        gate.display()
    );
    let (client, served) = accepted(place, &[], &script);
    client.stderr().wait_for("started");
    // The client finds the end of the server and the output of the program at once.
    client.signal(Signal::SIGSTOP);
    std::fs::write(gate, "now\n").unwrap();
    client.stderr().wait_for("done");
    drop(served);
    client.signal(Signal::SIGCONT);
    let done = client.done();
    assert_eq!(done.code, 6, "{}", done.stderr);
});

families!(the_environment_describes_the_server, |place| {
    let listener = RawListener::bind(place);
    let own = place.word();
    let client = client(listener.address(), &["--bind", &own], "exec env >&2");
    let mut served = listener.accept();
    served.cut();
    let done = client.done();
    assert_quiet(&done, 0);
    let environment: HashMap<&str, &str> = done
        .stderr
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let is = |name: &str, want: &str| assert_eq!(environment.get(name), Some(&want), "{name}");
    is("SOK_FAMILY", place.family());
    is("SOK_TYPE", "stream");
    is("SOK_PEER", listener.address());
    let peer = served.socket().peer_addr().unwrap();
    if place.is_network() {
        let (own, peer) = (peer.as_socket().unwrap(), listener.address());
        is("PROTO", "TCP");
        is("SOK_LOCAL", &format!("{}:{own}", place.family()));
        is("TCPLOCALIP", &own.ip().to_string());
        is("TCPLOCALPORT", &own.port().to_string());
        is("TCPREMOTEIP", &own.ip().to_string());
        is("TCPREMOTEPORT", peer.rsplit_once(':').unwrap().1);
    } else {
        is("PROTO", "UNIX");
        is("SOK_LOCAL", &own);
        is("UNIXREMOTEPID", &std::process::id().to_string());
        is("UNIXREMOTEEUID", &nix::unistd::geteuid().to_string());
        is("UNIXREMOTEEGID", &nix::unistd::getegid().to_string());
        let path = |address: &str| {
            let path = address.strip_prefix("unix:").unwrap().to_owned();
            (place.kind() == Kind::Unix).then_some(path)
        };
        let variable = |name: &str| environment.get(name).map(|value| (*value).to_owned());
        assert_eq!(variable("UNIXREMOTEPATH"), path(listener.address()));
        assert_eq!(variable("UNIXLOCALPATH"), path(&own));
    }
});

families!(variables_of_another_connection_are_not_passed_on, |place| {
    let listener = RawListener::bind(place);
    let mut command = Command::new(Process::PROGRAM);
    command.args([
        "connect",
        listener.address(),
        "--exec",
        "sh",
        "-c",
        "env >&2",
    ]);
    command.envs(["SOK_PEER", "PROTO", "TCPREMOTEHOST", "UNIXREMOTEPID"].map(|name| (name, "old")));
    command.env("OTHER", "passed on");
    let client = Process::spawn(command);
    listener.accept().cut();
    let done = client.done();
    assert!(!done.stderr.contains("=old"), "{}", done.stderr);
    assert!(done.stderr.contains("OTHER=passed on\n"), "{}", done.stderr);
});

families!(a_program_inherits_only_the_standard_streams, |place| {
    let listener = RawListener::bind(place);
    let script =
        r#"exec 5</dev/null; exec "$SOK" connect "$1" --exec sh -c 'ls /proc/self/fd >&2'"#;
    let client = Process::sh(script, &[listener.address()]);
    listener.accept().cut();
    // The last one is that of the directory.
    assert_eq!(client.done().stderr, "0\n1\n2\n3\n");
});

families!(a_signal_is_passed_on_as_sigterm, |place| {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do read line; done";
        let (client, mut served) = accepted(place, &[], script);
        assert_eq!(served.line(), "ready\n");
        client.signal(signal);
        assert_eq!(served.rest(), b"bye\n");
        drop(served);
        assert_quiet(&client.done(), 3);
    }
});

families!(
    a_second_signal_kills_a_program_that_ignores_the_first,
    |place| {
        let script = "trap '' TERM; echo ready; while :; do sleep 1; done";
        let (client, mut served) = accepted(place, &["-v"], script);
        assert_eq!(served.line(), "ready\n");
        client.signal(Signal::SIGTERM);
        client.signal(Signal::SIGINT);
        served.cut();
        assert!([143, 130].contains(&client.wait()));
    }
);

families!(a_program_can_read_from_the_terminal, |place| {
    let listener = RawListener::bind(place);
    let script = r#"read word </dev/tty; echo "said $word"; read end; exit 5"#;
    let words = ["connect", listener.address(), "--exec", "sh", "-c", script];
    let mut terminal = Terminal::run(&words);
    let mut served = listener.accept();
    terminal.press("hello\r");
    assert_eq!(served.line(), "said hello\n");
    drop(served);
    assert_eq!(terminal.ended(), Some(5));
});

families!(ctrl_c_ends_the_program, |place| {
    let listener = RawListener::bind(place);
    let words = [
        "connect",
        listener.address(),
        "--exec",
        "sh",
        "-c",
        "echo ready; exec cat",
    ];
    let mut terminal = Terminal::run(&words);
    let mut served = listener.accept();
    assert_eq!(served.line(), "ready\n");
    terminal.press("\x03");
    served.cut();
    assert_eq!(terminal.ended(), Some(130));
});

families!(a_signal_before_the_connection_ends_it, |place| {
    let nobody = place.nobody();
    let client = client(&nobody.address, &["--retry-for", "5m", "-v"], "exit 0");
    client.stderr().wait_for("waiting");
    client.signal(Signal::SIGTERM);
    assert_eq!(client.wait(), 143);
});

families!(the_own_socket_file_is_removed, |place| {
    let listener = RawListener::bind(place);
    let own = place.word();
    let client = client(listener.address(), &["--bind", &own], "exit 3");
    listener.accept().cut();
    assert_eq!(client.wait(), 3);
    if place.kind() == Kind::Unix {
        let path = own.strip_prefix("unix:").unwrap();
        assert!(!std::path::Path::new(path).exists());
    }
});

families!(a_silent_connection_times_out, |place| {
    let (client, mut served) = accepted(place, &["--idle-timeout", "200ms"], "exec cat");
    served.cut();
    assert_eq!(client.wait(), 124, "{}", client.stderr().text());
});

families!(the_connection_is_reported, |place| {
    let (client, mut served) = accepted(place, &["-v"], "echo hello");
    assert_eq!(served.rest(), b"hello\n");
    drop(served);
    let said = client.done().stderr;
    for part in [
        "connected address=",
        "program ended",
        "ended address=",
        "sent=6",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
});

messages!(each_message_is_a_line_of_the_program, |place| {
    let listener = RawMessageListener::bind(place);
    let script = r#"echo one; echo; read line; echo "got $line"; printf last"#;
    let client = client(listener.address(), &["--framing", "line"], script);
    let served = listener.accept();
    assert_eq!(served.receive(), b"one");
    assert_eq!(served.receive(), b"");
    served.send(b"reply");
    assert_eq!(served.receive(), b"got reply");
    assert_eq!(served.receive(), b"last");
    if place.has_connection() {
        served.assert_end();
    }
    drop(served);
    assert_quiet(&client.done(), 0);
});

datagrams!(a_silent_peer_is_the_end_for_the_program, |place| {
    let listener = RawMessageListener::bind(place);
    let options = ["--framing", "line", "--idle-timeout", "2s"];
    let script = r#"echo hello; cat >&2; exit 6"#;
    let client = client(listener.address(), &options, script);
    let served = listener.accept();
    assert_eq!(served.receive(), b"hello");
    served.send(b"reply");
    let done = client.done();
    assert_quiet(&done, 6);
    assert_eq!(done.stderr, "reply\n");
});

datagrams!(a_refused_datagram_is_exit_code_3, |place| {
    let nobody = place.nobody();
    let options = ["--framing", "line"];
    let done = client(&nobody.address, &options, "echo hello").done();
    assert_quiet(&done, 3);
    assert!(done.stderr.contains(&nobody.address), "{}", done.stderr);
});

forms!(its_options_are_checked, |place| {
    let refused = |options: &[&str], part: &str| {
        let word = place.word();
        let words = [&["connect", &word], options, &["--exec", "true"]].concat();
        let done = sok(&words);
        assert_quiet(&done, 2);
        assert!(done.stderr.contains(part), "{}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    };
    for option in [
        "--send-only",
        "--receive-only",
        "--no-half-close",
        "--keep-sending",
        "--raw",
    ] {
        refused(&["--framing", "line", option], option);
        if !place.keeps_messages() {
            refused(&[option], option);
        }
    }
    refused(&["--forbid", "x"], "--forbid");
    if place.keeps_messages() {
        refused(&[], "give --framing line, null or length");
    } else {
        refused(&["--framing", "line"], "--framing means nothing here");
    }
    let done = sok(&["connect", "--exec", "true"]);
    assert_quiet(&done, 2);
    assert!(
        done.stderr.contains("write the address before it"),
        "{}",
        done.stderr
    );
});
