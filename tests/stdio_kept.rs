//! `serve --stdio --keep-open`: one client after another, and nothing of the input is lost.

use std::io::Write;
use std::thread;

use nix::sys::signal::Signal;

use crate::support::{Place, Process, RawMessages, RawStream, Server, assert_same, noise};

fn start(place: &Place, options: &[&str]) -> Server {
    Server::start(place, &[&["--stdio", "--keep-open"], options].concat())
}

families!(fifty_clients_one_after_another_lose_nothing, |place| {
    let mut server = start(place, &["--exit-after", "50"]);
    let data = noise(50 * 70_000);
    let mut pieces = data.chunks(70_000);
    for number in 0..50 {
        let mut client = RawStream::connect(server.address());
        // Each takes its own line of the input, and no other.
        let line = format!("for client {number}\n");
        server.write(line.as_bytes());
        assert_eq!(client.line(), line);
        client.send(pieces.next().unwrap());
        client.finish();
        assert_eq!(client.rest(), b"");
    }
    let done = server.into_process().done();
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_same(&done.stdout, &data);
});

families!(many_clients_at_once_are_served_in_turn, |place| {
    let server = start(place, &["--exit-after", "20", "--receive-only"]);
    let pieces: Vec<Vec<u8>> = (0..20).map(|number| vec![b'a' + number; 100_000]).collect();
    thread::scope(|scope| {
        for piece in &pieces {
            let address = server.address();
            scope.spawn(move || {
                let mut client = RawStream::connect(address);
                client.send(piece);
                client.finish();
                assert_eq!(client.rest(), b"");
            });
        }
    });
    let done = server.into_process().done();
    assert_eq!(done.code, 0, "{}", done.stderr);
    // In any order, but never mixed.
    let mut came: Vec<Vec<u8>> = done.stdout.chunks(100_000).map(<[u8]>::to_vec).collect();
    came.sort();
    assert!(came == pieces);
});

families!(what_a_client_has_not_taken_goes_to_the_next, |place| {
    let server = start(place, &["--exit-after", "2", "-v"]);
    let data = noise(12 << 20);
    let input = data.clone();
    let (address, stderr) = (server.address().to_owned(), server.stderr().clone());
    let server = thread::spawn(move || server.into_process().feed(&input));
    // It takes something, and leaves while the server waits for room.
    let mut first = RawStream::connect(&address);
    assert_same(&first.take(1000), &data[..1000]);
    drop(first);
    let said = stderr.wait_for("failed connection=1 ");
    let mut second = RawStream::connect(&address);
    let rest = second.rest();
    drop(second);
    let done = server.join().unwrap();
    // Exactly what the kernel did not take for the first one.
    let sent = said.rsplit_once(" sent=").unwrap().1;
    let sent: usize = sent.split(' ').next().unwrap().parse().unwrap();
    assert!(sent >= 1000 && sent < data.len(), "{sent}");
    assert_same(&rest, &data[sent..]);
    // What it did take may be lost.
    assert_eq!(done.code, 6, "{}", done.stderr);
});

families!(
    after_the_end_of_input_each_client_gets_it_at_once,
    |place| {
        let mut server = start(place, &["--exit-after", "3"]);
        server.write(b"all");
        server.close_stdin();
        for expected in [&b"all"[..], b"", b""] {
            let mut client = RawStream::connect(server.address());
            assert_eq!(client.rest(), expected);
            client.send(b"x");
        }
        let done = server.into_process().done();
        assert_eq!((done.code, &*done.text()), (0, "xxx"), "{}", done.stderr);
    }
);

families!(the_next_client_waits_in_the_backlog, |place| {
    let mut server = start(place, &[]);
    let mut first = RawStream::connect(server.address());
    let mut second = RawStream::connect(server.address());
    second.send(b"second");
    first.send(b"first");
    server.stdout().wait_for("first");
    server.write(b"to the first");
    assert_eq!(first.take(12), b"to the first");
    assert_eq!(server.stdout().text(), "first");
    drop(first);
    server.stdout().wait_for("firstsecond");
    server.write(b"to the second");
    assert_eq!(second.take(13), b"to the second");
});

families!(a_client_that_breaks_ends_only_its_own_exchange, |place| {
    let mut server = start(place, &["-v"]);
    let mut first = RawStream::connect(server.address());
    first.send(b"half");
    server.stdout().wait_for("half");
    server.write(b"unread");
    let mut peek = [std::mem::MaybeUninit::uninit(); 1];
    first.socket().peek(&mut peek).unwrap();
    first.reset();
    server.stderr().wait_for("failed connection=1 ");
    let mut second = RawStream::connect(server.address());
    second.send(b"whole");
    server.stdout().wait_for("halfwhole");
    drop(second);
    server.stderr().wait_for("ended connection=2 ");
    // It is not forgotten.
    server.terminate();
    assert_eq!(server.wait(), 6);
    let said = server.said();
    assert!(said.contains("input that was sent may be lost"), "{said}");
});

families!(a_stop_without_a_client_is_a_good_end, |place| {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let server = start(place, &["-v"]);
        let mut client = RawStream::connect(server.address());
        client.send(b"log");
        drop(client);
        server.stderr().wait_for("ended connection=1 ");
        server.signal(signal);
        assert_eq!(server.wait(), 0, "{}", server.stderr().text());
        assert_eq!(server.stdout().wait_closed(), b"log");
        assert_eq!(place.listing(), Vec::<String>::new());
    }
});

families!(a_stop_waits_for_the_client, |place| {
    let server = start(place, &["--grace", "5m", "-v"]);
    let mut client = RawStream::connect(server.address());
    client.send(b"half ");
    server.stdout().wait_for("half ");
    server.terminate();
    server.stderr().wait_for("draining");
    client.send(b"whole");
    drop(client);
    assert_eq!(server.wait(), 0, "{}", server.stderr().text());
    assert_eq!(server.stdout().wait_closed(), b"half whole");

    let server = start(place, &["--grace", "5m", "-v"]);
    let mut client = RawStream::connect(server.address());
    client.send(b"half");
    server.stdout().wait_for("half");
    server.terminate();
    server.stderr().wait_for("draining");
    server.terminate();
    assert_eq!(client.cut(), b"");
    assert_eq!(server.wait(), 6);
});

families!(a_closed_output_ends_it_quietly, |place| {
    let script = r#"{ "$SOK" serve "$1" --stdio --keep-open; echo "code $?" >&2; } | head -n1"#;
    let process = Process::sh(script, &[&place.word()]);
    let address = Server::address_of(&process);
    let mut client = RawStream::connect(&address);
    let lines = "line\n".repeat(1 << 20);
    let _ = client.write_all(lines.as_bytes());
    client.cut();
    let done = process.done();
    let rest = done.stderr.split_once('\n').unwrap().1;
    assert_eq!((done.text().as_str(), rest), ("line\n", "code 0\n"));
});

families!(an_unreadable_input_ends_it, |place| {
    let script = r#"exec "$SOK" serve "$1" --stdio --keep-open </"#;
    let server = Server::of(Process::sh(script, &[&place.word()]));
    RawStream::connect(server.address()).cut();
    assert_eq!(server.wait(), 1);
    assert!(server.said().contains("\nsok: read standard input: "));
});

families!(an_idle_time_ends_only_the_client, |place| {
    let server = start(place, &["--idle-timeout", "100ms", "-v"]);
    RawStream::connect(server.address()).cut();
    server.stderr().wait_for("no data passed for 100ms");
    let mut second = RawStream::connect(server.address());
    second.send(b"second");
    server.stdout().wait_for("second");
    server.stderr().wait_for("failed connection=2 ");
    server.terminate();
    // Nothing of the input was sent.
    assert_eq!(server.wait(), 0, "{}", server.stderr().text());
});

messages!(
    the_beginning_of_a_message_is_kept_for_the_next_client,
    |place| {
        if !place.has_connection() {
            return;
        }
        let mut server = start(place, &["-v"]);
        let first = RawMessages::connect(server.address());
        server.write(b"whole\npar");
        assert_eq!(first.receive(), b"whole");
        drop(first);
        server.stderr().wait_for("ended connection=1 ");
        let second = RawMessages::connect(server.address());
        server.write(b"tial\nunfini");
        assert_eq!(second.receive(), b"partial");
        drop(second);
        server.stderr().wait_for("ended connection=2 ");
        server.terminate();
        assert_eq!(server.wait(), 6);
        let said = server.said();
        assert!(
            said.contains("standard input: 6 bytes were read and not sent"),
            "{said}"
        );
    }
);

messages!(a_message_that_no_client_can_get_is_reported, |place| {
    if !place.has_connection() {
        return;
    }
    let mut server = start(place, &["--max-message", "8MiB", "-v"]);
    let first = RawMessages::connect(server.address());
    let large = vec![b'x'; 4 << 20];
    server.write(&[&large[..], b"\nnext\n"].concat());
    server.stderr().wait_for("failed connection=1 ");
    drop(first);
    let second = RawMessages::connect(server.address());
    assert_eq!(second.receive(), b"next");
    drop(second);
    server.stderr().wait_for("ended connection=2 ");
    server.terminate();
    assert_eq!(server.wait(), 1, "{}", server.stderr().text());
});

datagrams!(the_datagrams_of_all_peers_are_printed, |place| {
    let server = start(place, &["--receive-only"]);
    let peers: Vec<RawMessages> = (0..50)
        .map(|_| RawMessages::connect(server.address()))
        .collect();
    let mut lines = String::new();
    for round in 0..2 {
        for (number, peer) in peers.iter().enumerate() {
            let line = format!("{round} of {number}");
            peer.send(line.as_bytes());
            lines += &(line + "\n");
            // UDP drops what comes too fast.
            server.stdout().wait_for(&lines);
        }
    }
    server.terminate();
    assert_eq!(server.wait(), 0, "{}", server.stderr().text());
    assert_eq!(server.stdout().wait_closed(), lines.as_bytes());
});

datagrams!(the_input_goes_to_the_peer_that_sent_last, |place| {
    let mut server = start(place, &["-v"]);
    for number in 1..4 {
        let peer = RawMessages::connect(server.address());
        peer.send(b"hello");
        server.stdout().wait_for(&"hello\n".repeat(number));
        server.write(b"reply\n");
        assert_eq!(peer.receive(), b"reply");
    }
    server.terminate();
    assert_eq!(server.wait(), 0, "{}", server.stderr().text());
});

families!(input_that_a_lifetime_cuts_off_is_reported, |place| {
    let mut server = start(place, &["--lifetime", "1s", "-v"]);
    server.write(b"unread");
    let first = RawStream::connect(server.address());
    let mut peek = [std::mem::MaybeUninit::uninit(); 1];
    first.socket().peek(&mut peek).unwrap();
    server.stderr().wait_for("failed connection=1 ");
    server.terminate();
    assert_eq!(server.wait(), 124);
    let said = server.said();
    assert!(said.contains("input that was sent may be lost"), "{said}");
});

families!(
    a_lifetime_in_which_nothing_was_sent_is_no_failure,
    |place| {
        let server = start(place, &["--lifetime", "100ms", "-v"]);
        RawStream::connect(server.address()).cut();
        server.stderr().wait_for("failed connection=1 ");
        server.terminate();
        assert_eq!(server.wait(), 0, "{}", server.stderr().text());
    }
);
