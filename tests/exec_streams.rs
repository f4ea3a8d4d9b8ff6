//! `serve --exec`: what passes between a client and the two streams of its program.

use nix::sys::signal::Signal;

use crate::support::{
    Place, Process, RawStream, Server, assert_same, can_inject, noise, sok_with_fault,
};

/// Serves a script of the shell to each client.
fn start(place: &Place, options: &[&str], script: &str) -> Server {
    Server::start(place, &[options, &["--exec", "sh", "-c", script]].concat())
}

families!(
    a_reply_arrives_complete_although_the_request_was_not_read,
    |place| {
        let server = start(place, &["-v"], "head -c 4000000 /dev/zero");
        let mut client = RawStream::connect(server.address());
        client.send(&noise(100_000));
        assert_eq!(client.rest().len(), 4_000_000);
        client.finish();
        server.stderr().wait_for("sent=4000000");
    }
);

families!(a_client_that_still_sends_gets_the_whole_reply, |place| {
    let server = start(place, &["-v", "--grace", "5m"], "echo done");
    let data = noise(8 << 20);
    assert_eq!(
        RawStream::connect(server.address()).exchange(&data),
        b"done\n"
    );
    server.stderr().wait_for("received=8388608 sent=5");
});

families!(
    a_program_may_close_its_output_and_continue_to_read,
    |place| {
        let script = r#"echo hi; exec 1>&-; read line; echo "it read $line" >&2"#;
        let server = start(place, &[], script);
        let mut client = RawStream::connect(server.address());
        // The program runs on: it waits for us.
        assert_eq!(client.rest(), b"hi\n");
        client.send(b"more\n");
        server.stderr().wait_for("it read more\n");
    }
);

families!(a_program_may_close_both_streams_and_continue, |place| {
    let server = start(place, &[], "echo hi; exec 0<&- 1>&-; exec sleep 300");
    let mut client = RawStream::connect(server.address());
    assert_eq!(client.rest(), b"hi\n");
    // This is not read, and blocks nothing.
    client.send(&noise(8 << 20));
    assert!(!server.has_ended());
});

families!(a_program_that_closed_its_input_may_still_answer, |place| {
    let script =
        r#"exec 3<&0 0<&-; read go <&3; exec 3<&-; echo closed >&2; head -c 3000000 /dev/zero"#;
    let server = start(place, &[], script);
    let mut client = RawStream::connect(server.address());
    client.send(b"go\n");
    server.stderr().wait_for("closed\n");
    assert_eq!(client.exchange(&noise(8 << 20)).len(), 3_000_000);
});

families!(
    end_of_file_comes_when_the_last_process_closes_the_output,
    |place| {
        let script = r#"exec 3<&0; { read line; echo "late $line"; } <&3 & echo hi"#;
        let server = start(place, &["-v"], script);
        let mut client = RawStream::connect(server.address());
        assert_eq!(client.line(), "hi\n");
        server.stderr().wait_for("program ended");
        client.send(b"news\n");
        assert_eq!(client.rest(), b"late news\n");
    }
);

families!(bytes_to_and_from_a_program_are_counted, |place| {
    let server = start(place, &["-v"], "cat; echo bye");
    let mut client = RawStream::connect(server.address());
    client.send(b"hello");
    assert_eq!(client.take(5), b"hello");
    server.signal(Signal::SIGUSR1);
    let open = server.stderr().wait_for("sok: open connection=1");
    assert!(open.contains("received=5 sent=5"), "{open}");
    assert_eq!(client.exchange(b""), b"bye\n");
    server.stderr().wait_for("received=5 sent=9");
});

families!(a_stream_through_a_program_comes_back_complete, |place| {
    let server = start(place, &[], "tr a-z A-Z | tr A-Z a-z");
    let data: Vec<u8> = noise(8 << 20);
    let want: Vec<u8> = data.iter().map(u8::to_ascii_lowercase).collect();
    assert_same(&RawStream::connect(server.address()).exchange(&data), &want);
});

families!(
    a_client_that_does_not_close_is_cut_off_after_the_grace,
    |place| {
        let server = start(place, &["--once", "--grace", "50ms"], "echo hi");
        let mut client = RawStream::connect(server.address());
        assert_eq!(client.rest(), b"hi\n");
        assert_eq!(server.wait(), 0, "{}", server.stderr().text());
    }
);

families!(
    a_program_whose_client_resets_gets_end_of_file_and_sigpipe,
    |place| {
        if !place.is_network() {
            // AF_UNIX has no reset.
            return;
        }
        // The shell has no more to read, and is ended by SIGPIPE when it writes.
        let script = "read line; cat >/dev/null; while echo x; do :; done";
        let server = start(place, &["-v"], script);
        let mut client = RawStream::connect(server.address());
        client.send(b"begin\n");
        client.reset();
        let said = server.stderr().wait_for(" failed connection=1");
        assert!(said.contains("program ended"), "{said}");
    }
);

families!(
    clients_beyond_the_descriptors_wait_in_the_backlog,
    |place| {
        let script = r#"ulimit -n 64; exec "$SOK" serve "$1" -v --exec cat"#;
        let server = Server::of(Process::sh(script, &[&place.word()]));
        server
            .stderr()
            .wait_for("limited by ulimit -n descriptors=64");
        let mut clients: Vec<RawStream> = (0..40)
            .map(|_| RawStream::connect(server.address()))
            .collect();
        for client in &mut clients {
            client.send(b"ping\n");
            client.finish();
        }
        // Each has its turn when others have ended.
        for client in clients {
            assert_eq!({ client }.rest(), b"ping\n");
        }
    }
);

families!(a_stream_passes_a_program_without_splice, |place| {
    if !can_inject() {
        return;
    }
    let data = noise(2 << 20);
    for fault in ["splice:error=EPERM", "splice:error=ENOSYS:when=9+"] {
        let word = place.word();
        let arguments = ["serve", &word, "--once", "--exec", "cat"];
        let server = Server::of(sok_with_fault(fault, &arguments));
        assert_same(&RawStream::connect(server.address()).exchange(&data), &data);
        assert_eq!(server.wait(), 0, "{fault}: {}", server.said());
    }
});
