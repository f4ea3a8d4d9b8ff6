//! The options of UDP: broadcast, groups, hops.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use socket2::Socket;
use sok::address::SocketType;

use crate::support::{
    Done, Form, Kind, Process, RawMessageListener, Server, in_own_network, require_peer, required,
    run, sok,
};

const UDP: Form = Kind::Inet.with_type(SocketType::Datagram);

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

    let echo = Server::start(place, &["--ttl", "9"]);
    // What it answers goes to the raw socket.
    let answered = server.socket();
    answered.send_to(b"hi", &encoded(echo.address())).unwrap();
    assert_eq!(receive_with_hops(answered), (b"hi".to_vec(), 9));
});

fn encoded(address: &str) -> socket2::SockAddr {
    let (_, rest) = address.split_once(':').unwrap();
    rest.parse::<std::net::SocketAddr>().unwrap().into()
}

#[test]
fn a_broadcast_address_needs_the_option_and_any_host_answers() {
    run(UDP, |_| {
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

#[test]
fn a_relay_sends_to_a_broadcast_address_with_the_option_only() {
    run(UDP, |place| {
        let server = Server::at("udp4:0.0.0.0:0", &[]);
        let target = format!("udp4:127.255.255.255:{}", port(server.address()));
        let near = format!("unixgram:{}", place.path("relay").display());
        let relay = Server::of(Process::sok(&["relay", &near, &target, "--broadcast"]));
        let done = sok(&["call", relay.address(), "who"]);
        assert_eq!((done.code, &*done.text()), (0, "who\n"), "{}", done.stderr);

        // No socket of this relay can join.
        let done = sok(&["relay", &near, &target, "--join", "239.1.1.1%lo"]);
        assert_fails(&done, 2, &["--join", "UDP"]);
    });
}

#[test]
fn a_group_has_several_servers_which_answer_from_their_addresses() {
    run(UDP, |_| {
        let own = ["--join", "239.255.77.1%lo"];
        let serve = |port: &str, suffix| {
            let word = format!("udp4:0.0.0.0:{port}");
            Server::at(&word, &[&own[..], &["--suffix", suffix]].concat())
        };
        let first = serve("0", "1");
        let port = port(first.address());
        let second = serve(port, "2");
        let word = format!("udp4:239.255.77.1:{port}");
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
        let bound = format!("udp4:0.0.0.0:{port}");
        let listens = [&["connect", &*word, "--bind", &bound], &own[..]].concat();
        let mut listener = Process::sok(&listens);
        listener.write(b"itself\n");
        listener.stdout().wait_for("itself\n");
        let done = sok(&[&["call", "--no-reply", &*word, "news"], &own[..]].concat());
        assert_eq!(done.code, 0, "{}", done.stderr);
        listener.stdout().wait_for("news\n");
    });
}

/// The loopback interface has no route to the groups of IPv6.
#[test]
fn a_group_of_ipv6_is_reached_on_its_interface() {
    if !require_peer("ip") {
        return;
    }
    let script = "
        (
            ip link set lo up && ip link add v0 type veth peer name v1 &&
            ip link set v0 up && ip link set v1 up &&
            ip addr add fd01::1/64 dev v0 nodad
        ) || exit 99
        \"$SOK\" serve 'udp6:[::]:5005' --join ff02::77:1%v0 --suffix 1 &
        \"$SOK\" call 'udp6:[ff02::77:1%v0]:5005' who --resend 20ms --timeout 30s
        code=$?
        kill $!
        exit $code";
    let done = in_own_network(script);
    if !required("network namespaces", done.is_some()) {
        return;
    }
    let done = done.unwrap();
    assert_eq!((done.code, &*done.text()), (0, "who1\n"), "{}", done.stderr);
}

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
