//! The communication loop: what a message is, and what is answered to it.

use crate::support::{Place, RawStream, Server, assert_same, noise, resident_kib, sok};

/// A message in each framing's frame, as the peer writes it.
fn framed(framing: &str, message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    if framing == "length" {
        frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    }
    frame.extend(message);
    match framing {
        "line" => frame.push(b'\n'),
        "null" => frame.push(0),
        _ => {}
    }
    frame
}

const FRAMINGS: [&str; 3] = ["line", "null", "length"];

families!(a_server_echoes_by_default, |place| {
    for options in [&[][..], &["--echo"]] {
        let server = Server::start(place, options);
        assert_eq!(
            RawStream::connect(server.address()).exchange("你好\0\n".as_bytes()),
            "你好\0\n".as_bytes()
        );
    }
});

families!(a_chunk_comes_back_with_the_suffix, |place| {
    let server = Server::start(place, &["--suffix", " — 好"]);
    let mut client = RawStream::connect(server.address());
    for message in ["hello", "你", "\n\0"] {
        let want = format!("{message} — 好");
        client.send(message.as_bytes());
        assert_eq!(client.take(want.len()), want.as_bytes());
    }
    client.finish();
    assert_eq!(client.rest(), b"");
});

families!(
    each_message_comes_back_with_the_suffix_in_its_own_frame,
    |place| {
        for framing in FRAMINGS {
            let server = Server::start(place, &["--framing", framing, "--suffix", "!"]);
            let messages: [&[u8]; 5] = [b"one", b"", "你好".as_bytes(), b"\xff\xfe", b"last"];
            let (mut sent, mut want) = (Vec::new(), Vec::new());
            for message in messages {
                sent.extend(framed(framing, message));
                want.extend(framed(framing, &[message, b"!"].concat()));
            }
            assert_eq!(
                RawStream::connect(server.address()).exchange(&sent),
                want,
                "{framing}"
            );
        }
    }
);

families!(
    a_delimiter_of_another_framing_is_part_of_the_message,
    |place| {
        for (framing, message) in [
            ("line", &b"a\0b\r"[..]),
            ("null", b"a\nb\r\n"),
            ("length", b"\0\n"),
        ] {
            let server = Server::start(place, &["--framing", framing, "--suffix", "!"]);
            let want = framed(framing, &[message, b"!"].concat());
            let got = RawStream::connect(server.address()).exchange(&framed(framing, message));
            assert_eq!(got, want, "{framing}");
        }
    }
);

families!(a_message_split_over_many_sends_is_one_message, |place| {
    for framing in FRAMINGS {
        let server = Server::start(place, &["--framing", framing, "--suffix", "!", "--trace"]);
        let mut client = RawStream::connect(server.address());
        for (number, byte) in framed(framing, "好".as_bytes()).iter().enumerate() {
            client.send(&[*byte]);
            // Received on its own, before the next one is sent.
            server.stderr().wait_for_count("recv(", number + 1);
        }
        let want = framed(framing, "好!".as_bytes());
        assert_eq!(client.take(want.len()), want, "{framing}");
    }
});

families!(many_messages_in_one_send_are_answered_in_order, |place| {
    let server = Server::start(place, &["--framing", "line", "--suffix", "!"]);
    let (mut sent, mut want) = (String::new(), String::new());
    for number in 0..50_000 {
        sent.push_str(&format!("{number}\n"));
        want.push_str(&format!("{number}!\n"));
    }
    let got = RawStream::connect(server.address()).exchange(sent.as_bytes());
    assert_same(&got, want.as_bytes());
});

families!(a_large_message_comes_back_whole, |place| {
    for framing in FRAMINGS {
        let server = Server::start(place, &["--framing", framing, "--max-message", "4MiB"]);
        let mut message = noise(4 << 20);
        for byte in &mut message {
            // No delimiter inside.
            *byte |= 0x40;
        }
        let frame = framed(framing, &message);
        assert_same(
            &RawStream::connect(server.address()).exchange(&frame),
            &frame,
        );
    }
});

families!(a_client_that_half_closes_gets_its_whole_reply, |place| {
    let server = Server::start(place, &[]);
    let data = noise(8 << 20);
    assert_same(&RawStream::connect(server.address()).exchange(&data), &data);
});

families!(a_reply_is_not_held_back_until_the_client_reads, |place| {
    // The client sends all before it reads anything: as much as the buffers on the way hold.
    let server = Server::start(place, &["--framing", "line", "--suffix", "!"]);
    let mut client = RawStream::connect(server.address());
    let sent = "x\n".repeat(2000);
    client.send(sent.as_bytes());
    client.finish();
    assert_eq!(client.rest(), "x!\n".repeat(2000).as_bytes());
});

families!(discard_reads_everything_and_sends_nothing, |place| {
    let server = Server::start(place, &["--discard"]);
    let mut client = RawStream::connect(server.address());
    assert_eq!(client.exchange(&[b'x'; 100_000]), b"");
    server.terminate();
    assert_eq!(server.wait(), 0);
});

/// Serves with options, breaks the rules on one connection, and sees that only that one ends.
fn assert_ends_only_its_connection(
    place: &Place,
    options: &[&str],
    framing: &str,
    broken: &[u8],
    expected: &str,
) {
    let mut all = vec!["--framing", framing, "--suffix", "!"];
    all.extend(options);
    let server = Server::start(place, &all);
    let mut other = RawStream::connect(server.address());
    let (ping, pong) = (framed(framing, b"ping"), framed(framing, b"ping!"));
    let round_trip = |other: &mut RawStream| {
        other.send(&ping);
        assert_eq!(other.take(pong.len()), pong);
    };
    round_trip(&mut other);
    let mut client = RawStream::connect(server.address());
    round_trip(&mut client);
    let before = resident_kib(server.pid());
    client.send(broken);
    match client.try_rest() {
        Ok(rest) => {
            assert!(!place.is_network(), "an end, where the family has a reset");
            assert_eq!(rest, b"", "a broken message was answered");
        }
        Err(error) => assert!(RawStream::is_broken(&error), "{error}"),
    }
    let grown = resident_kib(server.pid()).saturating_sub(before);
    assert!(grown < 4096, "{grown} KiB for a message that was refused");
    round_trip(&mut other);
    let warned = server.stderr().wait_for(expected);
    let line = warned.lines().find(|line| line.contains(expected)).unwrap();
    assert!(line.starts_with("sok: warning: failed"), "{line}");
    assert!(
        line.contains(&format!("peer={}:", place.family())),
        "{line}"
    );
    drop(other);
    server.terminate();
    assert_eq!(server.wait(), 0);
}

families!(an_oversized_message_ends_only_its_connection, |place| {
    let long = [b'x'; 1025];
    for framing in FRAMINGS {
        let broken = framed(framing, &long);
        let expected = "larger than the limit of 1024 bytes";
        assert_ends_only_its_connection(
            place,
            &["--max-message", "1KiB"],
            framing,
            &broken,
            expected,
        );
    }
});

families!(a_message_without_end_ends_only_its_connection, |place| {
    for framing in ["line", "null"] {
        let expected = "larger than the limit of 1024 bytes";
        assert_ends_only_its_connection(
            place,
            &["--max-message", "1KiB"],
            framing,
            &[b'x'; 3000],
            expected,
        );
    }
});

families!(a_message_of_the_size_of_the_limit_passes, |place| {
    for framing in FRAMINGS {
        let server = Server::start(place, &["--framing", framing, "--max-message", "1KiB"]);
        let frame = framed(framing, &[b'x'; 1024]);
        let twice = [&frame[..], &frame].concat();
        assert_eq!(
            RawStream::connect(server.address()).exchange(&twice),
            twice,
            "{framing}"
        );
    }
});

families!(a_length_of_2_gib_ends_only_its_connection, |place| {
    for length in [2_u32 << 30, u32::MAX, (1 << 20) + 1] {
        let expected = "larger than the limit of 1048576 bytes";
        assert_ends_only_its_connection(place, &[], "length", &length.to_be_bytes(), expected);
    }
});

families!(a_truncated_message_ends_only_its_connection, |place| {
    for (framing, broken, count) in [
        ("line", &b"one\nhalf"[..], 4),
        ("null", b"one\0half", 4),
        ("length", b"\0\0\0\x03one\0\0\0\x09half", 8),
        ("length", b"\0\0", 2),
    ] {
        let server = Server::start(place, &["--framing", framing]);
        let mut other = RawStream::connect(server.address());
        let mut client = RawStream::connect(server.address());
        client.send(broken);
        client.finish();
        // What was whole is answered.
        let rest = client.cut();
        assert!(broken.starts_with(&rest), "{rest:?}");
        let text = format!("in the middle of a message, after {count} byte");
        server.stderr().wait_for(&text);
        let ping = framed(framing, b"ping");
        other.send(&ping);
        assert_eq!(other.take(ping.len()), ping, "{framing}");
    }
});

families!(messages_before_an_invalid_one_are_answered, |place| {
    let server = Server::start(place, &["--framing", "line", "--max-message", "8"]);
    let mut client = RawStream::connect(server.address());
    client.send(b"one\ntwo\nand this one is too long\nthree\n");
    assert_eq!(client.line(), "one\n");
    assert_eq!(client.line(), "two\n");
});

families!(a_client_that_ends_without_data_gets_end_of_file, |place| {
    for framing in ["chunk", "line", "null", "length"] {
        let server = Server::start(place, &["--framing", framing, "--once"]);
        assert_eq!(RawStream::connect(server.address()).exchange(b""), b"");
        assert_eq!(server.wait(), 0, "{framing}");
    }
});

#[test]
fn two_services_at_once_are_refused() {
    for services in [
        &["--echo", "--discard"][..],
        &["--suffix", "!", "--send", "/etc/passwd"],
        &["--discard", "--exec", "cat"],
    ] {
        let done = sok(&[&["serve", "inet:127.0.0.1:0"], services].concat());
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(done.stderr.contains("inet:127.0.0.1:0"), "{}", done.stderr);
        for service in services.iter().filter(|word| word.starts_with("--")) {
            assert!(done.stderr.contains(service), "{}", done.stderr);
        }
    }
}

#[test]
fn a_framing_without_effect_is_refused() {
    for options in [
        &["--framing", "eof"][..],
        &["--framing", "line", "--send", "/etc/passwd"],
        &["--framing", "line", "--discard"],
        &["--max-message", "9", "--discard"],
        &["--max-message", "9", "--send", "/etc/passwd"],
        &["--framing", "line", "--exec", "cat"],
        &["--framing", "words"],
        &["--max-message", "0"],
        &["--max-message", "many"],
    ] {
        let done = sok(&[&["serve", "inet:127.0.0.1:0"], options].concat());
        assert_eq!(done.code, 2, "{options:?}: {}", done.stderr);
    }
}
