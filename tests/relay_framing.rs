//! `sok relay --framing`: messages through a stream, and back.

use std::thread;

use crate::support::{
    Form, Kind, Place, RawListener, RawMessageListener, RawMessages, RawStream, Server,
    assert_same, noise, run, sok,
};

/// Makes a test of each form that keeps messages apart, whose body sees every kind of stream too.
macro_rules! bridges {
    ($fact:ident, |$place:ident, $stream:ident| $body:block) => {
        messages!($fact, |$place| {
            for kind in [Kind::Inet, Kind::Inet6, Kind::Unix, Kind::Abstract] {
                run(kind, |$stream: &Place| $body);
            }
        });
    };
}

bridges!(messages_pass_through_a_stream_and_back, |place, stream| {
    for framing in ["line", "null", "length"] {
        let backend = RawMessageListener::bind(place);
        let options = ["--framing", framing];
        let out = Server::relay(stream, backend.address(), &options);
        let into = Server::relay(place, out.address(), &options);
        let client = RawMessages::connect(into.address());
        client.send(b"first");
        let served = backend.accept();
        assert_eq!(served.receive(), b"first");
        for length in [0, 1, 8191, 8192, 20_000, 65_507, 0] {
            let mut message = noise(length);
            if framing != "length" {
                message.retain(|byte| !b"\n\0".contains(byte));
            }
            client.send(&message);
            assert_same(&served.receive(), &message);
            served.send(&message);
            served.send(b"and one more");
            assert_same(&client.receive(), &message);
            assert_eq!(client.receive(), b"and one more");
        }
    }
});

bridges!(a_stream_gets_each_message_in_a_frame, |place, stream| {
    let cases: [(&str, &[u8], &[u8]); 3] = [
        ("line", b"one\n\nended\nlast\n", b"a\n\nb\n"),
        ("null", b"one\0\0ended\n\0last\0", b"a\0\0b\0"),
        (
            "length",
            b"\0\0\0\x03one\0\0\0\0\0\0\0\x06ended\n\0\0\0\x04last",
            b"\0\0\0\x01a\0\0\0\0\0\0\0\x01b",
        ),
    ];
    for (framing, frames, answer) in cases {
        let backend = RawListener::bind(stream);
        let relay = Server::relay(place, backend.address(), &["--framing", framing]);
        let client = RawMessages::connect(relay.address());
        // The newline at the end of a message ends its line.
        for message in [&b"one"[..], b"", b"ended\n", b"last"] {
            client.send(message);
        }
        let mut served = backend.accept();
        assert_eq!(served.take(frames.len()), frames, "{framing}");
        let (part, rest) = answer.split_at(1);
        served.send(part);
        served.send(rest);
        for message in [&b"a"[..], b"", b"b"] {
            assert_eq!(client.receive(), message, "{framing}");
        }
    }
});

bridges!(
    a_message_with_the_delimiter_in_it_is_no_silent_loss,
    |place, stream| {
        let backend = RawListener::bind(stream);
        let options = ["--framing", "line", "--once"];
        let relay = Server::relay(place, backend.address(), &options);
        let client = RawMessages::connect(relay.address());
        client.send(b"before");
        let mut served = backend.accept();
        assert_eq!(served.take(7), b"before\n");
        client.send(b"two\nlines");
        let code = match place.has_connection() {
            true => 1,
            false => {
                client.send(b"after");
                assert_eq!(served.take(6), b"after\n");
                relay.terminate();
                6
            }
        };
        assert_eq!(relay.wait(), code, "{}", relay.said());
        assert!(relay.said().contains("delimiter"), "{}", relay.said());
    }
);

bridges!(
    a_slow_stream_blocks_its_senders_and_loses_nothing,
    |place, stream| {
        if place.is_network() {
            // UDP drops what its receiver has no room for.
            return;
        }
        const COUNT: usize = 4000;
        let line = |number: usize| format!("{number} {}", "x".repeat(2000));
        let backend = RawListener::bind(stream);
        let relay = Server::relay(place, backend.address(), &["--framing", "line"]);
        let client = RawMessages::connect(relay.address());
        thread::scope(|scope| {
            let sender = scope.spawn(move || {
                for number in 0..COUNT {
                    client.send(line(number).as_bytes());
                }
                client
            });
            let mut served = backend.accept();
            for number in 0..COUNT {
                let line = line(number) + "\n";
                assert_same(&served.take(line.len()), line.as_bytes());
            }
            sender.join().unwrap();
        });
    }
);

bridges!(
    a_stream_that_ends_in_a_message_is_an_error,
    |place, stream| {
        let backend = RawMessageListener::bind(place);
        let relay = Server::relay(stream, backend.address(), &["--framing", "line", "--once"]);
        let mut client = RawStream::connect(relay.address());
        client.send(b"whole\nhalf");
        client.finish();
        assert_eq!(backend.accept().receive(), b"whole");
        assert_eq!(relay.wait(), 6, "{}", relay.said());
        assert!(relay.said().contains("after 4 bytes"), "{}", relay.said());
    }
);

bridges!(
    a_message_above_the_limit_ends_its_stream,
    |place, stream| {
        let backend = RawMessageListener::bind(place);
        let options = ["--framing", "length", "--max-message", "10", "--once"];
        let relay = Server::relay(stream, backend.address(), &options);
        let mut client = RawStream::connect(relay.address());
        client.send(b"\0\0\0\x0aten bytes!\0\0\0\x0b");
        assert_eq!(backend.accept().receive(), b"ten bytes!");
        assert_eq!(relay.wait(), 1, "{}", relay.said());
        for said in ["limit of 10 bytes", "--max-message"] {
            assert!(relay.said().contains(said), "{}", relay.said());
        }
    }
);

bridges!(
    an_answer_after_the_half_close_of_a_stream_arrives,
    |place, stream| {
        let backend = RawMessageListener::bind(place);
        let options = [
            "--framing",
            "line",
            "--once",
            "--half-close-timeout",
            "100ms",
        ];
        // A datagram target has no end, which the limit makes.
        let options = match place.has_connection() {
            true => &options[..3],
            false => &options[..],
        };
        let relay = Server::relay(stream, backend.address(), options);
        let mut client = RawStream::connect(relay.address());
        client.send(b"request\n");
        client.finish();
        let served = backend.accept();
        assert_eq!(served.receive(), b"request");
        if place.has_connection() {
            served.assert_end();
        }
        served.send(b"answer");
        drop(served);
        assert_eq!(client.rest(), b"answer\n");
        assert_eq!(relay.wait(), 0, "{}", relay.said());
    }
);

bridges!(
    a_stop_half_closes_the_stream_and_passes_its_last_answer,
    |place, stream| {
        if place.has_connection() {
            return;
        }
        let backend = RawListener::bind(stream);
        let relay = Server::relay(place, backend.address(), &["--framing", "line"]);
        let client = RawMessages::connect(relay.address());
        client.send(b"request");
        let mut served = backend.accept();
        assert_eq!(served.take(8), b"request\n");
        relay.terminate();
        assert_eq!(served.rest(), b"");
        served.send(b"the answer\n");
        drop(served);
        assert_eq!(client.receive(), b"the answer");
        assert_eq!(relay.wait(), 0, "{}", relay.said());
    }
);

bridges!(
    a_message_that_the_target_cannot_take_is_no_silent_loss,
    |place, stream| {
        let backend = RawMessageListener::bind(place);
        let options = ["--framing", "length", "--max-message", "8MiB", "--once"];
        let options = [&options[..], &["--half-close-timeout", "100ms"]].concat();
        let relay = Server::relay(stream, backend.address(), &options);
        let mut client = RawStream::connect(relay.address());
        client.send(b"\0\0\0\x06before");
        let served = backend.accept();
        assert_eq!(served.receive(), b"before");
        // More than a relay makes room for.
        client.send(&(4_u32 << 20).to_be_bytes());
        client.send(&vec![b'x'; 4 << 20]);
        let code = match place.has_connection() {
            true => 1,
            false => {
                client.send(b"\0\0\0\x05after");
                assert_eq!(served.receive(), b"after");
                client.finish();
                6
            }
        };
        assert_eq!(relay.wait(), code, "{}", relay.said());
        assert!(relay.said().contains("4194304 bytes"), "{}", relay.said());
    }
);

bridges!(a_bridge_needs_a_framing, |place, stream| {
    let (own, target) = (place.word(), stream.nobody());
    for (listen, target) in [
        (&own, &target.address),
        (&stream.word(), &place.nobody().address),
    ] {
        let done = sok(&["relay", listen, target]);
        assert_eq!(done.code, 2, "{}", done.stderr);
        for said in ["--framing line", "keeps messages apart"] {
            assert!(done.stderr.contains(said), "{}", done.stderr);
        }
    }
});

#[test]
fn options_of_messages_are_refused_where_they_mean_nothing() {
    let refused: [(&[&str], &str); 6] = [
        (&["unix:@a", "unix:@b", "--framing", "line"], "--framing"),
        (
            &["unixgram:@a", "unixpacket:@b", "--framing", "line"],
            "--framing",
        ),
        (
            &["unix:@a", "tcp:[::1]:9", "--max-message", "1KiB"],
            "--max-message",
        ),
        (&["udp:127.0.0.1:0", "unixgram:@b", "--copy"], "--copy"),
        (
            &["udp:127.0.0.1:0", "unix:@b", "--framing", "line", "--copy"],
            "--copy",
        ),
        (&["unix:@a", "unixgram:@b", "--framing", "chunk"], "chunk"),
    ];
    for (words, named) in refused {
        let done = sok(&[&["relay"], words].concat());
        assert_eq!(done.code, 2, "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(named), "{words:?}: {}", done.stderr);
    }
}

#[test]
fn one_relay_takes_streams_and_messages() {
    let place = Place::new(Kind::Unix);
    let messages = Place::new(Form {
        kind: Kind::Unix,
        socket_type: sok::address::SocketType::Datagram,
    });
    let backend = RawListener::bind(&place);
    let word = messages.word();
    let options = ["--framing", "line", "--listen", &word];
    let relay = Server::relay(&place, backend.address(), &options);
    relay.stderr().wait_for(&word);
    let mut stream = RawStream::connect(relay.address());
    stream.send(b"not framed\nagain");
    assert_eq!(backend.accept().take(16), b"not framed\nagain");
    let client = RawMessages::connect(&word);
    client.send(b"a message");
    assert_eq!(backend.accept().take(10), b"a message\n");
}
