//! `wait` on sockets that keep messages apart.

use nix::sys::signal::Signal;

use crate::support::{Process, RawMessageListener, Server, sok};

messages!(
    a_server_is_told_from_a_stale_file_where_it_can_be,
    |place| {
        let nobody = place.nobody();
        let word = &*nobody.address;
        if place.is_network() {
            for options in [&[][..], &["--gone"]] {
                let done = sok(&[&["wait", word], options].concat());
                assert_eq!(done.code, 2, "{}", done.stderr);
                for part in [word, "cannot be known", "sok call", "--timeout"] {
                    assert!(done.stderr.contains(part), "{part:?}: {}", done.stderr);
                }
            }
            return;
        }
        let waiting = Process::sok(&["wait", word, "--interval", "10ms"]);
        let server = Server::at(word, &[]);
        assert_eq!(waiting.wait(), 0);

        let gone = Process::sok(&["wait", "--gone", word, "--interval", "10ms"]);
        // A killed server leaves its file.
        server.signal(Signal::SIGKILL);
        server.wait();
        assert_eq!(gone.wait(), 0);
        let done = sok(&["wait", word, "--timeout", "50ms"]);
        assert_eq!(done.code, 124, "{}", done.stderr);
    }
);

datagrams!(a_wait_sends_nothing_to_a_datagram_server, |place| {
    if place.is_network() {
        return;
    }
    let server = RawMessageListener::bind(place);
    assert_eq!(sok(&["wait", server.address()]).code, 0);
    assert_eq!(
        sok(&["call", "--no-reply", server.address(), "first"]).code,
        0
    );
    assert_eq!(server.accept().receive(), b"first");
});
