//! `connect` and `call` on sockets that keep messages apart.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;
use sok::address::SocketType;
use sok::client::{CallOptions, Counter, Request, Until, call};
use sok::net::Stream;

use crate::support::{
    Done, Kind, Process, RawListener, RawMessageListener, Server, noise, sok, sok_with,
};

/// The sizes of messages that every type takes, around the sizes of buffers.
const SIZES: [usize; 6] = [0, 1, 8191, 8192, 20_000, 65_507];

/// Bytes of this number, each message with others.
fn message(size: usize) -> Vec<u8> {
    noise(size + 1)[1..].to_vec()
}

fn assert_done(done: &Done, stdout: impl AsRef<[u8]>) {
    assert_eq!((done.code, &*done.stderr), (0, ""));
    crate::support::assert_same(&done.stdout, stdout.as_ref());
}

fn assert_fails(done: &Done, code: i32, parts: &[&str]) {
    assert_eq!(done.code, code, "{}", done.stderr);
    for part in parts {
        assert!(done.stderr.contains(part), "{part:?}: {}", done.stderr);
    }
}

fn length_framed(messages: &[Vec<u8>]) -> Vec<u8> {
    let frame = |message: &Vec<u8>| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&length, &message[..]].concat()
    };
    messages.iter().flat_map(frame).collect()
}

messages!(
    a_call_sends_one_message_of_any_size_and_prints_one,
    |place| {
        let server = Server::start(place, &[]);
        for size in SIZES {
            let sent = message(size);
            let done = sok_with(&["call", server.address()], &sent);
            assert_done(&done, [&sent[..], b"\n"].concat());
            let done = sok_with(&["call", server.address(), "--framing", "length"], &sent);
            assert_done(&done, &sent);
        }
    }
);

messages!(connect_passes_messages_of_any_size_in_order, |place| {
    let server = Server::start(place, &[]);
    let input = length_framed(&SIZES.map(message));
    let done = sok_with(
        &["connect", server.address(), "--framing", "length"],
        &input,
    );
    assert_done(&done, &input);
});

messages!(connect_sends_each_line_as_a_message, |place| {
    let server = RawMessageListener::bind(place);
    let mut client = Process::sok(&["connect", server.address()]);
    client.write(b"one\n\ntwo\nunfinished");
    client.close_stdin();
    let peer = server.accept();
    for line in ["one", "", "two", "unfinished"] {
        assert_eq!(peer.receive(), line.as_bytes());
        peer.send(&[line.as_bytes(), b"!"].concat());
    }
    if place.has_connection() {
        // The end of the input is the end of the messages, and the client waits for that of the peer.
        peer.assert_end();
        peer.send(b"late");
        peer.finish();
        drop(peer);
        assert_done(&client.done(), "one!\n!\ntwo!\nunfinished!\nlate\n");
    } else {
        assert_done(&client.done(), "one!\n!\ntwo!\nunfinished!\n");
    }
});

messages!(a_received_message_is_printed_as_the_framing_says, |place| {
    let server = Server::start(place, &[]);
    for (options, input, output) in [
        (&[][..], &b"a\n\nb"[..], &b"a\n\nb\n"[..]),
        (&["--framing", "line"], b"a\nb\n", b"a\nb\n"),
        (&["--framing", "null"], b"a\nb\0\0c", b"a\nb\0\0c\0"),
        (&["--framing", "length"], b"\0\0\0\x01a", b"\0\0\0\x01a"),
        (&["--framing", "null", "--raw"], b"a\0b\0", b"ab"),
    ] {
        let arguments = [&["connect", server.address()], options].concat();
        assert_done(&sok_with(&arguments, input), output);
    }
});

messages!(
    a_message_that_ends_with_the_delimiter_gets_no_second_one,
    |place| {
        let server = Server::start(place, &["--suffix", "\n"]);
        let call = ["call", server.address(), "one"];
        assert_done(&sok(&call), "one\n");
        let connect = ["connect", server.address()];
        assert_done(&sok_with(&connect, b"one\ntwo\n"), "one\ntwo\n");
        let conversation = [&connect[..], &["--prompt", "> "]].concat();
        let done = sok_with(&conversation, b"one\n");
        assert_eq!((done.code, &*done.text()), (0, "one\n"));
        for (framing, input, output) in [
            ("null", &b"one\0"[..], &b"one\n\0"[..]),
            ("length", b"\0\0\0\x03one", b"\0\0\0\x04one\n"),
        ] {
            let framed = [&connect[..], &["--framing", framing]].concat();
            assert_done(&sok_with(&framed, input), output);
        }
    }
);

messages!(input_that_ends_in_the_middle_of_a_message_fails, |place| {
    let server = Server::start(place, &[]);
    let arguments = ["connect", server.address(), "--framing", "length"];
    let done = sok_with(&arguments, b"\0\0\0\x02a");
    assert_fails(&done, 1, &["standard input", "middle of a message"]);
});

messages!(
    a_message_above_the_limit_is_an_error_that_names_it,
    |place| {
        let server = Server::start(place, &[]);
        let limited = ["--max-message", "10"];
        let call = [&["call", server.address(), "more than ten"], &limited[..]].concat();
        assert_fails(
            &sok(&call),
            1,
            &[server.address(), "10 bytes", "--max-message"],
        );

        let server = RawMessageListener::bind(place);
        let connect = [&["connect", server.address()], &limited[..]].concat();
        let mut client = Process::sok(&connect);
        client.write(b"hello\n");
        let peer = server.accept();
        assert_eq!(peer.receive(), b"hello");
        peer.send(b"more than ten");
        if place.has_connection() {
            let done = client.done();
            assert_fails(&done, 1, &[server.address(), "10 bytes", "--max-message"]);
            assert_eq!(done.text(), "");
        } else {
            // The others are independent of it.
            peer.send(b"next");
            client.stdout().wait_for("next\n");
            client.close_stdin();
            let done = client.done();
            assert_fails(&done, 1, &["10 bytes", "messages lost: 1"]);
            assert_eq!(done.text(), "next\n");
        }

        let done = sok_with(&connect, b"more than ten\n");
        assert_fails(&done, 1, &["standard input", "10 bytes"]);
    }
);

messages!(
    a_message_that_the_kernel_does_not_take_is_an_error_with_its_size,
    |place| {
        let server = Server::start(place, &[]);
        let large = vec![b'x'; 4 << 20];
        let done = sok_with(&["call", server.address(), "--max-message", "8MiB"], &large);
        assert_fails(&done, 1, &[server.address(), "4194304 bytes"]);

        let input = [b"a\n", &large[..], b"\nb\n"].concat();
        let done = sok_with(
            &["connect", server.address(), "--max-message", "8MiB"],
            &input,
        );
        assert_fails(&done, 1, &["4194304 bytes"]);
        if !place.has_connection() {
            assert!(done.stderr.contains("messages lost: 1"), "{}", done.stderr);
            assert_eq!(done.text(), "a\nb\n");
        }
    }
);

messages!(a_conversation_sends_a_line_as_a_message, |place| {
    let server = RawMessageListener::bind(place);
    let mut client = Process::sok(&["connect", server.address(), "--prompt", "> "]);
    client.write(b"one\n\n");
    let peer = server.accept();
    assert_eq!(peer.receive(), b"one");
    peer.send(b"first");
    peer.send(b"");
    assert_eq!(peer.receive(), b"");
    peer.send(b"a\nb");
    client.stdout().wait_for("a\nb\n");
    client.close_stdin();
    if place.has_connection() {
        peer.assert_end();
    }
    drop(peer);
    let done = client.done();
    assert_eq!((done.code, &*done.text()), (0, "first\n\na\nb\n"));
});

datagrams!(
    connect_ends_when_no_datagram_comes_after_its_input,
    |place| {
        let server = RawMessageListener::bind(place);
        for options in [&[][..], &["--idle-timeout", "50ms"]] {
            let done = sok_with(&[&["connect", server.address()], options].concat(), b"a\n");
            assert_done(&done, "");
            assert_eq!(server.accept().receive(), b"a");
        }
    }
);

datagrams!(an_idle_time_with_open_input_is_an_error, |place| {
    let server = RawMessageListener::bind(place);
    let client = Process::sok(&["connect", server.address(), "--idle-timeout", "50ms"]);
    assert_eq!(client.wait(), 124);
    assert!(client.said().contains(server.address()));
});

messages!(
    a_call_ends_with_the_first_message_and_skips_a_greeting,
    |place| {
        let server = RawMessageListener::bind(place);
        let client = Process::sok(&["call", server.address(), "request", "--skip", "2"]);
        // A datagram server knows no client before its request.
        let accepts_first = place.has_connection();
        let peer = server.accept();
        if !accepts_first {
            assert_eq!(peer.receive(), b"request");
        }
        peer.send(b"greeting");
        peer.send(b"");
        if accepts_first {
            assert_eq!(peer.receive(), b"request");
        }
        peer.send(b"reply");
        assert_done(&client.done(), "reply\n");
    }
);

forms!(
    a_call_without_a_reply_ends_once_its_message_is_sent,
    |place| {
        let server = Server::start(place, &["--discard", "--once"]);
        let done = sok(&["call", "--no-reply", server.address(), "READY=1"]);
        assert_done(&done, "");
    }
);

messages!(
    a_call_without_a_reply_sends_its_message_unchanged,
    |place| {
        let server = RawMessageListener::bind(place);
        let client = Process::sok(&["call", "--no-reply", server.address(), "READY=1"]);
        let peer = server.accept();
        assert_eq!(peer.receive(), b"READY=1");
        if place.has_connection() {
            peer.assert_end();
        }
        assert_done(&client.done(), "");
    }
);

#[tokio::test]
async fn bytes_left_unread_do_not_hide_a_message_without_a_reply() {
    for socket_type in [SocketType::Stream, SocketType::SeqPacket] {
        let (client, peer) = Stream::pair_of(socket_type).unwrap();
        peer.send_all(b"a greeting").await.unwrap();
        let address = "unix:@peer".parse().unwrap();
        let mut request = Request::new("message");
        (request.bare, request.finish) = (true, true);
        let mut options = CallOptions::default();
        options.until = Until::Nothing;
        let (mut output, counter) = (Vec::new(), Counter::default());
        let called = call(&client, &address, request, options, &mut output, &counter);
        called.await.unwrap();
        drop(client);
        assert_eq!(output, b"");
        let mut buffer = [0; 64];
        let received = peer.receive(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..received.count()], b"message", "{socket_type}");
        assert!(peer.receive(&mut buffer).await.unwrap().is_end());
    }
}

families!(a_stream_call_without_a_reply_half_closes, |place| {
    let server = RawListener::bind(place);
    let client = Process::sok(&["call", "--no-reply", server.address(), "message"]);
    let mut peer = server.accept();
    assert_eq!(peer.rest(), b"message\n");
    assert_done(&client.done(), "");
});

datagrams!(a_call_sends_again_while_nothing_has_come, |place| {
    let server = RawMessageListener::bind(place);
    let client = Process::sok(&["call", server.address(), "request", "--resend", "10ms"]);
    let peer = server.accept();
    for _ in 0..3 {
        assert_eq!(peer.receive(), b"request");
    }
    peer.send(b"reply");
    assert_done(&client.done(), "reply\n");
});

forms!(
    an_option_that_means_nothing_for_the_type_is_refused,
    |place| {
        let server = Server::start(place, &[]);
        let refused = |arguments: &[&str], option: &str| {
            let done = sok_with(arguments, b"a");
            assert_fails(&done, 2, &[server.address(), option]);
            assert_eq!(done.text(), "");
        };
        let call = ["call", server.address(), "a"];
        if place.has_connection() {
            refused(&[&call[..], &["--resend", "1s"]].concat(), "--resend");
        }
        if place.keeps_messages() {
            for options in [
                &["--lines", "1"][..],
                &["--until", "END"],
                &["--bytes", "1"],
                &["--framing", "eof"],
            ] {
                refused(&[&call[..], options].concat(), options[0]);
            }
        } else {
            for options in [&["--framing", "line"][..], &["--max-message", "1KiB"]] {
                let connect = [&["connect", server.address()], options].concat();
                refused(&connect, options[0]);
            }
        }
    }
);

messages!(no_server_is_exit_code_3, |place| {
    let nobody = place.nobody();
    for arguments in [
        &["call", &*nobody.address, "hello"][..],
        &["connect", &nobody.address],
        &["connect", &nobody.address, "--prompt", "> "],
    ] {
        let done = sok_with(arguments, b"hello\n");
        assert_fails(&done, 3, &[&nobody.address, "start the server"]);
    }
});

messages!(a_call_is_retried_until_a_server_listens, |place| {
    let nobody = place.nobody();
    let word = nobody.address.clone();
    let arguments = [
        "call",
        &word,
        "hello",
        "--retry-for",
        "60s",
        "-v",
        "--trace",
    ];
    let client = Process::sok(&arguments);
    match place.is_network() {
        // Only its refusal has a datagram sent again.
        true => client.stderr().wait_for_count("send(", 2),
        false => client.stderr().wait_for("waiting"),
    };
    drop(nobody);
    let _server = Server::at(&word, &[]);
    let done = client.done();
    assert_eq!(
        (done.code, &*done.text()),
        (0, "hello\n"),
        "{}",
        done.stderr
    );
});

messages!(a_server_that_has_died_is_exit_code_3, |place| {
    let server = Server::start(place, &[]);
    server.signal(Signal::SIGKILL);
    server.wait();
    let done = sok(&["call", server.address(), "hello"]);
    assert_fails(&done, 3, &[server.address(), "no server is listening"]);
});

messages!(a_peer_that_ends_before_its_reply_breaks_the_call, |place| {
    if !place.has_connection() {
        return;
    }
    let server = RawMessageListener::bind(place);
    let client = Process::sok(&["call", server.address(), "hello"]);
    let peer = server.accept();
    assert_eq!(peer.receive(), b"hello");
    drop(peer);
    assert_fails(
        &client.done(),
        6,
        &[server.address(), "before the reply was complete"],
    );
});

forms!(a_socket_file_of_another_type_is_named, |place| {
    let server = Server::start(place, &[]);
    if place.is_network() || !server.address().contains('/') {
        return;
    }
    for (prefix, name) in [
        ("unix", "stream"),
        ("unixpacket", "seqpacket"),
        ("unixgram", "datagram"),
    ] {
        if prefix == place.prefix() {
            continue;
        }
        let word = format!("{prefix}:{}", server.path());
        let done = sok(&["call", &word, "hello"]);
        let cause = format!("not a {name} socket");
        assert_fails(&done, 1, &[&word, &cause, server.address()]);
    }
});

datagrams!(a_client_has_the_name_that_it_is_bound_to, |place| {
    let server = RawMessageListener::bind(place);
    let own = place.word();
    // The word may leave the type to that of the target.
    for own in [own.clone(), own.replacen(place.prefix(), place.family(), 1)] {
        let client = Process::sok(&["call", server.address(), "hello", "--bind", &own]);
        let peer = server.accept();
        assert_eq!(peer.receive(), b"hello");
        peer.send(b"reply");
        assert_done(&client.done(), "reply\n");
    }
});

datagrams!(
    a_client_gets_no_name_that_its_server_could_not_answer,
    |place| {
        if place.kind() != Kind::Unix {
            return; // Only a file is in a directory.
        }
        let server = Server::start(place, &[]);
        let open = place.path("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let own = open.join("client");
        let done = sok(&[
            "call",
            server.address(),
            "hello",
            "--bind",
            &own.to_string_lossy(),
        ]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(
            done.stderr.contains("no server could answer"),
            "{}",
            done.stderr
        );
        assert!(!own.exists());
    }
);
