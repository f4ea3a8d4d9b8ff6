//! `--trace`: the same steps on every family, as they happen.

use sok::address::SocketType;

use crate::support::{Kind, RawMessages, Server, run, sok};

/// The lines of a trace without what differs from run to run: descriptors, addresses, times.
fn steps(trace: &str, own: &[&str]) -> Vec<String> {
    let calls = trace.lines().filter(|line| line.starts_with("AF_"));
    calls
        .map(|line| {
            assert!(line.ends_with("us"), "no time in {line}");
            let mut line = line
                .replace("AF_INET6", "AF")
                .replace("AF_INET", "AF")
                .replace("AF_UNIX", "AF");
            for address in own {
                line = line.replace(address, "ADDRESS");
            }
            let (line, _time) = line.rsplit_once("  ").unwrap();
            let (call, result) = line.rsplit_once(" = ").unwrap();
            let (call, arguments) = call.split_once('(').unwrap();
            let arguments: Vec<&str> = arguments.trim_end_matches(')').split(", ").collect();
            let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let call = call.split_whitespace().collect::<Vec<_>>().join(" ");
            let (first, others) = arguments.split_first().unwrap();
            let first = if is_number(first) { "FD" } else { first };
            let made = call.ends_with("socket") || call.ends_with("accept");
            let result = if made && is_number(result) {
                "FD"
            } else {
                result
            };
            let mut all = vec![first];
            // How much is asked for is our own choice; how much comes is not.
            match call.contains(" recv") {
                true => {
                    all.push("SIZE");
                    all.extend(&others[1..]);
                }
                false => all.extend(others),
            }
            format!("{call}({}) = {result}", all.join(", "))
        })
        .collect()
}

families!(a_call_shows_the_same_steps, |place| {
    let server = Server::start(place, &[]);
    let done = sok(&["--trace", "call", server.address(), "hi"]);
    assert_eq!((done.code, done.text().as_str()), (0, "hi\n"));
    assert_eq!(
        steps(&done.stderr, &[server.address()]),
        [
            "AF socket(AF, SOCK_STREAM) = FD",
            "AF connect(FD, ADDRESS) = 0",
            "AF send(FD, 3) = 3",
            "AF recv(FD, SIZE) = 3",
            "AF close(FD) = 0",
        ]
    );
});

families!(an_exchange_shows_the_same_steps, |place| {
    let server = Server::start(place, &["--discard"]);
    let done = sok(&[
        "--trace",
        "connect",
        server.address(),
        "--idle-timeout",
        "1h",
    ]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let mut steps = steps(&done.stderr, &[server.address()]);
    // Both directions run at once: of theirs, the order is not ours to tell.
    let directions = steps.split_off(2);
    assert_eq!(
        steps,
        [
            "AF socket(AF, SOCK_STREAM) = FD",
            "AF connect(FD, ADDRESS) = 0"
        ]
    );
    for step in ["AF shutdown(FD, SHUT_WR) = 0", "AF recv(FD, SIZE) = 0"] {
        assert!(
            directions.iter().any(|line| line == step),
            "{step} is not in {directions:?}"
        );
    }
});

messages!(a_call_in_messages_shows_the_same_steps, |place| {
    let server = Server::start(place, &[]);
    let done = sok(&["--trace", "call", server.address(), "hi"]);
    assert_eq!((done.code, done.text().as_str()), (0, "hi\n"));
    let named = place.has_connection() || place.is_network();
    let kind = match place.has_connection() {
        true => "AF socket(AF, SOCK_SEQPACKET) = FD",
        false => "AF socket(AF, SOCK_DGRAM) = FD",
    };
    let mut expected = vec![kind];
    // To get the answer, it needs a name.
    expected.extend((!named).then_some("AF bind(FD, unixgram:@) = 0"));
    expected.extend([
        "AF connect(FD, ADDRESS) = 0",
        "AF send(FD, 2) = 2",
        "AF recv(FD, SIZE) = 2",
        "AF close(FD) = 0",
    ]);
    assert_eq!(steps(&done.stderr, &[server.address()]), expected);
});

datagrams!(a_datagram_server_shows_each_peer, |place| {
    let word = place.word();
    let server = Server::at(&word, &["--trace"]);
    let own = place.word();
    let client = RawMessages::connect_from(&own, server.address());
    client.send(b"hi");
    assert_eq!(client.receive(), b"hi");
    let peer = match client.socket().local_addr().unwrap().as_socket() {
        Some(name) => format!("{}:{name}", place.prefix()),
        None => own,
    };
    server.terminate();
    assert_eq!(server.wait(), 0);
    assert_eq!(
        steps(&server.said(), &[server.address(), &word, &peer]),
        [
            "AF socket(AF, SOCK_DGRAM) = FD",
            "AF bind(FD, ADDRESS) = 0",
            "AF recvfrom(FD, SIZE, ADDRESS) = 2",
            "AF sendto(FD, 2, ADDRESS) = 2",
            "AF close(FD) = 0",
        ]
    );
});

#[test]
fn without_a_connection_each_call_shows_the_peer() {
    run(Kind::Inet.with_type(SocketType::Datagram), |_| {
        // The answer comes from the address that was asked, of all those that it is bound to.
        let server = Server::at("udp4:0.0.0.0:0", &["--trace"]);
        let word = format!("udp4:127.255.255.255:{}", server.port());
        let done = sok(&["--trace", "call", &word, "who", "--broadcast"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        server.terminate();
        assert_eq!(server.wait(), 0);
        let own = server.address().to_owned();
        let served = steps(&server.said(), &[&own]);
        let sent = "AF sendmsg(FD, 3, udp4:127.";
        assert!(
            served.iter().any(|step| step.starts_with(sent)),
            "{served:?}"
        );
        let steps = steps(&done.stderr, &[&word]);
        assert_eq!(steps[1], "AF sendto(FD, 3, ADDRESS) = 3");
        let received = "AF recvfrom(FD, SIZE, udp4:127.";
        assert!(steps[2].starts_with(received), "{steps:?}");
    });
}

families!(a_refused_connection_shows_why, |place| {
    let nobody = place.nobody();
    let done = sok(&["--trace", "connect", &nobody.address]);
    assert_eq!(done.code, 3, "{}", done.stderr);
    let steps = steps(&done.stderr, &[&nobody.address]);
    assert_eq!(steps[0], "AF socket(AF, SOCK_STREAM) = FD");
    assert!(
        steps[1].starts_with("AF connect(FD, ADDRESS) = -1 "),
        "{}",
        steps[1]
    );
    assert_eq!(steps[2], "AF close(FD) = 0");
    assert_eq!(steps.len(), 3, "{steps:?}");
});

families!(a_server_shows_the_same_steps, |place| {
    let word = place.word();
    let server = Server::at(&word, &["--trace", "--once"]);
    let done = sok(&["call", server.address(), "hi"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(server.wait(), 0);
    server.stderr().wait_closed();
    assert_eq!(
        steps(&server.stderr().text(), &[server.address(), &word]),
        [
            "AF socket(AF, SOCK_STREAM) = FD",
            "AF bind(FD, ADDRESS) = 0",
            "AF listen(FD, 4096) = 0",
            "AF accept(FD) = FD",
            "AF close(FD) = 0",
            "AF recv(FD, SIZE) = 3",
            "AF send(FD, 3) = 3",
            "AF recv(FD, SIZE) = 0",
            "AF close(FD) = 0",
        ]
    );
});

families!(with_json_each_line_is_an_object, |place| {
    let server = Server::start(place, &[]);
    let done = sok(&["--trace", "--json", "call", server.address(), "hi"]);
    let calls: Vec<serde_json::Value> = done
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<&str> = calls
        .iter()
        .map(|call| call["call"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["socket", "connect", "send", "recv", "close"]);
    for call in &calls {
        assert_eq!(call["event"], "call");
        assert_eq!(
            call["family"],
            format!("AF_{}", place.family().to_uppercase())
        );
        assert!(
            call["micros"].is_u64() && call["result"].is_string(),
            "{call}"
        );
    }
    let connect = calls[1]["arguments"].as_str().unwrap();
    assert!(
        connect.ends_with(&format!(", {}", server.address())),
        "{connect}"
    );
});
