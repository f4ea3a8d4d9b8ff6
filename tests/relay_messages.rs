//! `sok relay` with sockets that keep messages apart: from each form to each, and through a framing
//! to a stream and back.

use std::io;
use std::sync::mpsc::channel;
use std::thread;

use sok::address::SocketType;

use crate::support::{
    Form, Place, Process, RawMessageListener, RawMessages, Server, assert_same, noise, run, sok,
};

/// The largest message that UDP takes.
const LARGEST_DATAGRAM: usize = 65_507;

fn message_forms() -> impl Iterator<Item = Form> {
    let all = Form::all().into_iter();
    all.filter(|form| form.socket_type != SocketType::Stream)
}

/// Makes a test of each form that keeps messages apart to listen on, whose body sees every such form
/// of a target.
macro_rules! pairs {
    ($fact:ident, |$near:ident, $far:ident| $body:block) => {
        messages!($fact, |$near| {
            for form in message_forms() {
                run(form, |$far: &Place| $body);
            }
        });
    };
}

/// The lengths of messages that go through every pair of forms.
const LENGTHS: [usize; 7] = [0, 1, 8191, 8192, 20_000, LARGEST_DATAGRAM, 0];

/// Passes each message from `client` to the server and back before the next one: UDP drops what
/// does not fit into its buffers.
fn assert_exchanges(client: &RawMessages, server: impl Fn() -> RawMessages, lengths: &[usize]) {
    for length in lengths {
        let message = noise(*length);
        client.send(&message);
        let served = server();
        assert_same(&served.receive(), &message);
        served.send(&message);
        served.send(b"and one more");
        assert_same(&client.receive(), &message);
        assert_eq!(client.receive(), b"and one more");
    }
}

pairs!(
    messages_of_every_length_pass_whole_both_ways,
    |near, far| {
        let backend = RawMessageListener::bind(far);
        let relay = Server::relay(near, backend.address(), &[]);
        let client = RawMessages::connect(relay.address());
        client.send(b"first");
        let served = backend.accept();
        assert_eq!(served.receive(), b"first");
        assert_exchanges(&client, || served.twin(), &LENGTHS);
    }
);

pairs!(two_clients_do_not_get_each_others_messages, |near, far| {
    let backend = RawMessageListener::bind(far);
    let relay = Server::relay(near, backend.address(), &[]);
    let clients = [(); 2].map(|()| RawMessages::connect(relay.address()));
    let served: Vec<RawMessages> = clients
        .iter()
        .map(|client| {
            client.send(b"hello");
            let served = backend.accept();
            assert_eq!(served.receive(), b"hello");
            served
        })
        .collect();
    for (number, served) in served.iter().enumerate() {
        served.send(number.to_string().as_bytes());
    }
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(client.receive(), number.to_string().as_bytes());
    }
});

/// The largest message that the kernel takes from this socket.
fn largest(peer: &RawMessages) -> Vec<u8> {
    let most = peer.socket().send_buffer_size().unwrap();
    let taken = (0..most).rev().find(|length| {
        let message = vec![0; *length];
        let sent = peer.try_send(&message);
        sent.is_ok()
    });
    noise(taken.unwrap())
}

pairs!(the_largest_message_of_the_kernel_passes, |near, far| {
    if near.is_network() || far.is_network() {
        // UDP has a fixed limit, which is among the lengths above.
        return;
    }
    let backend = RawMessageListener::bind(far);
    let relay = Server::relay(near, backend.address(), &["--max-message", "4MiB"]);
    let client = RawMessages::connect(relay.address());
    // More than usual sockets take.
    client.socket().set_send_buffer_size(1 << 18).unwrap();
    let message = largest(&client);
    let served = backend.accept();
    assert_eq!(served.receive().len(), message.len());
    client.send(&message);
    assert_same(&served.receive(), &message);
    served.socket().set_send_buffer_size(1 << 18).unwrap();
    served.send(&message);
    assert_same(&client.receive(), &message);
});

pairs!(
    a_slow_receiver_blocks_the_sender_and_loses_nothing,
    |near, far| {
        if near.is_network() || far.is_network() {
            // UDP drops what its receiver has no room for.
            return;
        }
        const COUNT: u32 = 1500;
        let message = |number: u32| [&number.to_be_bytes()[..], &noise(2000)].concat();
        let backend = RawMessageListener::bind(far);
        let relay = Server::relay(near, backend.address(), &[]);
        let client = RawMessages::connect(relay.address());
        thread::scope(|scope| {
            let (blocked, is_blocked) = channel();
            scope.spawn(move || {
                let mut is_free = true;
                for number in 0..COUNT {
                    let message = message(number);
                    client.socket().set_nonblocking(is_free).unwrap();
                    match client.try_send(&message) {
                        Ok(()) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            is_free = false;
                            client.socket().set_nonblocking(false).unwrap();
                            blocked.send(()).unwrap();
                            client.send(&message);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            is_blocked.recv().expect("the sender blocks");
            let served = backend.accept();
            for number in 0..COUNT {
                assert_same(&served.receive(), &message(number));
            }
        });
    }
);

pairs!(a_half_close_passes_and_the_answer_after_it, |near, far| {
    if !near.has_connection() || !far.has_connection() {
        return;
    }
    let backend = RawMessageListener::bind(far);
    let relay = Server::relay(near, backend.address(), &["--once"]);
    let client = RawMessages::connect(relay.address());
    client.send(b"request");
    client.finish();
    let served = backend.accept();
    assert_eq!(served.receive(), b"request");
    served.assert_end();
    served.send(b"");
    served.send(b"a late reply");
    drop(served);
    assert_eq!(client.receive(), b"");
    assert_eq!(client.receive(), b"a late reply");
    client.assert_end();
    assert_eq!(relay.wait(), 0, "{}", relay.said());
});

pairs!(a_session_ends_when_idle_and_another_begins, |near, far| {
    if near.has_connection() {
        return;
    }
    let backend = RawMessageListener::bind(far);
    let options = ["--idle-timeout", "100ms", "-v", "--exit-after", "2"];
    let relay = Server::relay(near, backend.address(), &options);
    let client = RawMessages::connect(relay.address());
    for message in [&b"one"[..], b"two"] {
        client.send(message);
        let served = backend.accept();
        assert_eq!(served.receive(), message);
        served.send(b"answer");
        assert_eq!(client.receive(), b"answer");
        if far.has_connection() {
            served.assert_end();
        }
        drop(served);
        let ended = |text: &str| text.contains(" ended connection=1 ");
        relay.stderr().wait_until("the end of the first", ended);
    }
    assert_eq!(relay.wait(), 0, "{}", relay.said());
});

pairs!(the_end_of_the_target_ends_the_session, |near, far| {
    if near.has_connection() || !far.has_connection() {
        return;
    }
    let backend = RawMessageListener::bind(far);
    let relay = Server::relay(near, backend.address(), &["-v", "--exit-after", "2"]);
    let client = RawMessages::connect(relay.address());
    for number in 1..=2 {
        client.send(b"request");
        let served = backend.accept();
        assert_eq!(served.receive(), b"request");
        served.send(b"answer");
        drop(served);
        assert_eq!(client.receive(), b"answer");
        let line = format!(" ended connection={number} ");
        relay.stderr().wait_for(&line);
    }
    assert_eq!(relay.wait(), 0, "{}", relay.said());
});

pairs!(a_target_that_is_not_there_is_named, |near, far| {
    let nobody = far.nobody();
    let relay = Server::relay(near, &nobody.address, &["--once"]);
    let client = RawMessages::connect(relay.address());
    // A client of sequenced packets may be refused before it sends.
    let _ = client.try_send(b"request");
    assert_eq!(relay.wait(), 3, "{}", relay.said());
    assert!(relay.said().contains(&nobody.address), "{}", relay.said());
});

pairs!(a_stop_ends_open_sessions, |near, far| {
    if near.has_connection() {
        return;
    }
    let backend = RawMessageListener::bind(far);
    let relay = Server::relay(near, backend.address(), &["--grace", "60s"]);
    let client = RawMessages::connect(relay.address());
    client.send(b"request");
    // The target stays connected, and ends nothing.
    let served = backend.accept();
    assert_eq!(served.receive(), b"request");
    relay.terminate();
    assert_eq!(relay.wait(), 0, "{}", relay.said());
});

pairs!(a_message_above_the_limit_does_not_pass, |near, far| {
    let backend = RawMessageListener::bind(far);
    let options = ["--max-message", "1000", "--once"];
    let relay = Server::relay(near, backend.address(), &options);
    let client = RawMessages::connect(relay.address());
    client.send(&noise(1000));
    let served = backend.accept();
    assert_same(&served.receive(), &noise(1000));
    client.send(&noise(1001));
    if !near.has_connection() {
        // A datagram has no connection that could break.
        client.send(b"another");
        assert_eq!(served.receive(), b"another");
        relay.terminate();
    }
    assert_eq!(relay.wait(), 1, "{}", relay.said());
    assert!(
        relay.said().contains("limit of 1000 bytes"),
        "{}",
        relay.said()
    );
});

pairs!(an_answer_above_the_limit_does_not_pass, |near, far| {
    let backend = RawMessageListener::bind(far);
    let options = [
        "--max-message",
        "1000",
        "--once",
        "--half-close-timeout",
        "100ms",
    ];
    let relay = Server::relay(near, backend.address(), &options);
    let client = RawMessages::connect(relay.address());
    client.send(b"request");
    let served = backend.accept();
    assert_eq!(served.receive(), b"request");
    served.send(&noise(1001));
    if !far.has_connection() {
        served.send(b"another");
        assert_eq!(client.receive(), b"another");
        match near.has_connection() {
            true => client.finish(),
            false => relay.terminate(),
        }
    }
    assert_eq!(relay.wait(), 1, "{}", relay.said());
    assert!(
        relay.said().contains("limit of 1000 bytes"),
        "{}",
        relay.said()
    );
});

messages!(a_dump_shows_each_message, |place| {
    let backend = RawMessageListener::bind(place);
    let relay = Server::relay(place, backend.address(), &["--dump", "text"]);
    let client = RawMessages::connect(relay.address());
    for message in [&b"ab"[..], b"", b"cd"] {
        client.send(message);
    }
    let served = backend.accept();
    served.receive();
    served.send(b"answer");
    let shown = relay.stderr().wait_for("< answer\n");
    let shown = if shown.contains("> cd\n") {
        shown
    } else {
        relay.stderr().wait_for("> cd\n")
    };
    for piece in [
        "connection=1 > 2 bytes\n> ab\n",
        "connection=1 > 0 bytes\n",
        "connection=1 > 2 bytes\n> cd\n",
        "connection=1 < 6 bytes\n",
    ] {
        assert!(shown.contains(piece), "{shown}");
    }
});

messages!(a_relay_of_messages_to_itself_is_refused, |place| {
    let nobody = place.nobody();
    let done = sok(&["relay", &nobody.address, &nobody.address]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("itself"), "{}", done.stderr);
});

messages!(a_client_waits_for_a_target_of_messages, |place| {
    if place.is_network() {
        // Connecting a UDP socket asks nobody.
        return;
    }
    let nobody = place.nobody();
    let options = ["--retry-for", "60s", "--trace"];
    let relay = Server::relay(place, &nobody.address, &options);
    let client = RawMessages::connect(relay.address());
    client.send(b"anybody?");
    relay.stderr().wait_for("connect(");
    let backend = RawMessageListener::of(nobody);
    let served = backend.accept();
    assert_eq!(served.receive(), b"anybody?");
    served.send(b"here");
    assert_eq!(client.receive(), b"here");
});

messages!(the_target_sees_the_given_local_address, |place| {
    let backend = RawMessageListener::bind(place);
    let source = place.nobody().address;
    let relay = Server::relay(place, backend.address(), &["--source", &source]);
    let client = RawMessages::connect(relay.address());
    client.send(b"hello");
    let served = backend.accept();
    assert_eq!(served.receive(), b"hello");
    let peer = match place.has_connection() {
        true => served.socket().peer_addr().unwrap(),
        false => served.peer(),
    };
    assert_eq!(peer, RawMessages::name(&source));
    served.send(b"answer");
    assert_eq!(client.receive(), b"answer");
});

#[test]
fn a_local_address_of_another_type_is_refused() {
    let arguments = ["relay", "udp:127.0.0.1:0", "udp:127.0.0.1:9"];
    let source = ["--source", "inet:127.0.0.1:0"];
    let done = sok(&[&arguments[..], &source].concat());
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("udp4:127.0.0.1:0"), "{}", done.stderr);
}

#[test]
fn ports_of_different_types_are_different_addresses() {
    let place = Place::new(crate::support::Kind::Inet);
    let echo = Server::start(&place, &["--framing", "line"]);
    let own = format!("udp:127.0.0.1:{}", echo.port());
    let relay = Process::sok(&["relay", &own, echo.address(), "--framing", "line"]);
    let relay = Server::of(relay);
    let client = RawMessages::connect(relay.address());
    client.send(b"hello");
    assert_eq!(client.receive(), b"hello");
}
