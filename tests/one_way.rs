//! `--send-only` and `--receive-only` of `connect` and of `serve --stdio`.

use std::io::Write;
use std::net::Shutdown;
use std::thread;

use nix::sys::signal::Signal;

use crate::support::{
    Place, Process, RawListener, RawMessageListener, RawMessages, RawStream, Server, assert_same,
    noise,
};

/// A program of either command, and the stream of its raw peer.
fn streams(place: &Place, options: &[&str]) -> [(Process, RawStream); 2] {
    let listener = RawListener::bind(place);
    let client = Process::sok(&[&["connect", listener.address()], options].concat());
    let served = listener.accept();
    let server = Server::start(place, &[&["--stdio"], options].concat());
    let peer = RawStream::connect(server.address());
    [(client, served), (server.into_process(), peer)]
}

/// The same for messages. A datagram has passed, from `connect` or to it.
fn peers_of_messages(place: &Place, options: &[&str]) -> [(Process, RawMessages); 2] {
    let listener = RawMessageListener::bind(place);
    let mut client = Process::sok(&[&["connect", listener.address()], options].concat());
    client.write(b"first\n");
    let served = listener.accept();
    assert_eq!(served.receive(), b"first");
    let server = Server::start(place, &[&["--stdio"], options].concat());
    let peer = RawMessages::connect(server.address());
    peer.send(b"first");
    [(client, served), (server.into_process(), peer)]
}

families!(
    send_only_ends_with_its_input_although_the_peer_stays,
    |place| {
        let data = noise(100_000);
        for (program, mut peer) in streams(place, &["--send-only"]) {
            peer.send(b"this is discarded");
            let done = program.feed(&data);
            assert_eq!((done.code, &*done.stdout), (0, &b""[..]), "{}", done.stderr);
            // All is with the peer, and its end.
            assert_same(&peer.rest(), &data);
        }
    }
);

families!(a_peer_that_sends_on_gets_an_error_at_the_end, |place| {
    let listener = RawListener::bind(place);
    let call = Process::sok(&["call", listener.address(), "hello", "--no-reply"]);
    let called = (call, listener.accept());
    for (program, mut peer) in streams(place, &["--send-only"]).into_iter().chain([called]) {
        let mut sending = peer.twin();
        // The scope ends once a send has failed.
        thread::scope(|scope| {
            scope.spawn(move || while sending.write_all(&[b'x'; 10_000]).is_ok() {});
            let done = program.feed(b"hello\n");
            assert_eq!((done.code, &*done.stdout), (0, &b""[..]), "{}", done.stderr);
            assert_eq!(peer.take(6), b"hello\n");
        });
    }
});

messages!(
    messages_are_sent_only_and_what_comes_is_discarded,
    |place| {
        for (mut program, peer) in peers_of_messages(place, &["--send-only"]) {
            peer.send(b"this is discarded");
            peer.send(&vec![b'x'; 60_000]);
            program.write(b"one\n\ntwo\n");
            program.close_stdin();
            for message in ["one", "", "two"] {
                assert_eq!(peer.receive(), message.as_bytes());
            }
            if place.has_connection() {
                peer.assert_end();
            }
            assert_eq!(program.wait(), 0, "{}", program.stderr().text());
            assert_eq!(program.stdout().wait_closed(), b"");
        }
    }
);

families!(send_only_is_not_held_up_by_what_the_peer_sends, |place| {
    let data = noise(8 << 20);
    for (program, mut peer) in streams(place, &["--send-only"]) {
        thread::scope(|scope| {
            let sending = scope.spawn(|| program.feed(&data));
            // It sends all of this before it reads.
            peer.send(&data);
            peer.finish();
            assert_same(&peer.rest(), &data);
            assert_eq!(sending.join().unwrap().code, 0);
        });
    }
});

families!(send_only_goes_on_after_the_end_of_the_peer, |place| {
    for (mut program, mut peer) in streams(place, &["--send-only", "--trace"]) {
        peer.finish();
        let wanted = "a recv of 0 bytes";
        program.stderr().wait_until(wanted, |text| {
            let mut lines = text.lines();
            lines.any(|line| line.contains("recv(") && line.contains(") = 0 "))
        });
        program.write(b"later");
        assert_eq!(peer.take(5), b"later");
        program.close_stdin();
        assert_eq!(peer.rest(), b"");
        assert_eq!(program.wait(), 0, "{}", program.stderr().text());
    }
});

families!(send_only_waits_until_the_peer_has_all, |place| {
    let data = noise(8 << 20);
    for (program, mut peer) in streams(place, &["--send-only"]) {
        thread::scope(|scope| {
            let sending = scope.spawn(|| program.feed(&data));
            // It reads nothing but this for now.
            assert_same(&peer.take(1), &data[..1]);
            assert!(!sending.is_finished());
            assert_same(&peer.rest(), &data[1..]);
            assert_eq!(sending.join().unwrap().code, 0);
        });
    }
});

families!(send_only_to_a_peer_that_closes_is_exit_code_6, |place| {
    let data = noise(8 << 20);
    for (program, mut peer) in streams(place, &["--send-only"]) {
        thread::scope(|scope| {
            let sending = scope.spawn(|| program.feed(&data));
            assert_same(&peer.take(1), &data[..1]);
            drop(peer);
            let done = sending.join().unwrap();
            assert_eq!(done.code, 6, "{}", done.stderr);
        });
    }
});

families!(send_only_closes_its_output_at_once, |place| {
    for (program, _peer) in streams(place, &["--send-only"]) {
        assert_eq!(program.stdout().wait_closed(), b"");
        assert!(!program.has_ended());
    }
});

families!(receive_only_ends_with_the_peer_which_sees_no_end, |place| {
    let data = noise(1 << 20);
    for (program, mut peer) in streams(place, &["--receive-only"]) {
        peer.send(&data);
        program.stdout().wait_for_bytes(data.len());
        peer.socket().set_nonblocking(true).unwrap();
        let none = peer.try_rest().unwrap_err();
        assert_eq!(none.kind(), std::io::ErrorKind::WouldBlock);
        peer.socket().shutdown(Shutdown::Write).unwrap();
        peer.socket().set_nonblocking(false).unwrap();
        assert_eq!(peer.rest(), b"");
        let done = program.done();
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_same(&done.stdout, &data);
    }
});

families!(receive_only_leaves_the_input_to_others, |place| {
    let script = r#""$SOK" "$@" --receive-only; echo "left: $(cat)""#;
    let listener = RawListener::bind(place);
    let mut client = Process::sh(script, &["connect", listener.address()]);
    let served = listener.accept();
    let mut server = Process::sh(script, &["serve", &place.word(), "--stdio"]);
    let peer = RawStream::connect(&Server::address_of(&server));
    for (program, mut peer) in [(&mut client, served), (&mut server, peer)] {
        program.write(b"all of it");
        peer.send(b"received\n");
        drop(peer);
        program.close_stdin();
        assert_eq!(program.wait(), 0, "{}", program.stderr().text());
        let printed = program.stdout().wait_closed();
        assert_eq!(
            String::from_utf8(printed).unwrap(),
            "received\nleft: all of it\n"
        );
    }
});

families!(
    receive_only_from_a_peer_that_resets_is_exit_code_6,
    |place| {
        if !place.is_network() {
            return; // AF_UNIX has no reset without bytes that are left unread.
        }
        for (program, mut peer) in streams(place, &["--receive-only"]) {
            peer.send(b"half");
            program.stdout().wait_for("half");
            peer.reset();
            assert_eq!(program.wait(), 6, "{}", program.stderr().text());
        }
    }
);

datagrams!(receive_only_ends_when_nothing_more_comes, |place| {
    let options = ["--stdio", "--receive-only", "--idle-timeout", "200ms"];
    let server = Server::start(place, &options);
    let peer = RawMessages::connect(server.address());
    // It finds both at once.
    server.signal(Signal::SIGSTOP);
    peer.send(b"one");
    peer.send(b"two");
    server.signal(Signal::SIGCONT);
    assert_eq!(server.wait(), 0, "{}", server.stderr().text());
    assert_eq!(server.stdout().wait_closed(), b"one\ntwo\n");
});

forms!(a_sender_and_a_receiver_pass_all_of_the_input, |place| {
    let options = ["--stdio", "--receive-only", "--idle-timeout", "1s"];
    let server = Server::start(place, &options);
    let lines: String = (0..1000).map(|number| format!("{number}\n")).collect();
    let mut client = Process::sok(&["connect", server.address(), "--send-only"]);
    for (number, line) in lines.lines().enumerate() {
        client.write(format!("{line}\n").as_bytes());
        if !place.has_connection() && number % 100 == 0 {
            // UDP drops what comes too fast.
            server.stdout().wait_for(&format!("{line}\n"));
        }
    }
    client.close_stdin();
    assert_eq!(client.wait(), 0, "{}", client.stderr().text());
    assert_eq!(server.wait(), 0, "{}", server.stderr().text());
    assert_same(&server.stdout().wait_closed(), lines.as_bytes());
});

datagrams!(a_datagram_that_is_refused_is_exit_code_3, |place| {
    let nobody = place.nobody();
    let mut client = Process::sok(&["connect", &nobody.address, "--send-only"]);
    if place.is_network() {
        // The others cannot even connect.
        client.write(b"one\n");
    }
    assert_eq!(client.wait(), 3, "{}", client.stderr().text());
});
