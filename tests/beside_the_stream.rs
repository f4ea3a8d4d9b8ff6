//! Urgent data and passed descriptors of a peer: the stream continues.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::support::{
    Kind, Place, Process, RawStream, Server, assert_same, kernel_can_refuse_descriptors, noise, run,
};

/// A relay in front of a server.
fn relay(place: &Place, server: &Server, options: &[&str]) -> Server {
    let word = place.word();
    let mut arguments = vec!["relay", &word, server.address()];
    arguments.extend(options);
    Server::of(Process::sok(&arguments))
}

fn send_urgent(client: &RawStream) {
    client.socket().send_out_of_band(b"!").unwrap();
}

families!(data_after_urgent_data_is_answered, |place| {
    let (echo, other) = (Server::start(place, &[]), Place::new(place.kind()));
    for server in [&echo, &relay(&other, &echo, &[])] {
        let mut client = RawStream::connect(server.address());
        client.send(b"a");
        assert_eq!(client.take(1), b"a");
        // Asleep, so that it finds all of it at once.
        server.signal(Signal::SIGSTOP);
        client.send(b"b");
        send_urgent(&client);
        client.send(b"c");
        server.signal(Signal::SIGCONT);
        assert_eq!(client.take(2), b"bc");
    }
});

families!(a_stream_continues_after_urgent_data, |place| {
    for options in [&[][..], &["--copy"]] {
        let (echo, other) = (Server::start(place, &[]), Place::new(place.kind()));
        let relay = relay(&other, &echo, options);
        let mut client = RawStream::connect(relay.address());
        let (before, after) = (noise(8 << 20), noise(300_000));
        let mut sending = client.twin();
        let came = std::thread::scope(|scope| {
            scope.spawn(|| {
                sending.send(&before);
                send_urgent(&sending);
                sending.send(&after);
                sending.finish();
            });
            client.rest()
        });
        assert_same(&came, &[before, after].concat());
    }
});

#[test]
fn data_after_a_passed_descriptor_is_answered() {
    for kind in [Kind::Unix, Kind::Abstract] {
        run(kind, |place| {
            let (echo, other) = (Server::start(place, &[]), Place::new(kind));
            // The server takes none, so those that the relay passed on would be an error.
            let relay = relay(&other, &echo, &["--descriptors", "drop"]);
            let served = Place::new(kind);
            let program = Server::of(Process::sok(&["serve", &served.word(), "--exec", "cat"]));
            let file = std::fs::File::open("/dev/null").unwrap();
            for server in [&echo, &relay, &program] {
                let mut client = RawStream::connect(server.address());
                client.send(b"a");
                assert_eq!(client.take(1), b"a");
                server.signal(Signal::SIGSTOP);
                let files = [file.as_fd().as_raw_fd()];
                let sent = sendmsg::<()>(
                    client.socket().as_raw_fd(),
                    &[IoSlice::new(b"b")],
                    &[ControlMessage::ScmRights(&files)],
                    MsgFlags::empty(),
                    None,
                );
                client.send(b"c");
                server.signal(Signal::SIGCONT);
                // What answers messages has no use for an open file.
                if std::ptr::eq(server, &raw const echo) && kernel_can_refuse_descriptors() {
                    assert_eq!(sent, Err(nix::Error::EPERM));
                    assert_eq!(client.take(1), b"c");
                } else {
                    assert_eq!(sent, Ok(1));
                    assert_eq!(client.take(2), b"bc");
                }
            }
        });
    }
}
