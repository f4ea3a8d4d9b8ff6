//! The signals that end the program: those that were ignored when it started, and PID 1.

use nix::sys::signal::Signal;

use crate::support::{Init, Process, RawListener, RawStream, Server};

families!(a_server_leaves_an_ignored_signal_ignored, |place| {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let name = signal.as_str().trim_start_matches("SIG");
        let script = r#"trap '' "$1"; exec "$SOK" serve "$2" --grace 0s"#;
        let server = Server::of(Process::sh(script, &[name, &place.word()]));
        server.signal(signal);
        // What comes later is heard later.
        server.signal(Signal::SIGUSR1);
        server.stderr().wait_for("totals");
        let echoed = RawStream::connect(server.address()).exchange(b"still there");
        assert_eq!(echoed, b"still there", "{signal}");
    }
});

families!(a_client_leaves_an_ignored_signal_ignored, |place| {
    let listener = RawListener::bind(place);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let name = signal.as_str().trim_start_matches("SIG");
        let script = r#"trap '' "$1"; exec "$SOK" connect "$2" --prompt '> '"#;
        let client = Process::sh(script, &[name, listener.address()]);
        let mut stream = listener.accept();
        client.signal(signal);
        stream.send(b"hello\n");
        client.stdout().wait_for("hello\n");
        drop(stream);
        assert_eq!(client.done().code, 0, "{signal}");
    }
});

families!(a_client_as_pid_1_ends_on_a_signal, |place| {
    let commands: [(&[&str], &[&str]); 3] = [
        (&["connect"], &[]),
        (&["call"], &["hello"]),
        // A server listens, so the wait continues.
        (&["wait", "--gone"], &[]),
    ];
    for (command, rest) in commands {
        for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
            let listener = RawListener::bind(place);
            let Some(client) = Init::sok(&[command, &[listener.address()], rest].concat()) else {
                return;
            };
            let _stream = listener.accept();
            client.signal(signal);
            assert_eq!(client.process().wait(), code, "{command:?}");
        }
    }
});

families!(a_server_as_pid_1_reaps_orphans, |place| {
    // A signal that has no name does not hide those behind it.
    let orphan = "(sh -c 'kill -40 $$' &); (true &)";
    let no_zombie = "while grep -qs '^State:.Z' /proc/[0-9]*/status; do :; done; echo none";
    let script = format!("{orphan}; {no_zombie}");
    let word = place.word();
    let Some(server) = Init::sok(&["serve", &word, "-v", "--exec", "sh", "-c", &script]) else {
        return;
    };
    let address = Server::address_of(server.process());
    let mut clients: Vec<RawStream> = (0..4).map(|_| RawStream::connect(&address)).collect();
    for client in &mut clients {
        assert_eq!(client.exchange(b""), b"none\n");
    }
    // The status of a program is not taken for an orphan's.
    server
        .process()
        .stderr()
        .wait_for_count("status=exit status: 0", 4);
});

families!(a_client_with_a_program_as_pid_1_reaps_orphans, |place| {
    let no_zombie = "while grep -qs '^State:.Z' /proc/[0-9]*/status; do :; done; echo none; cat";
    let script = format!("(true &); {no_zombie}; exit 3");
    let listener = RawListener::bind(place);
    let words = ["connect", listener.address(), "--exec", "sh", "-c", &script];
    let Some(client) = Init::sok(&words) else {
        return;
    };
    let mut served = listener.accept();
    assert_eq!(served.line(), "none\n");
    served.finish();
    assert_eq!(served.rest(), b"");
    assert_eq!(client.process().wait(), 3);
});

families!(
    a_listener_on_the_standard_streams_as_pid_1_ends_on_a_signal,
    |place| {
        let Some(server) = Init::sok(&["serve", &place.word(), "--stdio"]) else {
            return;
        };
        let _client = RawStream::connect(&Server::address_of(server.process()));
        server.signal(Signal::SIGTERM);
        assert_eq!(server.process().wait(), 143);
    }
);

families!(a_stop_of_pid_1_does_not_wait_for_dead_orphans, |place| {
    let script = "(sh -c 'kill -40 $$' >/dev/null &)
        (sleep 300 </dev/null >/dev/null &); echo ready; cat";
    let word = place.word();
    let arguments = [
        "serve", &word, "--grace", "5m", "--exec", "sh", "-c", script,
    ];
    for start in [Init::sok, Init::sok_without_proc] {
        let Some(server) = start(&arguments) else {
            return;
        };
        let mut client = RawStream::connect(&Server::address_of(server.process()));
        assert_eq!(client.line(), "ready\n");
        server.signal(Signal::SIGTERM);
        assert_eq!(client.cut(), b"");
        assert_eq!(server.process().wait(), 0);
    }
});
