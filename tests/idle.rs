//! `sok serve --idle-timeout`: a client on whose connection nothing passes is given up, whatever
//! serves it.

use std::io::Write;

use crate::support::{Place, RawStream, Server};

/// Asserts that `server` gave its one client up.
fn assert_given_up(server: &Server) {
    assert_eq!(server.wait(), 124, "{}", server.said());
    let said = server.said();
    assert!(
        said.contains("no data passed in either direction for 50ms"),
        "{said}"
    );
}

fn start(place: &Place, service: &[&str]) -> Server {
    let options = [&["--once", "--idle-timeout", "50ms"], service].concat();
    Server::start(place, &options)
}

families!(a_silent_client_is_disconnected, |place| {
    let file = place.file("file", "content");
    for service in [
        &[][..],
        &["--discard"],
        &["--suffix", "!", "--framing", "line"],
    ] {
        let server = start(place, service);
        let mut client = RawStream::connect(server.address());
        // On a busy machine it may be given up before this.
        let _ = client.write_all(b"the beginning of a message");
        client.cut();
        assert_given_up(&server);
    }
    let server = start(place, &["--exec", "sleep", "1000"]);
    let mut client = RawStream::connect(server.address());
    assert_eq!(client.cut(), b"");
    assert_given_up(&server);
    let server = start(place, &["--send", file.to_str().unwrap()]);
    let mut client = RawStream::connect(server.address());
    // It would wait for our end.
    assert_eq!(client.cut(), b"content");
    assert_given_up(&server);
});

families!(a_client_that_does_not_read_is_cut_off, |place| {
    let server = start(place, &[]);
    let mut client = RawStream::connect(server.address());
    while client.write_all(&[b'a'; 65536]).is_ok() {}
    assert_given_up(&server);
    let server = start(place, &["--send", "/dev/zero"]);
    let client = RawStream::connect(server.address());
    assert_given_up(&server);
    drop(client);
});
