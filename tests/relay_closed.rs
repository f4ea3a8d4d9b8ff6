//! A relay of which one side has closed or ended, and the other says nothing.

use std::io::Write;
use std::thread;

use crate::support::{Kind, RawListener, RawStream, Server, run};

families!(a_closed_client_ends_a_silent_target, |near| {
    if near.is_network() {
        // TCP sends the same for an end and for a close.
        return;
    }
    for kind in Kind::ALL {
        run(kind, |far| {
            let backend = RawListener::bind(far);
            let relay = Server::relay(near, backend.address(), &["--once"]);
            let mut client = RawStream::connect(relay.address());
            client.send(b"the last words");
            let mut server = backend.accept();
            assert_eq!(server.take(14), b"the last words");
            drop(client);
            assert_eq!(relay.wait(), 0, "{}", relay.said());
            assert_eq!(server.rest(), b"");
        });
    }
});

families!(a_closed_target_ends_a_silent_client, |far| {
    if far.is_network() {
        return;
    }
    for kind in Kind::ALL {
        run(kind, |near| {
            let backend = RawListener::bind(far);
            let relay = Server::relay(near, backend.address(), &["--once"]);
            let mut client = RawStream::connect(relay.address());
            let mut server = backend.accept();
            server.send(b"the last words");
            drop(server);
            assert_eq!(relay.wait(), 0, "{}", relay.said());
            assert_eq!(client.rest(), b"the last words");
        });
    }
});

families!(a_half_closed_client_still_gets_its_reply, |near| {
    for kind in Kind::ALL {
        run(kind, |far| {
            let backend = RawListener::bind(far);
            let relay = Server::relay(near, backend.address(), &["--once", "-v"]);
            let mut client = RawStream::connect(relay.address());
            client.finish();
            let mut server = backend.accept();
            assert_eq!(server.rest(), b"");
            server.send(b"a reply");
            drop(server);
            assert_eq!(client.rest(), b"a reply");
            assert_eq!(relay.wait(), 0, "{}", relay.said());
        });
    }
});

families!(
    bytes_that_a_closed_client_has_not_taken_are_a_failure,
    |near| {
        if near.is_network() {
            return;
        }
        let backend = RawListener::bind(near);
        let relay = Server::relay(near, backend.address(), &["--once"]);
        let mut client = RawStream::connect(relay.address());
        let mut sending = backend.accept();
        let sender = thread::spawn(move || {
            // More than all on the way can hold, until the relay breaks it off.
            while sending.write_all(&[0; 65536]).is_ok() {}
        });
        client.take(1 << 20);
        client.finish();
        drop(client);
        assert_eq!(relay.wait(), 6, "{}", relay.said());
        sender.join().unwrap();
    }
);

families!(a_half_closed_connection_ends_after_its_timeout, |near| {
    for kind in Kind::ALL {
        run(kind, |far| {
            let backend = RawListener::bind(far);
            let options = ["--half-close-timeout", "50ms", "--once"];
            let relay = Server::relay(near, backend.address(), &options);
            let mut client = RawStream::connect(relay.address());
            let mut server = backend.accept();
            client.finish();
            assert_eq!(relay.wait(), 124, "{}", relay.said());
            assert!(relay.said().contains("was half-closed"), "{}", relay.said());
            client.cut();
            server.cut();
        });
    }
});

families!(a_whole_connection_is_not_half_closed, |place| {
    let backend = RawListener::bind(place);
    let options = ["--half-close-timeout", "1ms", "--once"];
    let relay = Server::relay(place, backend.address(), &options);
    let mut client = RawStream::connect(relay.address());
    let mut server = backend.accept();
    for _ in 0..100 {
        client.send(b"a");
        assert_eq!(server.take(1), b"a");
        server.send(b"b");
        assert_eq!(client.take(1), b"b");
    }
    drop(server);
    client.cut();
    drop(client);
    relay.wait();
});
