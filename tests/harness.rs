//! The harness itself: what the other modules rely on.

use std::{fs, io};

use nix::sys::signal::Signal;

use crate::support::{
    Kind, Process, RawListener, RawMessageListener, RawMessages, RawStream, Server, listed_needs,
    sok,
};

families!(a_server_answers_a_raw_client, |place| {
    let server = Server::start(place, &["--suffix", "!"]);
    let mut client = RawStream::connect(server.address());
    client.send(b"hello");
    client.finish();
    assert_eq!(client.rest(), b"hello!");
});

families!(a_raw_server_answers_the_program, |place| {
    let listener = RawListener::bind(place);
    let call = Process::sok(&["call", listener.address(), "ping"]);
    let mut served = listener.accept();
    assert_eq!(served.line(), "ping\n");
    served.send(b"pong\n");
    assert_eq!(call.done().stdout, b"pong\n");
});

messages!(raw_peers_exchange_whole_messages, |place| {
    let listener = RawMessageListener::bind(place);
    assert!(listener.address().starts_with(place.prefix()));
    let client = RawMessages::connect(listener.address());
    for message in [&b"hello"[..], b"", &[1; 20_000]] {
        client.send(message);
    }
    let served = listener.accept();
    assert_eq!(served.receive(), b"hello");
    assert_eq!(served.receive(), b"");
    assert_eq!(served.receive(), [1; 20_000]);
    served.send(b"");
    served.send(b"answer");
    assert_eq!(client.receive(), b"");
    assert_eq!(client.receive(), b"answer");
    if place.has_connection() {
        client.finish();
        served.assert_end();
    }
});

datagrams!(a_raw_server_answers_each_of_its_peers, |place| {
    let listener = RawMessageListener::bind(place);
    let clients = [b"1", b"2"].map(|name| (RawMessages::connect(listener.address()), name));
    for (client, name) in &clients {
        client.send(*name);
    }
    for (client, name) in &clients {
        let served = listener.accept();
        assert_eq!(&served.receive(), name);
        served.send(b"to");
        assert_eq!(client.receive(), b"to");
    }
});

forms!(nobody_is_at_the_address_of_nobody, |place| {
    let nobody = place.nobody();
    let reached = match place.keeps_messages() {
        // UDP learns that nobody is there from the answer to a message.
        true => RawMessages::try_connect(&nobody.address)
            .and_then(|peer| peer.try_send(b"").and_then(|()| peer.try_receive()))
            .map(drop),
        false => RawStream::try_connect(&nobody.address).map(drop),
    };
    let refused = reached.unwrap_err().kind();
    let want = match place.kind() {
        Kind::Unix => io::ErrorKind::NotFound,
        _ => io::ErrorKind::ConnectionRefused,
    };
    assert_eq!(refused, want);
    match place.keeps_messages() {
        true => drop(RawMessageListener::of(nobody)),
        false => drop(RawListener::of(nobody)),
    }
});

families!(the_signal_ends_a_server, |place| {
    let server = Server::start(place, &[]);
    server.terminate();
    assert_eq!(server.wait(), 0, "{}", server.stderr().text());
});

#[test]
fn a_command_gives_its_code_and_its_output() {
    let done = sok(&["--version"]);
    assert_eq!(done.code, 0);
    assert!(done.stdout.starts_with(b"sok "));
    assert_eq!(done.stderr, "");
}

/// Without this, a test that this machine does not skip could name something that no list requires.
#[test]
fn each_need_of_a_test_is_in_a_list_of_the_script() {
    let listed = listed_needs();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let folders = [
        root.to_owned(),
        format!("{root}/support"),
        format!("{root}/scorecard"),
    ];
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut count = 0;
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for function in ["required", "require_peer"] {
            let call = format!("{function}(");
            let calls = text.split(&call).skip(1);
            let names =
                calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
            for name in names {
                count += 1;
                assert!(
                    listed.contains(&name),
                    "{}: scripts/test lists no {name}",
                    path.display()
                );
            }
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn no_signal_that_the_tests_send_is_ignored_from_the_start() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:\t"))
        .unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
    ] {
        assert!(
            ignored & (1 << (signal as i32 - 1)) == 0,
            "{signal} is ignored, as under nohup; scripts/test resets it"
        );
    }
}
