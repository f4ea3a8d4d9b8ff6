//! Sockets that keep messages apart: each message arrives whole, in order, and as one, whatever
//! serves it.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::thread;

use nix::sys::signal::Signal;

use crate::support::{
    Place, RawMessageListener, RawMessages, Server, assert_same, noise, resident_kib, sok,
};

/// The largest message that a socket of `place` takes.
fn largest(place: &Place) -> usize {
    let listener = RawMessageListener::bind(place);
    let client = RawMessages::connect(listener.address());
    let mut server = None;
    let (mut fits, mut refused) = (1, 1 << 20);
    while refused - fits > 1 {
        let size = usize::midpoint(fits, refused);
        match client.try_send(&vec![0; size]) {
            Ok(()) => {
                let server = server.get_or_insert_with(|| listener.accept());
                assert_eq!(server.receive().len(), size);
                fits = size;
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(nix::libc::EMSGSIZE), "{error}");
                refused = size;
            }
        }
    }
    fits
}

/// Messages of every size that is special: empty, around the buffer of others, and the largest
/// minus `less`.
fn messages(place: &Place, less: usize) -> Vec<Vec<u8>> {
    let largest = largest(place) - less;
    let sizes = [0, 1, 8191, 8192, 20_000, 0, 65_507, largest, 1];
    let sizes = sizes.into_iter().filter(|size| *size <= largest);
    sizes.map(noise).collect()
}

/// Sends each message and gets a reply to it, then several at once.
fn assert_answered(server: &Server, messages: &[Vec<u8>], reply: impl Fn(&[u8]) -> Vec<u8>) {
    let client = RawMessages::connect(server.address());
    for message in messages {
        client.send(message);
        assert_same(&client.receive(), &reply(message));
    }
    let several: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; usize::from(n) * 10]).collect();
    several.iter().for_each(|message| client.send(message));
    for message in &several {
        assert_eq!(client.receive(), reply(message));
    }
}

messages!(every_message_is_echoed_whole_and_in_order, |place| {
    let server = Server::start(place, &[]);
    assert_answered(&server, &messages(place, 0), <[u8]>::to_vec);
});

messages!(every_message_is_answered_with_its_suffix, |place| {
    let server = Server::start(place, &["--suffix", ", world"]);
    let reply = |message: &[u8]| [message, b", world"].concat();
    assert_answered(&server, &messages(place, 7), reply);
});

messages!(every_message_passes_through_a_program, |place| {
    let server = Server::start(place, &["--framing", "length", "--exec", "cat"]);
    assert_answered(&server, &messages(place, 0), <[u8]>::to_vec);
});

messages!(discarded_messages_are_counted, |place| {
    let server = Server::start(place, &["--discard", "-v"]);
    let client = RawMessages::connect(server.address());
    let mut total = 0;
    // A UDP socket has room for one large datagram for sure.
    for message in [&b"one"[..], b"", &noise(20_000), b"four"] {
        client.send(message);
        total += message.len();
    }
    server.stderr().wait_for(" connected ");
    server.terminate();
    if place.has_connection() {
        client.finish();
        client.assert_end();
    }
    assert_eq!(server.wait(), 0, "{}", server.said());
    let counted = format!(" received={total} sent=0 ");
    assert!(server.said().contains(&counted), "{}", server.said());
});

messages!(a_table_on_request_counts_the_bytes_of_messages, |place| {
    let server = Server::start(place, &[]);
    let client = RawMessages::connect(server.address());
    for message in [&b"one"[..], b"", b"three"] {
        client.send(message);
        assert_eq!(client.receive(), message);
    }
    server.signal(Signal::SIGUSR1);
    server.stderr().wait_for(" received=8 sent=8 seconds=");
});

messages!(the_end_is_no_message_and_an_empty_message_no_end, |place| {
    let server = Server::start(place, &["-v"]);
    let client = RawMessages::connect(server.address());
    for message in [&b""[..], b"", b"later", b""] {
        client.send(message);
        assert_eq!(client.receive(), message);
    }
    // The last one before the end, too.
    client.send(b"");
    if place.has_connection() {
        client.finish();
    }
    assert_eq!(client.receive(), b"");
    if place.has_connection() {
        client.assert_end();
        server.stderr().wait_for(" ended ");
    }
});

messages!(a_message_above_the_limit_is_named, |place| {
    for service in [
        &[][..],
        &["--discard"],
        &["--framing", "length", "--exec", "cat"],
    ] {
        let options = [&["--max-message", "10", "-v"], service].concat();
        let server = Server::start(place, &options);
        let client = RawMessages::connect(server.address());
        client.send(b"0123456789");
        server.stderr().wait_for(" connected ");
        if service != ["--discard"] {
            assert_eq!(client.receive(), b"0123456789");
        }
        client.send(b"01234567890");
        if place.has_connection() {
            let ended = client.try_receive();
            assert!(ended.is_err() || ended.is_ok_and(|end| end.is_none()));
            server.stderr().wait_for(" failed ");
        } else {
            // The session continues.
            client.send(b"after");
            if service != ["--discard"] {
                assert_eq!(client.receive(), b"after");
            }
            server.terminate();
            assert_eq!(server.wait(), 0);
            assert!(
                server.said().contains(" undelivered=1 "),
                "{}",
                server.said()
            );
        }
        let said = server.stderr().text();
        let cause = "a message is larger than the limit of 10 bytes";
        assert!(said.contains(cause), "{said}");
    }
});

messages!(
    a_server_that_lost_a_message_to_its_limit_exits_1_and_says_what_to_raise,
    |place| {
        let server = Server::start(place, &["--once", "--max-message", "10"]);
        let client = RawMessages::connect(server.address());
        client.send(b"01234567890");
        if !place.has_connection() {
            server.stderr().wait_for("10 bytes");
            server.terminate();
        }
        assert_eq!(server.wait(), 1, "{}", server.said());
        assert!(
            server.said().contains("; raise --max-message"),
            "{}",
            server.said()
        );
    }
);

messages!(a_program_gets_and_sends_lines_as_messages, |place| {
    let script = r#"while read -r line; do echo "<$line>"; done"#;
    let options = ["-v", "--framing", "line", "--exec", "sh", "-c", script];
    let server = Server::start(place, &options);
    let client = RawMessages::connect(server.address());
    // A newline at the end is that of the line.
    for (message, reply) in [
        ("one", "<one>"),
        ("two\n", "<two>"),
        ("", "<>"),
        ("\n", "<>"),
    ] {
        client.send(message.as_bytes());
        assert_eq!(client.receive(), reply.as_bytes());
    }
    let cause = "a message has the delimiter of the framing in it, and would become several";
    client.send(b"two\nlines");
    if place.has_connection() {
        server.stderr().wait_for(cause);
        let ended = client.try_receive();
        assert!(ended.is_err() || ended.is_ok_and(|end| end.is_none()));
    } else {
        client.send(b"later");
        assert_eq!(client.receive(), b"<later>");
        server.terminate();
        server.stderr().wait_for(cause);
    }
});

messages!(
    a_program_gets_and_sends_messages_that_end_with_nul,
    |place| {
        let server = Server::start(place, &["--framing", "null", "--exec", "cat"]);
        let reply = |message: &[u8]| message.strip_suffix(b"\0").unwrap_or(message).to_vec();
        let messages = [&b"one\ntwo\n"[..], b"", b"three\0"].map(<[u8]>::to_vec);
        assert_answered(&server, &messages[..2], reply);
        let client = RawMessages::connect(server.address());
        client.send(&messages[2]);
        assert_eq!(client.receive(), b"three");
    }
);

messages!(output_without_a_last_newline_is_a_message, |place| {
    let options = [
        "--once",
        "--framing",
        "line",
        "--exec",
        "printf",
        r"one\n\nthree",
    ];
    let server = Server::start(place, &options);
    let client = RawMessages::connect(server.address());
    client.send(b"");
    for message in [&b"one"[..], b"", b"three"] {
        assert_eq!(client.receive(), message);
    }
    if place.has_connection() {
        client.assert_end();
        client.finish();
    }
    assert_eq!(server.wait(), 0, "{}", server.said());
});

messages!(
    output_that_ends_in_the_middle_of_a_message_is_an_error,
    |place| {
        let output = r"\0\0\0\3one\0\0\0\5tw";
        let options = ["--once", "--framing", "length", "--exec", "printf", output];
        let server = Server::start(place, &options);
        let client = RawMessages::connect(server.address());
        client.send(b"");
        assert_eq!(client.receive(), b"one");
        if place.has_connection() {
            client.finish();
        }
        assert_eq!(server.wait(), 6, "{}", server.said());
        let cause = "end of file in the middle of a message, after 6 bytes";
        assert!(server.said().contains(cause), "{}", server.said());
    }
);

messages!(output_above_the_limit_is_an_error_that_names_it, |place| {
    let limit = ["--once", "--max-message", "3", "--framing", "line"];
    let server = Server::start(place, &[&limit[..], &["--exec", "echo", "four"]].concat());
    let client = RawMessages::connect(server.address());
    client.send(b"");
    assert_eq!(server.wait(), 1, "{}", server.said());
    let cause = "a message is larger than the limit of 3 bytes; raise --max-message";
    assert!(server.said().contains(cause), "{}", server.said());
    drop(client);
});

messages!(the_environment_names_the_type_of_socket, |place| {
    let server = Server::start(place, &["--framing", "null", "--exec", "env"]);
    let client = RawMessages::connect(server.address());
    client.send(b"");
    let environment = String::from_utf8(client.receive()).unwrap();
    let own = client.socket().local_addr().unwrap().as_socket();
    let mut wanted = vec![
        format!("SOK_TYPE={}", place.socket_type()),
        format!("SOK_LOCAL={}", server.address()),
    ];
    match own {
        Some(own) => wanted.extend([
            "PROTO=UDP".to_owned(),
            format!("SOK_PEER={}:{own}", place.prefix()),
            format!("UDPREMOTEIP={}", own.ip()),
            format!("UDPREMOTEPORT={}", own.port()),
            format!("UDPLOCALIP={}", own.ip()),
            format!("UDPLOCALPORT={}", server.port()),
        ]),
        None => wanted.push("PROTO=UNIX".to_owned()),
    }
    for line in wanted {
        assert!(
            environment.lines().any(|one| one == line),
            "{line} in {environment}"
        );
    }
    assert!(!environment.contains("TCP"), "{environment}");
});

messages!(a_program_that_does_not_read_loses_no_message, |place| {
    if place.is_network() {
        return; // UDP drops what its receiver has no room for.
    }
    const COUNT: usize = 20_000;
    let go = place.path("go");
    nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!(r#"read line <"$0"; head -n {COUNT} | wc -c"#);
    let go_path = go.to_string_lossy();
    let program = ["--framing", "line", "--exec", "sh", "-c", &script, &go_path];
    let server = Server::start(place, &program);
    let client = RawMessages::connect(server.address());
    let message = vec![b'x'; 999];
    client.send(&message);
    let before = resident_kib(server.pid());
    let receiving = client.twin();
    let reply = thread::scope(|scope| {
        scope.spawn(|| (1..COUNT).for_each(|_| client.send(&message)));
        // The program opens it when it runs; messages wait meanwhile.
        let mut go = File::options().write(true).open(&go).unwrap();
        go.write_all(b"go\n").unwrap();
        receiving.receive()
    });
    assert_eq!(
        String::from_utf8(reply).unwrap().trim(),
        (COUNT * 1000).to_string()
    );
    let grown = resident_kib(server.pid()) - before;
    assert!(grown < 10_000, "{grown} KiB");
});

messages!(a_file_is_one_message, |place| {
    let largest = largest(place);
    for content in [vec![], b"a line\nand another\n".to_vec(), noise(largest)] {
        let file = place.file("file", &content);
        let server = Server::start(place, &["--send", &file.to_string_lossy()]);
        let client = RawMessages::connect(server.address());
        client.send(b"please");
        assert_same(&client.receive(), &content);
        if place.has_connection() {
            client.assert_end();
        }
    }
    let message = noise(largest + 1);
    let file = place.file("file", &message);
    let server = Server::start(place, &["-v", "--send", &file.to_string_lossy()]);
    let client = RawMessages::connect(server.address());
    if !place.has_connection() {
        // A connection is served, and fails, at once.
        client.send(b"please");
    }
    server.stderr().wait_for(" connected ");
    server.terminate();
    assert_eq!(server.wait(), 0);
    let size = format!(
        "a message of {} bytes is larger than the kernel",
        message.len()
    );
    assert!(server.said().contains(&size), "{}", server.said());
});

messages!(a_file_above_the_limit_is_not_sent, |place| {
    let file = place.file("file", "0123456789");
    let limit = ["--once", "--max-message", "9"];
    let server = Server::start(
        place,
        &[&limit[..], &["--send", &file.to_string_lossy()]].concat(),
    );
    let client = RawMessages::connect(server.address());
    if !place.has_connection() {
        client.send(b"please");
    }
    assert_eq!(server.wait(), 1, "{}", server.said());
    let cause = "a message is larger than the limit of 9 bytes";
    assert!(server.said().contains(cause), "{}", server.said());
    drop(client);
});

messages!(the_messages_of_a_file_are_sent_one_by_one, |place| {
    let framed = |message: &Vec<u8>| {
        let length = u32::try_from(message.len()).unwrap();
        [&length.to_be_bytes()[..], message].concat()
    };
    let several: Vec<Vec<u8>> = [0, 1, 8191, 8192, 20_000, 0, 65_000].map(noise).to_vec();
    let in_frames: Vec<u8> = several.iter().flat_map(framed).collect();
    let lines = ["one", "", "three"].map(|line| line.as_bytes().to_vec());
    for (framing, content, messages) in [
        ("length", &in_frames[..], &several[..]),
        ("line", b"one\n\nthree", &lines),
        ("null", b"one\0\0three\0", &lines),
    ] {
        let file = place.file("file", content);
        let path = file.to_string_lossy();
        let server = Server::start(place, &["--framing", framing, "--send", &path]);
        let client = RawMessages::connect(server.address());
        client.send(b"please");
        for message in messages {
            assert_same(&client.receive(), message);
        }
        if place.has_connection() {
            client.assert_end();
        }
    }
});

messages!(the_messages_of_a_pipe_are_sent_one_by_one, |place| {
    let pipe = place.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (options, messages) in [
        (&["--framing", "line"][..], &["one", "", "three"][..]),
        (&[], &["one\n\nthree"]),
    ] {
        let path = pipe.to_string_lossy();
        let options = [options, &["--send", &path]].concat();
        let server = Server::start(place, &options);
        let client = RawMessages::connect(server.address());
        client.send(b"please");
        let mut writer = File::options().write(true).open(&pipe).unwrap();
        writer.write_all(b"one\n\nthree").unwrap();
        drop(writer);
        for message in messages {
            assert_eq!(client.receive(), message.as_bytes());
        }
        if place.has_connection() {
            client.assert_end();
        }
    }
});

messages!(
    a_framing_that_means_nothing_or_is_missing_is_refused,
    |place| {
        let file = place.file("file", "content");
        let file = file.to_string_lossy();
        for (options, cause) in [
            (&["--framing", "line"][..], "--framing has no meaning here"),
            (&["--framing", "chunk"], "--framing has no meaning here"),
            (
                &["--discard", "--framing", "length"],
                "--framing has no meaning here",
            ),
            (
                &["--send", &file, "--framing", "chunk"],
                "--framing has no meaning here",
            ),
            (
                &["--exec", "cat"],
                "does not keep messages apart; give --framing line",
            ),
            (
                &["--framing", "chunk", "--exec", "cat"],
                "does not keep messages apart",
            ),
        ] {
            let done = sok(&[&["serve", &place.word()], options].concat());
            assert_eq!(done.code, 2, "{options:?}: {}", done.stderr);
            assert!(done.stderr.contains(cause), "{options:?}: {}", done.stderr);
        }
    }
);

messages!(a_client_that_is_cut_off_disturbs_no_other, |place| {
    let server = Server::start(place, &["--max-message", "10"]);
    let other = RawMessages::connect(server.address());
    other.send(b"before");
    assert_eq!(other.receive(), b"before");
    let client = RawMessages::connect(server.address());
    client.send(&[0; 11]);
    if place.has_connection() {
        let ended = client.try_receive();
        let is_cut = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        assert!(
            ended.as_ref().map_or_else(is_cut, Option::is_none),
            "{ended:?}"
        );
    }
    other.send(b"after");
    assert_eq!(other.receive(), b"after");
});
