//! `serve --stdio` on sockets that keep messages apart.

use sok::address::SocketType;

use crate::support::{
    Kind, Place, Process, RawMessages, Server, assert_same, noise, run, sok_with,
};

fn start(place: &Place, options: &[&str]) -> Server {
    Server::start(place, &[&["--stdio"], options].concat())
}

fn length_framed(messages: &[Vec<u8>]) -> Vec<u8> {
    let frame = |message: &Vec<u8>| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&length, &message[..]].concat()
    };
    messages.iter().flat_map(frame).collect()
}

messages!(messages_of_any_size_pass_both_ways, |place| {
    let sizes = [1, 0, 8191, 8192, 20_000, 65_507];
    let all = length_framed(&sizes.map(|size| noise(size + 1)[1..].to_vec()));
    let options = ["--framing", "length", "--idle-timeout", "2s"];
    let server = start(place, &options);
    let address = server.address().to_owned();
    let input = all.clone();
    let client = std::thread::spawn(move || {
        // Nothing ends it on a datagram socket before the server has answered.
        let words = [
            "connect",
            &address,
            "--framing",
            "length",
            "--idle-timeout",
            "2s",
        ];
        sok_with(&words, &input)
    });
    let done = server.into_process().feed(&all);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_same(&done.stdout, &all);
    let done = client.join().unwrap();
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_same(&done.stdout, &all);
});

messages!(
    each_line_is_a_message_and_the_last_one_may_be_open,
    |place| {
        let mut server = start(place, &[]);
        let peer = RawMessages::connect(server.address());
        peer.send(b"a\nb");
        server.stdout().wait_for("a\nb\n");
        server.write(b"one\n\nunfinished");
        server.close_stdin();
        for line in ["one", "", "unfinished"] {
            assert_eq!(peer.receive(), line.as_bytes());
        }
        if place.has_connection() {
            peer.assert_end();
        }
    }
);

messages!(messages_can_be_printed_without_a_frame, |place| {
    let server = start(place, &["--raw"]);
    let peer = RawMessages::connect(server.address());
    peer.send(b"a");
    peer.send(b"b\n");
    server.stdout().wait_for("ab\n");
});

datagrams!(a_session_ends_when_nothing_comes_after_the_input, |place| {
    let script = r#"exec "$SOK" serve "$1" --stdio --idle-timeout 200ms </dev/null"#;
    let server = Server::of(Process::sh(script, &[&place.word()]));
    let peer = RawMessages::connect(server.address());
    peer.send(b"one");
    peer.send(b"two");
    let done = server.into_process().done();
    assert_eq!(
        (done.code, &*done.text()),
        (0, "one\ntwo\n"),
        "{}",
        done.stderr
    );
});

datagrams!(only_the_first_peer_is_served, |place| {
    let mut server = start(place, &["-v", "--idle-timeout", "2s"]);
    let first = RawMessages::connect(server.address());
    first.send(b"first");
    server.stdout().wait_for("first\n");
    // A socket file is removed, so that nobody comes any more.
    let second = RawMessages::try_connect(server.address());
    if let Ok(second) = &second {
        assert_ne!(place.kind(), Kind::Unix);
        second.send(b"second");
    }
    server.write(b"reply\n");
    assert_eq!(first.receive(), b"reply");
    first.send(b"more");
    server.stdout().wait_for("first\nmore\n");
    server.close_stdin();
    assert_eq!(server.wait(), 0, "{}", server.stderr().text());
    assert_eq!(server.stdout().wait_closed(), b"first\nmore\n");
    if second.is_ok() {
        let said = server.said();
        assert!(
            said.contains("were not accepted") && said.contains("datagrams=1"),
            "{said}"
        );
    }
});

datagrams!(
    a_peer_without_a_name_is_heard_and_cannot_be_answered,
    |place| {
        if place.is_network() {
            return;
        }
        let mut server = start(place, &["--idle-timeout", "2s"]);
        let peer = RawMessages::connect_unnamed(server.address());
        peer.send(b"hello");
        server.stdout().wait_for("hello\n");
        server.write(b"reply\n");
        let said = server
            .stderr()
            .wait_for("a peer without a name cannot be answered");
        assert!(said.contains(server.address()), "{said}");
        server.close_stdin();
        assert_eq!(server.wait(), 6, "{}", server.stderr().text());
    }
);

datagrams!(a_datagram_that_cannot_be_sent_is_counted, |place| {
    let options = ["--idle-timeout", "2s", "--max-message", "8MiB"];
    let mut server = start(place, &options);
    let peer = RawMessages::connect(server.address());
    peer.send(b"hello");
    server.stdout().wait_for("hello\n");
    server.write(&[&vec![b'x'; 4 << 20][..], b"\nnext\n"].concat());
    assert_eq!(peer.receive(), b"next");
    server.close_stdin();
    assert_eq!(server.wait(), 6, "{}", server.stderr().text());
    assert!(server.said().contains("a datagram was not delivered"));
});

messages!(
    a_message_of_the_input_above_the_limit_is_an_error,
    |place| {
        let mut server = start(place, &["--max-message", "10"]);
        let peer = RawMessages::connect(server.address());
        peer.send(b"hello");
        server.stdout().wait_for("hello\n");
        server.write(b"more than ten\n");
        assert_eq!(server.wait(), 1);
        let said = server.said();
        assert!(
            said.contains("standard input") && said.contains("10 bytes"),
            "{said}"
        );
    }
);

#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    run(Kind::Inet.with_type(SocketType::Datagram), |_| {
        let process = Process::sok(&["serve", "udp4:0.0.0.0:0", "--stdio"]);
        let address = Server::address_of(&process);
        let port = address.rsplit_once(':').unwrap().1;
        let mut server = Server::of(process);
        // The peer takes no datagram from another address.
        let peer = RawMessages::connect(&format!("udp4:127.0.0.2:{port}"));
        peer.send(b"hello");
        server.stdout().wait_for("hello\n");
        server.write(b"reply\n");
        assert_eq!(peer.receive(), b"reply");
    });
}
