//! The options of UDP: broadcast, groups, hops.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use socket2::Socket;

use crate::support::{Done, Kind, Place, Process, RawMessageListener, Server, sok};

fn assert_fails(done: &Done, code: i32, parts: &[&str]) {
    assert_eq!(done.code, code, "{}", done.stderr);
    for part in parts {
        assert!(done.stderr.contains(part), "{part:?}: {}", done.stderr);
    }
}

/// The port of an address, as text.
fn port(address: &str) -> &str {
    address.rsplit_once(':').unwrap().1
}

/// Receives one datagram, and the number of hops that it may go on.
fn receive_with_hops(socket: &Socket) -> (Vec<u8>, i32) {
    let mut bytes = [0; 64];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut control = nix::cmsg_space!(i32);
    let descriptor = socket.as_raw_fd();
    let received = recvmsg::<()>(
        descriptor,
        &mut parts,
        Some(&mut control),
        MsgFlags::empty(),
    );
    let received = received.unwrap();
    let hops = received.cmsgs().unwrap().find_map(|message| match message {
        ControlMessageOwned::Ipv4Ttl(hops) | ControlMessageOwned::Ipv6HopLimit(hops) => Some(hops),
        _ => None,
    });
    let count = received.bytes;
    (bytes[..count].to_vec(), hops.expect("the hops come"))
}

datagrams!(the_hops_of_a_datagram_are_those_asked_for, |place| {
    if !place.is_network() {
        return;
    }
    let server = RawMessageListener::bind(place);
    match place.kind() {
        Kind::Inet => setsockopt(server.socket(), sockopt::Ipv4RecvTtl, &true).unwrap(),
        _ => setsockopt(server.socket(), sockopt::Ipv6RecvHopLimit, &true).unwrap(),
    }
    let call = ["call", "--no-reply", server.address(), "hello"];
    assert_eq!(sok(&[&call[..], &["--ttl", "7"]].concat()).code, 0);
    assert_eq!(receive_with_hops(server.socket()), (b"hello".to_vec(), 7));

    let target = server.address();
    let echo = Server::start(place, &["--ttl", "9"]);
    // What it answers goes to the raw socket.
    let answered = server.socket();
    answered.send_to(b"hi", &encoded(echo.address())).unwrap();
    assert_eq!(receive_with_hops(answered), (b"hi".to_vec(), 9), "{target}");
});

fn encoded(address: &str) -> socket2::SockAddr {
    let (_, rest) = address.split_once(':').unwrap();
    rest.parse::<std::net::SocketAddr>().unwrap().into()
}

#[test]
fn a_broadcast_address_needs_the_option_and_any_host_answers() {
    crate::support::run(Kind::Inet.with_type(sok::address::SocketType::Datagram), |_| {
        let server = Server::at("udp4:0.0.0.0:0", &[]);
        let word = format!("udp4:127.255.255.255:{}", port(server.address()));
        let done = sok(&["call", &word, "who"]);
        assert_fails(&done, 4, &[&word, "--broadcast"]);
        let done = sok(&["call", &word, "who", "--broadcast"]);
        assert_eq!((done.code, &*done.text()), (0, "who\n"), "{}", done.stderr);
        let mut client = Process::sok(&["connect", &word, "--broadcast"]);
        client.write(b"one\n");
        client.stdout().wait_for("one\n");
        client.close_stdin();
        assert_eq!(client.wait(), 0);
    });
}

/// A group of the loopback interface.
fn group(place: &Place) -> Option<(&'static str, &'static str)> {
    match place.kind() {
        Kind::Inet => Some(("239.255.77.1", "239.255.77.1")),
        Kind::Inet6 => Some(("ff01::77:1", "[ff01::77:1%lo]")),
        Kind::Unix | Kind::Abstract => None,
    }
}

datagrams!(a_group_has_several_servers_which_answer_from_their_addresses, |place| {
    let Some((group, host)) = group(place) else {
        return;
    };
    let prefix = place.prefix();
    let any = match place.kind() {
        Kind::Inet => "0.0.0.0",
        _ => "[::]",
    };
    let joined = format!("{group}%lo");
    let first = Server::at(&format!("{prefix}:{any}:0"), &["--join", &joined, "--suffix", "1"]);
    let port = port(first.address());
    let second = Server::at(
        &format!("{prefix}:{any}:{port}"),
        &["--join", &joined, "--suffix", "2"],
    );
    let word = format!("{prefix}:{host}:{port}");
    let own = ["--join", &joined];
    // Both get it, and both answer.
    let mut client = Process::sok(&[&["connect", &*word], &own[..]].concat());
    client.write(b"who\n");
    client.stdout().wait_for("who1\n");
    client.stdout().wait_for("who2\n");
    client.close_stdin();
    assert_eq!(client.wait(), 0);

    let done = sok(&[&["call", &*word, "who"], &own[..]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(["who1\n", "who2\n"].contains(&&*done.text()));
    drop(second);

    // A client that is bound to the port receives what others send to the group.
    let bound = format!("{prefix}:{any}:{port}");
    let listens = [&["connect", &*word, "--bind", &bound], &own[..]].concat();
    let mut listener = Process::sok(&listens);
    listener.write(b"itself\n");
    listener.stdout().wait_for("itself\n");
    let done = sok(&[&["call", "--no-reply", &*word, "news"], &own[..]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    listener.stdout().wait_for("news\n");
});

forms!(an_option_of_udp_is_refused_elsewhere, |place| {
    let server = Server::start(place, &[]);
    let is_udp = place.is_network() && !place.has_connection();
    if is_udp {
        return;
    }
    let word = place.word();
    for options in [
        &["--broadcast"][..],
        &["--join", "239.1.1.1%lo"],
        &["--ttl", "3"],
    ] {
        for command in [
            &["call", server.address(), "hello"][..],
            &["connect", server.address()],
            &["serve", &word],
        ] {
            let done = sok(&[command, options].concat());
            assert_fails(&done, 2, &[command[1], options[0], "UDP"]);
        }
    }
});

datagrams!(a_group_that_cannot_be_joined_is_a_usage_error, |place| {
    if !place.is_network() {
        return;
    }
    let server = Server::start(place, &[]);
    let (other, own) = match place.kind() {
        Kind::Inet => ("ff02::1%lo", "239.1.1.1"),
        _ => ("239.1.1.1%lo", "ff02::1"),
    };
    let word = place.word();
    let nowhere = format!("{own}%nowhere");
    for (group, part) in [
        ("1.2.3.4", "no group"),
        ("name", "not an IP address"),
        ("239.1.1.1%", "interface"),
        (other, "other version"),
        (&nowhere, "no such interface"),
    ] {
        for command in [&["call", server.address(), "hello"][..], &["serve", &word]] {
            let done = sok(&[command, &["--join", group]].concat());
            assert_fails(&done, 2, &[part]);
        }
    }
    for ttl in ["0", "256"] {
        let done = sok(&["call", server.address(), "hello", "--ttl", ttl]);
        assert_fails(&done, 2, &["1 to 255"]);
    }
    if place.kind() == Kind::Inet6 {
        let done = sok(&["call", server.address(), "hello", "--broadcast"]);
        assert_fails(&done, 2, &[server.address(), "IPv6 has no broadcast"]);
    }
});
