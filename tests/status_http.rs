//! The HTTP of `--status`: what peers send, at their own pace, and what that costs others.

use std::io::Write;

use crate::support::http::{Response, answer, page, request, status, status_of};
use crate::support::{Place, RawStream, Server};

/// A server on a fresh address of `place`, with its status there too.
fn serve(place: &Place) -> (Server, String) {
    let word = place.word();
    let server = Server::start(place, &["--status", &word]);
    let status = status_of(&server);
    (server, status)
}

/// The code of the response to these bytes.
fn code(address: &str, bytes: &[u8]) -> u16 {
    answer(address, bytes, true).code
}

families!(requests_of_each_version_and_form_are_answered, |place| {
    let (_server, address) = serve(place);
    for text in [
        "GET /healthz HTTP/1.0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        // As `nc` sends what a person types.
        "GET /healthz HTTP/1.0\n\n",
        "\r\nGET /healthz HTTP/1.0\r\n\r\n",
        "GET http://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /healthz?check=1 HTTP/1.1\r\nHOST: a\r\nConnection: keep-alive\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
    ] {
        let response = answer(&address, text.as_bytes(), true);
        assert_eq!((response.code, &*response.body), (200, "ok\n"), "{text:?}");
    }
});

families!(what_is_no_request_is_refused, |place| {
    let (_server, address) = serve(place);
    let many = "a: b\r\n".repeat(100);
    for (text, expected) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), 400),
        (
            "GET http:///healthz HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            400,
        ),
        ("GET /\r\n\r\n".to_owned(), 400),
        ("hello\r\n\r\n".to_owned(), 400),
        ("\x16\x03\x01\x02\0\x01\0".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        (format!("GET / HTTP/1.0\r\n{many}\r\n"), 431),
        (
            format!("GET / HTTP/1.0\r\na: {}\r\n\r\n", "b".repeat(9000)),
            431,
        ),
        (
            format!("GET /{} HTTP/1.0\r\n\r\n", "b".repeat(100_000)),
            431,
        ),
    ] {
        let shown = &text[..text.len().min(60)];
        assert_eq!(code(&address, text.as_bytes()), expected, "{shown:?}");
    }
    assert_eq!(page(&address, "/healthz"), "ok\n");
});

// RFC 9110, section 9.3.2.
families!(a_response_to_head_has_no_body, |place| {
    let (_server, address) = serve(place);
    for (text, code) in [
        ("HEAD /healthz HTTP/1.0\r\n\r\n", 200),
        ("HEAD /none HTTP/1.0\r\n\r\n", 404),
        ("HEAD / HTTP/1.1\r\n\r\n", 400),
        ("HEAD / HTTP/2.0\r\n\r\n", 505),
    ] {
        let response = answer(&address, text.as_bytes(), false);
        assert_eq!((response.code, &*response.body), (code, ""), "{text:?}");
    }
});

families!(a_request_may_come_byte_by_byte, |place| {
    let (_server, address) = serve(place);
    let mut client = RawStream::connect(&address);
    for byte in b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" {
        client.send(&[*byte]);
    }
    assert_eq!(Response::parse(&client.rest(), true).code, 200);
});

families!(a_request_may_end_with_the_half_close, |place| {
    let (_server, address) = serve(place);
    let mut client = RawStream::connect(&address);
    let got = client.exchange(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(Response::parse(&got, true).body, "ok\n");
    // Half a request is none.
    let mut client = RawStream::connect(&address);
    let got = client.exchange(b"GET /healthz HTTP/1.0\r\n");
    assert_eq!(Response::parse(&got, true).code, 400);
});

families!(of_several_requests_at_once_the_first_is_answered, |place| {
    let (_server, address) = serve(place);
    let one = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    // The rest is read, since bytes that are left unread would break the response off.
    let response = answer(&address, one.repeat(1000).as_bytes(), true);
    assert_eq!((response.code, &*response.body), (200, "ok\n"));
});

families!(a_client_that_only_connects_is_not_counted, |place| {
    let (_server, address) = serve(place);
    for _ in 0..3 {
        drop(RawStream::connect(&address));
    }
    assert_eq!(page(&address, "/healthz"), "ok\n");
    assert_eq!(status(&address)["status"]["dropped"], 0);
});

families!(peers_that_stall_keep_nobody_out, |place| {
    let (server, address) = serve(place);
    let mut client = RawStream::connect(server.address());
    let stall = |count: usize, bytes: &[u8]| -> Vec<RawStream> {
        let connected = |_| {
            let mut peer = RawStream::connect(&address);
            let small = 1024;
            peer.socket().set_recv_buffer_size(small).unwrap();
            // It may already have lost its place.
            let _ = peer.write_all(bytes);
            peer
        };
        (0..count).map(connected).collect()
    };
    let mut stalled = Vec::new();
    for (count, bytes) in [
        (40, &b""[..]),
        (40, b"GET / HTTP/1.1\r\nHost"),
        // Readers that do not read.
        (20, b"GET / HTTP/1.0\r\n\r\n"),
    ] {
        stalled.extend(stall(count, bytes));
        // No client waits for them, and no probe.
        client.send(b"hello");
        assert_eq!(client.take(5), b"hello");
        assert_eq!(
            RawStream::connect(server.address()).exchange(b"new"),
            b"new"
        );
        assert_eq!(page(&address, "/healthz"), "ok\n");
    }
    // 32 have a place. The others lost theirs, which does not count if they had been answered.
    let dropped = status(&address)["status"]["dropped"].as_u64().unwrap();
    assert!((48..=80).contains(&dropped), "{dropped} dropped");
    for mut peer in stalled {
        peer.cut();
    }
    assert_eq!(request(&address, "GET", "/").code, 200);
});

families!(a_peer_that_stalls_has_a_limit_of_time, |place| {
    let (_server, address) = serve(place);
    let mut peer = RawStream::connect(&address);
    peer.send(b"GET / HTTP/1.1\r\n");
    assert_eq!(peer.cut(), b"");
    assert_eq!(status(&address)["status"]["dropped"], 1);
});
