//! System calls that a sandbox refuses: each is an error, or the work continues without it.

use crate::support::{Place, Server, assert_answers, can_inject, sok_with_fault};

#[test]
fn a_refused_socketpair_is_an_error_and_no_crash() {
    if !can_inject() {
        return;
    }
    for (fault, code) in [
        ("EPERM", 4),
        ("ENOSYS", 1),
        ("ENFILE", 1),
        // Others have given theirs back when it is asked why.
        ("ENFILE:when=1", 1),
    ] {
        let injection = format!("socketpair:error={fault}");
        for arguments in [
            ["serve", "unix:@never"],
            ["call", "unix:@never"],
            ["wait", "unix:@never"],
        ] {
            let done = sok_with_fault(&injection, &arguments).done();
            assert_eq!(done.code, code, "{fault} {arguments:?}: {}", done.stderr);
            let expected = "sok: start the event loop: ";
            assert!(done.stderr.starts_with(expected), "{}", done.stderr);
        }
    }
}

/// A server with a fault serves a client all the same.
fn serves_one(place: &Place, injection: &str) -> Server {
    let server = ["serve", &place.word(), "--once"];
    let server = Server::of(sok_with_fault(injection, &server));
    assert_answers(server.address(), "hello", "hello");
    assert_eq!(server.wait(), 0);
    server
}

families!(a_refused_accept_pauses_with_a_warning, |place| {
    if !can_inject() {
        return;
    }
    let server = serves_one(place, "accept4:error=EPERM:when=1..1001");
    assert!(
        server.said().contains("accepting pauses"),
        "{}",
        server.said()
    );
});

families!(a_client_with_hidden_credentials_is_served, |place| {
    if !can_inject() {
        return;
    }
    if place.is_network() {
        // No process is asked for, but whether the client took all, which must not be left out.
        return;
    }
    serves_one(place, "getsockopt:error=EPERM");
});
