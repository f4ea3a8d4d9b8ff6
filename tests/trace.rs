//! `--trace`: the same steps on every family, as they happen.

use crate::support::{Server, sok};

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
            match call.ends_with("recv") {
                true => all.push("SIZE"),
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
