//! `--log`: the lines of a server on standard error as text, or as objects with their time.

use std::time::SystemTime;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Kind, Place, Process, RawStream, Server, run, sok};

/// Each line as an event; panics at a line that is none, or has no time of now.
fn events(said: &str) -> Vec<Value> {
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let time = event["time"].as_str().unwrap_or_else(|| panic!("{line}"));
        // RFC 3339, in UTC.
        let time = humantime::parse_rfc3339(time).unwrap();
        assert!(time <= SystemTime::now(), "{line}");
        event
    };
    said.lines().map(event).collect()
}

/// The kinds of events that must be among `events`.
fn assert_has(events: &[Value], kinds: &[(&str, &str)]) {
    for (kind, message) in kinds {
        let has = |event: &&Value| {
            event["event"] == *kind && (message.is_empty() || event["message"] == *message)
        };
        assert!(
            events.iter().any(|event| has(&event)),
            "{kind} {message} in {events:?}"
        );
    }
}

families!(each_line_of_a_server_is_an_object, |place| {
    let server = Server::start(place, &["--log", "json", "-v"]);
    let reply = RawStream::connect(server.address()).exchange(b"hello");
    assert_eq!(reply, b"hello");
    server.stderr().wait_for("\"ended\"");
    server.signal(Signal::SIGUSR1);
    server.stderr().wait_for("\"totals\"");
    server.terminate();
    assert_eq!(server.wait(), 0);
    let events = events(&server.said());
    let report = "report";
    let kinds = [
        ("listening", ""),
        (report, "connected"),
        (report, "ended"),
        ("totals", ""),
    ];
    assert_has(&events, &kinds);
});

families!(each_line_of_a_relay_is_an_object, |place| {
    let (first, second) = (place.nobody(), place.nobody());
    let word = place.word();
    let targets = [&*first.address, &second.address];
    let options = ["--log", "json", "--trace", "--once", "--grace", "1ms"];
    let dump = place.path("dump").display().to_string();
    let all = [
        &["relay", &word][..],
        &targets,
        &options,
        &["--dump", &dump],
    ]
    .concat();
    let relay = Server::of(Process::sok(&all));
    // It may be reset before it sends.
    let _ = RawStream::connect(relay.address()).try_exchange(b"hello");
    assert_eq!(relay.wait(), 3);
    let events = events(&relay.said());
    let report = "report";
    let kinds = [("listening", ""), ("note", ""), ("call", ""), ("error", "")];
    assert_has(&events, &kinds);
    assert_has(&events, &[(report, "target left out"), (report, "failed")]);
    let left_out = events
        .iter()
        .find(|event| event["message"] == "target left out");
    let left_out = left_out.unwrap();
    assert_eq!(
        (&left_out["target"], &left_out["seconds"]),
        (&first.address.clone().into(), &1.0.into())
    );
    let error = events.last().unwrap();
    for part in [&first.address, &second.address] {
        assert!(error["cause"].as_str().unwrap().contains(part), "{error}");
    }
});

families!(
    the_format_of_the_log_is_the_one_that_was_asked_for,
    |place| {
        let server = Server::start(place, &["--log", "text", "--json"]);
        assert!(server.stderr().text().starts_with("listening on "));
        let server = Server::start(place, &["--json"]);
        assert_eq!(events(&server.stderr().text())[0]["event"], "listening");
    }
);

#[test]
fn a_usage_error_is_an_object_too() {
    for words in [
        &["serve", "--log", "json"][..],
        &["serve", "--log=json", "--nothing"],
        &["relay", "@a", "@b", "--log", "json", "--retry-after", "1s"],
        &["relay", "@a", "@b", "--log", "json", "--dump", "hex"],
    ] {
        let done = sok(words);
        assert_eq!(done.code, 2, "{words:?}: {}", done.stderr);
        let events = events(&done.stderr);
        assert_eq!(events.len(), 1, "{}", done.stderr);
        assert_eq!(
            (&events[0]["event"], &events[0]["exit"]),
            (&"error".into(), &2.into())
        );
    }
}

#[test]
fn an_unknown_format_is_refused() {
    run(Kind::Unix, |place: &Place| {
        for words in [["--log", "xml"], ["--log", ""]] {
            let done = sok(&[&["serve", &place.word()], &words[..]].concat());
            assert_eq!(done.code, 2, "{}", done.stderr);
            assert!(done.stderr.contains("--log"), "{}", done.stderr);
            assert_eq!(place.listing(), [""; 0]);
        }
    });
}
