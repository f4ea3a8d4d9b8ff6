//! Facts of the scorecard that no other test shows.

use std::fs;

use sok::address::SocketType;

use crate::support::{
    Client, Kind, Process, RawListener, Server, have, open_descriptors, resolved, run, sok,
    sok_with,
};

/// The network families, with a loopback address and the prefixes of TCP and UDP.
const NETWORKS: [(Kind, &str, [&str; 2]); 2] = [
    (Kind::Inet, "127.0.0.1", ["inet", "udp4"]),
    (Kind::Inet6, "[::1]", ["inet6", "udp6"]),
];

/// The networks that this machine has.
fn networks() -> impl Iterator<Item = (Kind, &'static str, [&'static str; 2])> {
    NETWORKS.into_iter().filter(|(kind, ..)| have(*kind))
}

fn assert_answered(address: &str) {
    let done = sok(&["call", address, "hello"]);
    assert_eq!(
        (done.code, &*done.text()),
        (0, "hello\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn the_family_follows_from_the_host() {
    for (_, host, prefixes) in networks() {
        for (own, either) in prefixes.iter().zip(["tcp", "udp"]) {
            let server = Server::at(&format!("{own}:{host}:0"), &[]);
            assert_answered(&format!("{either}:{host}:{}", server.port()));
        }
    }
}

#[test]
fn a_name_is_looked_up_in_the_family_of_the_word() {
    let found = resolved("localhost");
    for (kind, host, prefixes) in networks() {
        let has_it = |ip: &std::net::IpAddr| ip.is_ipv4() == (kind == Kind::Inet);
        if !found.iter().any(has_it) {
            continue;
        }
        for prefix in prefixes {
            let server = Server::at(&format!("{prefix}:{host}:0"), &[]);
            assert_answered(&format!("{prefix}:localhost:{}", server.port()));
        }
    }
}

#[test]
fn an_address_of_the_other_family_is_a_usage_error() {
    let wrong = [
        "inet:[::1]:1",
        "udp4:[::1]:1",
        "inet6:127.0.0.1:1",
        "udp6:127.0.0.1:1",
    ];
    for address in wrong {
        for command in ["serve", "connect"] {
            let done = sok(&[command, address]);
            assert_eq!(done.code, 2, "{}", done.stderr);
            assert!(done.stderr.contains(address), "{}", done.stderr);
        }
    }
}

#[test]
fn every_address_of_one_family_is_no_address_of_the_other() {
    if !have(Kind::Inet) || !have(Kind::Inet6) {
        return;
    }
    let cases = [
        ("inet:0.0.0.0", "inet:127.0.0.1", "inet6:[::1]"),
        ("udp4:0.0.0.0", "udp4:127.0.0.1", "udp6:[::1]"),
        ("inet6:[::]", "inet6:[::1]", "inet:127.0.0.1"),
        ("udp6:[::]", "udp6:[::1]", "udp4:127.0.0.1"),
    ];
    for (every, same, other) in cases {
        let limit: &[&str] = if every.contains("[::]") {
            &["--v6only"]
        } else {
            &[]
        };
        let server = Server::at(&format!("{every}:0"), limit);
        assert_answered(&format!("{same}:{}", server.port()));
        let done = sok(&["call", &format!("{other}:{}", server.port()), "hello"]);
        assert_eq!(done.code, 3, "{every}: {}", done.stderr);
    }
}

#[test]
fn a_client_of_its_own_address_finds_no_server() {
    for (_, host, prefixes) in networks() {
        for prefix in prefixes {
            // A port that was free a moment ago.
            let server = Server::at(&format!("{prefix}:{host}:0"), &[]);
            let own = server.address().to_owned();
            server.terminate();
            assert_eq!(server.wait(), 0);
            let done = sok_with(&["connect", &own, "--bind", &own], b"hello\n");
            assert_eq!((done.code, &*done.text()), (3, ""), "{}", done.stderr);
        }
    }
}

#[test]
fn a_port_is_a_number() {
    for (_, host, prefixes) in networks() {
        for prefix in prefixes {
            for port in ["", "zyxw", "echo", "65536"] {
                for command in ["serve", "connect"] {
                    let address = format!("{prefix}:{host}:{port}");
                    let done = sok(&[command, &address]);
                    assert_eq!(done.code, 2, "{command} {address}: {}", done.stderr);
                    let reason = format!("the port \"{port}\" is not a number from 0 to 65535");
                    assert!(done.stderr.contains(&reason), "{}", done.stderr);
                }
            }
        }
    }
}

#[test]
fn an_overlong_host_name_is_an_error() {
    let host = "A".repeat(1024);
    for prefix in ["inet", "inet6", "tcp", "udp4", "udp6", "udp"] {
        let done = sok(&["connect", &format!("{prefix}:{host}:1")]);
        assert_eq!(done.code, 7, "{}", done.stderr);
    }
}

families!(
    a_server_that_accepts_is_reached_within_a_time_limit,
    |place| {
        let listener = RawListener::bind(place);
        let mut client = Process::sok(&["connect", listener.address(), "--timeout", "60s"]);
        let mut served = listener.accept();
        client.close_stdin();
        assert_eq!(served.rest(), b"");
        served.send(b"an answer\n");
        drop(served);
        let done = client.done();
        assert_eq!(
            (done.code, &*done.text()),
            (0, "an answer\n"),
            "{}",
            done.stderr
        );
    }
);

/// The states of the children of a process, of all its threads, a letter each.
fn states_of_children(process: &Process) -> Vec<char> {
    let mut states = Vec::new();
    for thread in fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap() {
        let children = fs::read_to_string(thread.unwrap().path().join("children")).unwrap();
        for child in children.split_whitespace() {
            let Ok(stat) = fs::read_to_string(format!("/proc/{child}/stat")) else {
                continue;
            };
            states.push(stat.rsplit_once(") ").unwrap().1.chars().next().unwrap());
        }
    }
    states
}

forms!(a_program_that_has_ended_leaves_no_zombie, |place| {
    let framing: &[&str] = if place.keeps_messages() {
        &["--framing", "line"]
    } else {
        &[]
    };
    let options = [&["-v"], framing, &["--exec", "head", "-n1"]].concat();
    let server = Server::start(place, &options);
    for turn in 1..=3 {
        let client = Client::connect(server.address());
        client.assert_echoed(if place.keeps_messages() {
            b"hello"
        } else {
            b"hello\n"
        });
        drop(client);
        server.stderr().wait_for_count("sok: ended ", turn);
        assert_eq!(states_of_children(&server), Vec::<char>::new());
    }
});

#[test]
fn a_prefix_of_no_bits_is_every_address() {
    for (kind, rule) in [(Kind::Inet, "0.0.0.0/0"), (Kind::Inet6, "::/0")] {
        for socket_type in [SocketType::Stream, SocketType::Datagram] {
            run(kind.with_type(socket_type), |place| {
                let server = Server::start(place, &["--allow", rule]);
                Client::connect(server.address()).assert_echoed(b"hello");
                let server = Server::start(place, &["-v", "--deny", rule]);
                Client::connect(server.address()).assert_refused();
                server.stderr().wait_for(" refused ");
            });
        }
    }
}

#[test]
fn a_mask_is_no_prefix() {
    for rule in [
        "127.0.0.0/255.0.0.0",
        "127.0.0.0:255.0.255.255",
        "127.0.0.1/33",
    ] {
        let done = sok(&["serve", "inet:127.0.0.1:0", "--allow", rule]);
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(done.stderr.contains(rule), "{}", done.stderr);
    }
}

forms!(a_refused_client_leaves_no_descriptor, |place| {
    let rule = if place.kind() == Kind::Inet {
        "192.0.2.1"
    } else if place.kind() == Kind::Inet6 {
        "2001:db8::1"
    } else {
        "uid:4294967294"
    };
    let server = Server::start(place, &["-v", "--allow", rule]);
    Client::connect(server.address()).assert_refused();
    server.stderr().wait_for_count(" refused ", 1);
    let before = open_descriptors(&server);
    for turn in 2..=6 {
        Client::connect(server.address()).assert_refused();
        server.stderr().wait_for_count(" refused ", turn);
    }
    // One refused connection may still be on its way out.
    assert!(open_descriptors(&server) <= before + 1, "{}", server.said());
});

locals!(the_path_of_a_client_goes_with_it, |place| {
    let server = Server::start(place, &[]);
    let own = place.word();
    let before = place.listing();
    let done = sok(&["call", server.address(), "hello", "--bind", &own]);
    assert_eq!(
        (done.code, &*done.text()),
        (0, "hello\n"),
        "{}",
        done.stderr
    );
    assert_eq!(place.listing(), before);
});

connections!(two_servers_are_joined_by_a_client_of_each, |place| {
    let inner = Server::start(place, &[]);
    let stdio = ["--stdio", "--framing", "line"];
    let outer = if place.keeps_messages() {
        &stdio[..]
    } else {
        &stdio[..1]
    };
    let mut outer = Server::start(place, outer);
    let framing: &[&str] = if place.keeps_messages() {
        &["--framing", "line"]
    } else {
        &[]
    };
    let words = [
        &["connect", outer.address()],
        framing,
        &["--exec", Process::PROGRAM, "connect", inner.address()],
        framing,
    ];
    let joined = Process::sok(&words.concat());
    outer.write(b"hello\n");
    outer.stdout().wait_for("hello\n");
    outer.close_stdin();
    assert_eq!(outer.wait(), 0, "{}", outer.said());
    assert_eq!(joined.wait(), 0, "{}", joined.said());
});

families!(reports_are_never_among_the_data, |place| {
    let server = Server::start(place, &["-v", "--trace", "--stdio", "--receive-only"]);
    let address = server.address().to_owned();
    let sent = sok_with(&["connect", &address, "-v", "--trace"], b"the data\n");
    assert_eq!((sent.code, &*sent.text()), (0, ""), "{}", sent.stderr);
    assert!(sent.stderr.contains(" connected "), "{}", sent.stderr);
    let got = server.into_process().done();
    assert_eq!(
        (got.code, &*got.text()),
        (0, "the data\n"),
        "{}",
        got.stderr
    );
    assert!(got.stderr.contains(" connected "), "{}", got.stderr);
});
