//! Descriptors that peers send with their bytes and messages, through `sok relay`.

use std::io;
use std::process::Command;

use nix::sys::signal::Signal;
use sok::address::SocketType;

use crate::support::{
    Files, Kind, Process, RawListener, RawMessageListener, RawMessages, RawStream, Server,
    assert_same, kernel_can_refuse_descriptors, noise, open_descriptors, require_peer, run, sok,
};

/// A client of a relay, and its server, which have exchanged a message.
fn connected(relay: &Server, backend: &RawMessageListener) -> (RawMessages, RawMessages) {
    let client = RawMessages::connect(relay.address());
    client.send(b"hello");
    let server = backend.accept();
    exchange(&client, &server);
    (client, server)
}

/// Finishes an exchange that the client has begun with `hello`.
fn exchange(client: &RawMessages, server: &RawMessages) {
    assert_eq!(server.receive(), b"hello");
    server.send(b"welcome");
    assert_eq!(client.receive(), b"welcome");
}

fn is_refused(sent: &io::Result<usize>) -> bool {
    let error = sent.as_ref().err();
    error.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

locals!(a_file_in_memory_is_shared_through_a_relay, |place| {
    let backend = RawMessageListener::bind(place);
    for options in [&[][..], &["--descriptors", "pass"]] {
        let relay = Server::relay(place, backend.address(), options);
        let (client, server) = connected(&relay, &backend);
        for (from, to) in [(&client, &server), (&server, &client)] {
            let files = Files::new(1);
            files.send(from, b"take this").unwrap();
            let (bytes, got) = Files::receive(to);
            assert_eq!(bytes, b"take this");
            files.assert_are(&got);
        }
    }
});

/// Sends a mapped memory file from one end of a relay to the other, which maps it too.
const MAPPED: &str = r#"
import mmap, os, socket, sys
front, back, kind = sys.argv[1:]
def end(): return socket.socket(socket.AF_UNIX, getattr(socket, kind))
def name(address): return address.split(":", 1)[1].replace("@", chr(0))
server, client = end(), end()
server.bind(name(back))
if kind != "SOCK_DGRAM": server.listen()
client.connect(name(front))
file = os.memfd_create("shared")
os.ftruncate(file, mmap.PAGESIZE)
own = mmap.mmap(file, mmap.PAGESIZE)
socket.send_fds(client, [b"take this"], [file])
if kind != "SOCK_DGRAM": server, _ = server.accept()
data, files, _, _ = socket.recv_fds(server, 100, 1)
other = mmap.mmap(files[0], mmap.PAGESIZE)
own[:5] = b"hello"
other[5:10] = b"world"
print(data.decode(), other[:5].decode(), own[5:10].decode())
"#;

locals!(
    a_file_in_memory_that_has_passed_a_relay_is_mapped_on_both_sides,
    |place| {
        if !require_peer("python3") {
            return;
        }
        let target = place.word();
        let relay = Server::relay(place, &target, &[]);
        let constant = match place.socket_type() {
            SocketType::Datagram => "SOCK_DGRAM",
            SocketType::SeqPacket => "SOCK_SEQPACKET",
            _ => "SOCK_STREAM",
        };
        let done = Command::new("python3")
            .args(["-c", MAPPED, relay.address(), &target])
            .arg(constant)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&done.stdout),
            "take this hello world\n",
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
);

locals!(
    as_many_descriptors_as_a_message_can_have_pass_and_none_stays_open,
    |place| {
        let backend = RawMessageListener::bind(place);
        let relay = Server::relay(place, backend.address(), &[]);
        let (client, server) = connected(&relay, &backend);
        let before = open_descriptors(&relay);
        for (from, to) in [(&client, &server), (&server, &client), (&client, &server)] {
            let files = Files::new(Files::MOST);
            files.send(from, b"all of them").unwrap();
            let (bytes, got) = Files::receive(to);
            assert_eq!(bytes, b"all of them");
            files.assert_are(&got);
        }
        // The relay has done with the last ones once it passes the next message.
        client.send(b"hello");
        exchange(&client, &server);
        assert_eq!(open_descriptors(&relay), before);
    }
);

locals!(descriptors_arrive_with_their_own_message, |place| {
    let backend = RawMessageListener::bind(place);
    let relay = Server::relay(place, backend.address(), &[]);
    let (client, server) = connected(&relay, &backend);
    if !place.keeps_messages() {
        // Bytes of several sends may come together.
        return;
    }
    relay.signal(Signal::SIGSTOP);
    for count in [1, 0, 2, 0, 3] {
        let bytes = format!("{count} files");
        match count {
            0 => client.send(bytes.as_bytes()),
            _ => assert!(Files::new(count).send(&client, bytes.as_bytes()).is_ok()),
        }
    }
    // An empty message can have some too.
    Files::new(1).send(&client, b"").unwrap();
    relay.signal(Signal::SIGCONT);
    for count in [1, 0, 2, 0, 3] {
        let (bytes, got) = Files::receive(&server);
        assert_eq!(bytes, format!("{count} files").into_bytes());
        assert_eq!(got.len(), count);
    }
    let (bytes, got) = Files::receive(&server);
    assert_eq!((bytes.len(), got.len()), (0, 1));
});

locals!(
    descriptors_wait_for_a_receiver_that_does_not_read,
    |place| {
        let backend = RawMessageListener::bind(place);
        let relay = Server::relay(place, backend.address(), &[]);
        let (client, server) = connected(&relay, &backend);
        let before = open_descriptors(&relay);
        client.socket().set_nonblocking(true).unwrap();
        let (files, bytes) = (Files::new(2), noise(1000));
        let mut sent = 0;
        // Until nothing on the way takes more.
        let mut full = 0;
        while full < 3 {
            match files.send(&client, &bytes) {
                Ok(count) => (sent, full) = (sent + count / 1000, 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // The relay may take more when it has had its turn.
                    full += 1;
                    relay.signal(Signal::SIGUSR1);
                    relay.stderr().wait_for_count("open", full);
                }
                Err(error) => panic!("{error}"),
            }
        }
        let (mut taken, mut came) = (0, 0);
        while taken < sent * 1000 {
            let (bytes, got) = Files::receive(&server);
            assert!(got.len() <= 2);
            (taken, came) = (taken + bytes.len(), came + got.len());
        }
        assert_eq!(came, 2 * sent, "of {sent} messages");
        client.socket().set_nonblocking(false).unwrap();
        client.send(b"hello");
        exchange(&client, &server);
        assert_eq!(open_descriptors(&relay), before);
    }
);

/// The kinds of a stream that can carry descriptors.
const KINDS: [Kind; 2] = [Kind::Unix, Kind::Abstract];

/// Takes exactly `count` bytes, and the files that come with them.
fn take(from: &RawMessages, count: usize) -> (Vec<u8>, usize) {
    let (mut all, mut files) = (Vec::new(), 0);
    while all.len() < count {
        let (bytes, got) = Files::receive(from);
        assert!(!bytes.is_empty(), "the end came after {}", all.len());
        all.extend(bytes);
        files += got.len();
    }
    (all, files)
}

/// Sends all `bytes` while the other end takes them.
fn pass(from: &RawMessages, to: &RawMessages, bytes: &[u8]) -> usize {
    let sending = from.twin();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut rest = bytes;
            while !rest.is_empty() {
                rest = &rest[sending.socket().send(rest).unwrap()..];
            }
        });
        let (got, files) = take(to, bytes.len());
        assert_same(&got, bytes);
        files
    })
}

#[test]
fn a_descriptor_after_many_bytes_passes_or_is_refused() {
    for kind in KINDS {
        run(kind, |place| {
            for (options, always_passes) in [(&[][..], false), (&["--copy"], true)] {
                let backend = RawMessageListener::bind(place);
                let relay = Server::relay(place, backend.address(), options);
                let (client, server) = connected(&relay, &backend);
                for (from, to) in [(&client, &server), (&server, &client)] {
                    pass(from, to, &noise(8 << 20));
                    let sent = Files::new(1).send(from, b"x");
                    match sent.is_ok() {
                        true => assert_eq!(take(to, 1), (b"x".to_vec(), 1)),
                        false => assert!(is_refused(&sent) && !always_passes, "{sent:?}"),
                    }
                    // Once the traffic has been small for four pieces, they pass.
                    for _ in 0..5 {
                        assert_eq!(pass(from, to, b"small"), 0);
                    }
                    Files::new(1).send(from, b"x").unwrap();
                    assert_eq!(take(to, 1), (b"x".to_vec(), 1));
                }
            }
        });
    }
}

#[test]
fn many_bytes_after_a_descriptor_keep_the_way_open_for_more() {
    for kind in KINDS {
        run(kind, |place| {
            let backend = RawMessageListener::bind(place);
            let relay = Server::relay(place, backend.address(), &[]);
            let (client, server) = connected(&relay, &backend);
            Files::new(1).send(&client, b"x").unwrap();
            assert_eq!(take(&server, 1), (b"x".to_vec(), 1));
            for _ in 0..2 {
                pass(&client, &server, &noise(8 << 20));
                Files::new(2).send(&client, b"y").unwrap();
                assert_eq!(take(&server, 1), (b"y".to_vec(), 2));
            }
        });
    }
}

#[test]
fn a_descriptor_on_its_way_when_a_stream_begins_is_not_lost() {
    for kind in KINDS {
        run(kind, |place| {
            let backend = RawMessageListener::bind(place);
            let relay = Server::relay(place, backend.address(), &[]);
            let (client, server) = connected(&relay, &backend);
            client.socket().set_send_buffer_size(1 << 20).unwrap();
            relay.signal(Signal::SIGSTOP);
            // What makes a stream, and a descriptor behind it.
            let bulk = noise(4 * 65536);
            assert_eq!(client.socket().send(&bulk).unwrap(), bulk.len());
            Files::new(1).send(&client, b"x").unwrap();
            client.send(b"and more");
            relay.signal(Signal::SIGCONT);
            let (got, files) = take(&server, bulk.len() + 9);
            assert_same(&got, &[&bulk, &b"xand more"[..]].concat());
            assert_eq!(files, 1);
        });
    }
}

locals!(
    too_many_descriptors_for_the_relay_fail_only_their_connection,
    |place| {
        let backend = RawMessageListener::bind(place);
        let script = r#"ulimit -n 64; exec "$SOK" relay "$1" "$2" --threads 1"#;
        let relay = Server::of(Process::sh(script, &[&place.word(), backend.address()]));
        let (client, server) = connected(&relay, &backend);
        let before = open_descriptors(&relay);
        let _ = Files::new(100).send(&client, b"too many").unwrap();
        let (other, served) = match place.has_connection() {
            true => {
                relay.stderr().wait_for("no more descriptors can be opened");
                connected(&relay, &backend)
            }
            // A datagram is lost, and the next one passes.
            false => {
                client.send(b"hello");
                exchange(&client, &server);
                (client, server)
            }
        };
        Files::new(3).send(&other, b"few").unwrap();
        let (bytes, got) = Files::receive(&served);
        assert_eq!((&bytes[..], got.len()), (&b"few"[..], 3));
        other.send(b"hello");
        exchange(&other, &served);
        assert_eq!(open_descriptors(&relay), before);
        drop((other, served));
        relay.terminate();
        relay.wait();
        let said = relay.said();
        assert!(said.contains("no more descriptors can be opened"), "{said}");
    }
);

locals!(refused_descriptors_are_an_error_of_their_sender, |place| {
    if !kernel_can_refuse_descriptors() {
        return;
    }
    let backend = RawMessageListener::bind(place);
    let relay = Server::relay(place, backend.address(), &["--descriptors", "refuse"]);
    let (client, server) = connected(&relay, &backend);
    for from in [&client, &server] {
        assert!(is_refused(&Files::new(1).send(from, b"no")));
    }
    client.send(b"hello");
    exchange(&client, &server);
});

locals!(dropped_descriptors_are_counted, |place| {
    let backend = RawMessageListener::bind(place);
    let relay = Server::relay(
        place,
        backend.address(),
        &["--descriptors", "drop", "--once"],
    );
    let (client, server) = connected(&relay, &backend);
    let before = open_descriptors(&relay);
    for (from, to) in [(&client, &server), (&server, &client)] {
        Files::new(3).send(from, b"without").unwrap();
        let (bytes, got) = Files::receive(to);
        assert_eq!((&bytes[..], got.len()), (&b"without"[..], 0));
    }
    client.send(b"hello");
    exchange(&client, &server);
    assert_eq!(open_descriptors(&relay), before);
    drop((client, server));
    relay.terminate();
    assert_eq!(relay.wait(), 0, "{}", relay.said());
    let said = relay.said();
    assert!(
        said.contains("descriptors dropped") && said.contains("descriptors=6"),
        "{said}"
    );
});

#[test]
fn descriptors_cannot_leave_their_family() {
    for kind in KINDS {
        run(kind, |place| {
            run(Kind::Inet, |far| {
                let backend = RawListener::bind(far);
                if kernel_can_refuse_descriptors() {
                    let relay = Server::relay(place, backend.address(), &[]);
                    let client = RawMessages::connect(relay.address());
                    assert!(is_refused(&Files::new(1).send(&client, b"no")));
                    client.send(b"but bytes");
                    assert_eq!(backend.accept().take(9), b"but bytes");
                }
                let options = ["--descriptors", "pass", "--once"];
                let relay = Server::relay(place, backend.address(), &options);
                let client = RawMessages::connect(relay.address());
                Files::new(1).send(&client, b"no").unwrap();
                assert_eq!(relay.wait(), 1);
                let said = relay.said();
                for part in [
                    "descriptors cannot be passed on",
                    "AF_INET",
                    relay.address(),
                ] {
                    assert!(said.contains(part), "{part} in {said}");
                }
            });
        });
    }
}

locals!(
    a_framing_takes_descriptors_to_their_message_and_back,
    |place| {
        for kind in KINDS {
            run(kind, |stream| {
                let (near, far) = match place.keeps_messages() {
                    true => (place, stream),
                    false => return,
                };
                let backend = RawMessageListener::bind(far);
                let relay = Server::relay(near, backend.address(), &["--framing", "line"]);
                let client = RawMessages::connect(relay.address());
                client.send(b"hello");
                let server = backend.accept();
                assert_eq!(server.receive(), b"hello\n");
                relay.signal(Signal::SIGSTOP);
                client.send(b"one");
                client.send(b"two");
                let files = Files::new(2);
                files.send(&client, b"three").unwrap();
                client.send(b"four");
                relay.signal(Signal::SIGCONT);
                // Never later than their message, and never with one after it.
                let (bytes, got) = take(&server, b"one\ntwo\nthree\n".len());
                assert!(bytes.starts_with(b"one\ntwo\nthree\n"));
                assert_eq!(got, 2);
                if bytes.len() == b"one\ntwo\nthree\n".len() {
                    assert_eq!(server.receive(), b"four\n");
                }

                relay.signal(Signal::SIGSTOP);
                server.send(b"a\nb\n");
                // In two parts, both with some.
                files.send(&server, b"begin").unwrap();
                Files::new(1).send(&server, b" and end\n").unwrap();
                server.send(b"c\n");
                relay.signal(Signal::SIGCONT);
                for (message, count) in [("a", 0), ("b", 0), ("begin and end", 3), ("c", 0)] {
                    let (bytes, got) = Files::receive(&client);
                    assert_eq!((bytes, got.len()), (message.as_bytes().to_vec(), count));
                }
            });
        }
    }
);

#[test]
fn descriptors_between_networks_mean_nothing() {
    let options = [
        "relay",
        "inet:127.0.0.1:0",
        "inet:127.0.0.1:1",
        "--descriptors",
        "pass",
    ];
    let done = sok(&options);
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("means nothing"), "{}", done.stderr);
}

forms!(a_program_inherits_only_what_it_is_given, |place| {
    let file = place.file("given", "a line\n");
    let script = r#"exec 5<"$2" 6<"$2"
        exec "$SOK" serve "$1" $3 --pass-fd 5 --exec sh -c 'read first; cat <&5; cat <&6; true'"#;
    let framing = if place.keeps_messages() {
        "--framing=line"
    } else {
        ""
    };
    let arguments = [&place.word(), file.to_str().unwrap(), framing];
    let server = Server::of(Process::sh(script, &arguments));
    let got = match place.keeps_messages() {
        true => {
            let client = RawMessages::connect(server.address());
            client.send(b"go");
            client.receive()
        }
        false => {
            let mut client = RawStream::connect(server.address());
            client.send(b"go\n");
            client.take(6)
        }
    };
    assert_eq!(got, b"a line");
    server.stderr().wait_for("6: ");
});

#[test]
fn a_descriptor_that_cannot_be_given_is_refused_at_the_start() {
    for (number, code) in [("77", 2), ("2", 2), ("-1", 2), ("x", 2)] {
        let word = "unix:@sok-never-listens";
        let option = format!("--pass-fd={number}");
        let done = sok(&["serve", word, &option, "--exec", "cat"]);
        assert_eq!(done.code, code, "{}", done.stderr);
        assert!(done.stderr.contains("--pass-fd"), "{}", done.stderr);
    }
    let done = sok(&["serve", "unix:@sok-never-listens", "--pass-fd=3"]);
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("--exec"), "{}", done.stderr);
}
