//! Names that the kernel chooses, what holds a name, and which addresses are our own.

use sok::Address;
use sok::net::is_left_behind;

use crate::support::{
    Kind, Place, Process, RawListener, RawStream, Server, assert_echoes, can_inject, have,
    in_own_network, require_peer, required, sok, sok_with_fault,
};

#[test]
fn an_at_sign_is_a_free_abstract_name() {
    if !have(Kind::Abstract) {
        return;
    }
    let (one, other) = (Server::at("@", &[]), Server::at("unix:@", &[]));
    assert_ne!(one.address(), other.address());
    for server in [&one, &other] {
        assert!(
            server.address().starts_with("unix:@"),
            "{}",
            server.address()
        );
        let reply = RawStream::connect(server.address()).exchange(b"hello");
        assert_eq!(reply, b"hello");
    }
    let relay = Server::of(Process::sok(&["relay", "@", one.address()]));
    let done = sok(&["call", "--bind", "@", relay.address(), "hello"]);
    assert_eq!(
        (done.code, done.text().as_str()),
        (0, "hello\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn each_socket_of_a_command_gets_a_name_or_a_port_of_its_own() {
    if !have(Kind::Abstract) {
        return;
    }
    for word in ["@", "unixgram:@", "inet:127.0.0.1:0", "udp4:127.0.0.1:0"] {
        let done = sok(&["activate", word, word, "--", "true"]);
        assert_eq!(done.code, 0, "{word}: {}", done.stderr);
        assert_eq!(done.stderr.matches("listening on").count(), 2, "{word}");
    }
    let backend = Server::at("@", &[]);
    let words = ["relay", "@", backend.address(), "--listen", "@"];
    let relay = Server::of(Process::sok(&[&words[..], &["--status", "@"]].concat()));
    assert_echoes(relay.address());
}

#[test]
fn no_client_connects_to_port_0_or_the_name_at() {
    for (address, cause) in [
        ("@", "no server listens on @"),
        ("inet:127.0.0.1:0", "no server listens on port 0"),
        ("localhost:0", "no server listens on port 0"),
    ] {
        for arguments in [
            &["call", address, "hello"][..],
            &["connect", address],
            &["wait", address],
            &["relay", "./s", address],
            &["check", address],
            &["bench", "rtt", address],
        ] {
            let done = sok(arguments);
            assert_eq!(done.code, 2, "{arguments:?}: {}", done.stderr);
            assert!(done.stderr.contains(cause), "{}", done.stderr);
        }
    }
}

#[test]
fn a_peer_gets_the_name_that_the_kernel_chose() {
    if !have(Kind::Abstract) {
        return;
    }
    let place = Place::new(Kind::Unix);
    let server = Server::start(&place, &["-v"]);
    let done = sok(&["call", "--bind", "@", server.address(), "hello"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    server.stderr().wait_for("unix:@");
}

families!(a_name_outlives_its_socket_as_the_facts_say, |place| {
    let listener = RawListener::bind(place);
    let address: Address = listener.address().parse().unwrap();
    drop(listener);
    let facts = address.kind().facts();
    assert_eq!(is_left_behind(&address), facts.outlives_socket);
});

#[test]
fn a_foreign_address_is_not_local_with_ip_nonlocal_bind() {
    if !require_peer("ip") {
        return;
    }
    for (family, any, loopback, ours, others) in [
        (
            "ipv4",
            "inet:0.0.0.0",
            "inet:127.0.0.1",
            "198.51.100.1",
            "198.51.100.7",
        ),
        (
            "ipv6",
            "inet6:[::]",
            "inet6:[::1]",
            "2001:db8:1::1",
            "2001:db8:1::7",
        ),
    ] {
        let bracketed = |ip: &str| match family {
            "ipv4" => format!("inet:{ip}"),
            _ => format!("inet6:[{ip}]"),
        };
        let script = format!(
            r#"ip link set lo up && ip address add {ours} dev lo || exit 99
            echo 1 > /proc/sys/net/{family}/ip_nonlocal_bind || exit 99
            "$SOK" relay {any}:82 {other}:82 & "$SOK" wait --timeout 60s {loopback}:82 || exit 1
            kill $! && wait $! || exit 2
            ! "$SOK" relay {any}:82 {own}:82"#,
            other = bracketed(others),
            own = bracketed(ours),
        );
        let done = in_own_network(&script);
        if !required("network namespaces", done.is_some()) {
            return;
        }
        let done = done.unwrap();
        assert_eq!(done.code, 0, "{family}: {}", done.stderr);
        assert!(done.stderr.contains("itself"), "{}", done.stderr);
    }
}

#[test]
fn a_wait_works_without_inotify() {
    if !can_inject() {
        return;
    }
    let place = Place::new(Kind::Unix);
    for call in ["inotify_init1", "inotify_add_watch"] {
        let word = place.word();
        let fault = format!("{call}:error=ENOSYS");
        let wait = sok_with_fault(&fault, &["wait", "--trace", &word]);
        // At least one attempt has found no server.
        wait.stderr().wait_for("ENOENT");
        let _server = Server::at(&word, &[]);
        assert_eq!(wait.wait(), 0, "{}", wait.said());
    }
}
