//! `sok tour`: each lesson's statements, as the program sees them on this machine.

use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Done, Kind, Process, Terminal, have, require_peer, sok, uncoloured};

const FAMILIES: [(&str, Kind); 3] = [
    ("inet", Kind::Inet),
    ("inet6", Kind::Inet6),
    ("unix", Kind::Unix),
];

fn objects(done: &Done) -> Vec<Value> {
    let text = done.text();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What one lesson reports of each family that this machine has.
fn lesson(number: u32) -> Vec<Value> {
    let done = sok(&["tour", "--json", "--lesson", &number.to_string()]);
    assert_eq!((done.code, &*done.stderr), (0, ""), "{}", done.text());
    let mut reports = objects(&done);
    let families: Vec<_> = reports.iter().map(|report| &report["family"]).collect();
    assert_eq!(families, ["inet", "inet6", "unix"]);
    for (report, (name, kind)) in reports.iter().zip(FAMILIES) {
        assert_eq!(report["lesson"], number);
        assert_eq!(report["skipped"].is_null(), have(kind), "{report}");
        if report["skipped"].is_null() {
            assert_eq!(report["held"], true);
            for call in calls(report) {
                assert_eq!(call["family"], format!("AF_{}", name.to_uppercase()));
                assert!(call["micros"].is_u64() && call["who"] != "", "{call}");
            }
        }
    }
    reports.retain(|report| report["skipped"].is_null());
    reports
}

/// All socket calls of a lesson.
fn calls(report: &Value) -> Vec<&Value> {
    let steps = report["steps"].as_array().unwrap();
    steps
        .iter()
        .flat_map(|step| step["calls"].as_array().unwrap())
        .collect()
}

/// The socket calls that `who` made.
fn calls_of<'a>(report: &'a Value, who: &str) -> Vec<&'a Value> {
    let mut calls = calls(report);
    calls.retain(|call| call["who"] == who);
    calls
}

fn names(calls: &[&Value]) -> Vec<String> {
    let names = calls
        .iter()
        .map(|call| call["call"].as_str().unwrap().to_owned());
    names.collect()
}

fn is_network(report: &Value) -> bool {
    report["family"] != "unix"
}

/// Whether something was seen that has `text` in it.
fn saw(report: &Value, text: &str) -> bool {
    let statements = report["statements"].as_array().unwrap();
    assert!(!statements.is_empty());
    statements.iter().any(|statement| {
        assert_eq!(statement["held"], true);
        assert_eq!(statement["expected"], statement["saw"]);
        statement["saw"].as_str().unwrap().contains(text)
    })
}

#[test]
fn one_message_takes_the_same_calls_on_each_family() {
    for report in lesson(1) {
        let server = calls_of(&report, "server");
        assert_eq!(
            names(&server),
            // The last one closes the listening socket.
            [
                "socket", "bind", "listen", "accept", "recv", "send", "close", "close"
            ]
        );
        let client = calls_of(&report, "client");
        assert_eq!(
            names(&client),
            ["socket", "connect", "send", "recv", "close"]
        );
        assert_eq!(server[7]["arguments"], server[0]["result"]);
        assert_eq!(client[2]["result"], "你好".len().to_string());
        assert_eq!(server[4]["result"], client[2]["result"]);
        assert_eq!(server[5]["result"], client[3]["result"]);
        assert!(saw(&report, "the reply is 你好 (received)"), "{report}");
        assert_eq!(calls(&report).len(), server.len() + client.len());
    }
}

#[test]
fn a_conversation_ends_by_end_of_file_or_a_reset() {
    for report in lesson(2) {
        assert!(
            saw(
                &report,
                "refused by the client: 1, received by the server: 你好, how are you, bye"
            ),
            "{report}"
        );
        let received: Vec<_> = calls_of(&report, "server")
            .into_iter()
            .filter(|call| call["call"] == "recv")
            .map(|call| call["result"].as_str().unwrap())
            .collect();
        let resets = received
            .iter()
            .filter(|result| result.starts_with("-1 ECONNRESET"))
            .count();
        let ends = received.iter().filter(|result| **result == "0").count();
        // Of 5 clients one leaves a reply unread, and one closes by a reset.
        let has_reset = is_network(&report);
        assert_eq!(resets, 1 + usize::from(has_reset), "{received:?}");
        assert_eq!(ends, 5 - resets, "{received:?}");
        let end = if has_reset {
            "Connection reset by peer"
        } else {
            "end of file"
        };
        assert_eq!(report["measured"]["reset"], end);
        assert!(saw(&report, "the server still answers"));
        let accepted = names(&calls_of(&report, "server"));
        assert_eq!(accepted.iter().filter(|call| *call == "accept").count(), 5);
    }
}

#[test]
fn one_client_after_another_is_served_and_the_next_one_waits() {
    for report in lesson(3) {
        assert!(saw(&report, "of 5 connections, 1 failed"), "{report}");
        assert_eq!(report["measured"]["one_after_another"], 3);
        assert_eq!(report["measured"]["accepted_while_the_first_is_there"], 1);
        assert!(saw(&report, "client 2 receives from client 2 (received)"));
        // The second client's connection is complete before the server accepts it.
        let steps = report["steps"].as_array().unwrap();
        let waiting = steps[steps.len() - 2]["calls"].as_array().unwrap();
        let of = |who: &str, call: &str| {
            waiting
                .iter()
                .filter(|made| made["who"] == who && made["call"] == call)
                .count()
        };
        assert_eq!((of("client 2", "connect"), of("client 2", "send")), (1, 1));
        assert_eq!(of("server", "accept"), 1);
        let after = steps[steps.len() - 1]["calls"].as_array().unwrap();
        assert!(after.iter().any(|made| made["call"] == "accept"));
    }
}

#[test]
fn the_backlog_takes_one_connection_more_than_its_length() {
    for report in lesson(4) {
        let measured = &report["measured"];
        assert_eq!(measured["clients"], 7);
        assert_eq!(measured["served"], 1);
        assert_eq!(measured["queued"], 6);
        assert_eq!(measured["waiting"], 0);
        assert_eq!(measured["refused"], 0);
        assert_eq!(measured["eighth_waiting"], 1);
        let late = calls_of(&report, "client 8");
        let connects: Vec<_> = late
            .iter()
            .filter(|call| call["call"] == "connect")
            .map(|call| call["result"].as_str().unwrap().to_owned())
            .collect();
        let timed_out = "-1 timed out".to_owned();
        match is_network(&report) {
            true => assert_eq!(connects, [timed_out]),
            false => {
                assert!(connects[0].contains("-1 EAGAIN"), "{connects:?}");
                assert_eq!(connects[1..], [timed_out]);
            }
        }
        assert!(saw(
            &report,
            "client 1, client 2, client 3, client 4, client 5, client 6, client 7"
        ));
    }
}

#[test]
fn the_address_of_a_dead_server_is_in_use_until_it_is_taken_over() {
    for report in lesson(5) {
        assert_eq!(report["measured"]["bind_again"], "Address already in use");
        let binds: Vec<_> = calls_of(&report, "server")
            .into_iter()
            .filter(|call| call["call"] == "bind")
            .map(|call| call["result"].as_str().unwrap())
            .collect();
        let [first, second, third] = binds[..] else {
            panic!("{binds:?}")
        };
        assert_eq!((first, third), ("0", "0"));
        assert!(second.starts_with("-1 EADDRINUSE"), "{second}");
        let why = if is_network(&report) {
            "TIME_WAIT"
        } else {
            "socket file"
        };
        assert!(saw(&report, why), "{report}");
        assert!(saw(&report, "no server is listening"), "{report}");
        assert!(
            saw(&report, "on the same address: 你好 (received)"),
            "{report}"
        );
    }
}

#[test]
fn two_sends_arrive_in_one_receive_and_one_send_in_many() {
    for report in lesson(6) {
        assert!(saw(&report, "2 sends, 1 receive: 你好再见"), "{report}");
        assert_eq!(report["measured"]["sends"], 1);
        assert_eq!(report["measured"]["receives"], 10);
        assert!(saw(&report, "3 messages: 你好, 再见, 你好"), "{report}");
        assert!(
            saw(&report, "1 message of 10000 bytes; its reply is complete"),
            "{report}"
        );
        let sent = calls_of(&report, "client");
        let sent: Vec<_> = sent.iter().filter(|call| call["call"] == "send").collect();
        assert_eq!(
            (&sent[0]["result"], &sent[1]["result"]),
            (&"6".into(), &"6".into())
        );
        assert_eq!(sent[2]["result"], "10000");
        let mut types = vec!["SOCK_DGRAM"];
        if !is_network(&report) {
            types.insert(0, "SOCK_SEQPACKET");
        }
        assert_eq!(report["measured"]["with_messages"], types.join(", "));
        for socket_type in types {
            let what = format!("{socket_type}: 3 sends, 3 receives: 你好, (empty), 再见");
            assert!(saw(&report, &what), "{report}");
        }
    }
}

#[test]
fn one_datagram_socket_serves_three_senders_and_a_full_one_shows_what_differs() {
    for report in lesson(9) {
        assert_eq!(report["measured"]["senders"], 3);
        assert!(saw(&report, "3 senders, 1 socket, 0 connections accepted"));
        let server = names(&calls_of(&report, "server"));
        let count = |call: &str| server.iter().filter(|made| *made == call).count();
        assert_eq!((count("recvfrom"), count("sendto")), (3, 3), "{server:?}");
        assert_eq!((count("listen"), count("accept")), (0, 0), "{server:?}");
        for number in 1..=3 {
            assert!(saw(&report, &format!("client {number} (received)")));
        }
        let full = match is_network(&report) {
            true => "the next is dropped",
            false => "the sender waits",
        };
        assert_eq!(report["measured"]["full_receiver"], full);
        assert!(report["measured"]["fit"].as_u64().unwrap() > 1, "{report}");
    }
}

#[test]
fn the_same_loops_serve_many_clients_at_once() {
    for report in lesson(7) {
        assert_eq!(report["measured"]["at_once"], 7);
        assert_eq!(report["measured"]["answered"], 7);
        // All are accepted before the first one sends.
        let order = names(&calls(&report));
        let sent = order.iter().position(|call| call == "send").unwrap();
        assert_eq!(
            order[..sent]
                .iter()
                .filter(|call| *call == "accept")
                .count(),
            7
        );
    }
}

#[test]
fn a_lesson_measures_what_differs() {
    for report in lesson(8) {
        let measured = &report["measured"];
        let text = |key: &str| measured[key].as_str().unwrap();
        let address = text("address");
        assert!(address.starts_with(&format!("{}:", report["family"].as_str().unwrap())));
        assert!(measured["round_trip_micros"].as_f64().unwrap() > 0.0);
        assert!(!text("reach").is_empty());
        match is_network(&report) {
            true => {
                assert!(text("may_connect").contains("port"));
                let host = address.rsplit_once(':').unwrap().0;
                assert!(text("peer").starts_with(host), "{measured}");
                assert_eq!(text("lifetime"), "free at once");
            }
            false => {
                assert!(text("may_connect").contains("600"));
                assert!(text("peer").contains("pid "), "{measured}");
                assert!(text("lifetime").starts_with("stays"));
            }
        }
    }
}

#[test]
fn the_whole_tour_teaches_on_each_family_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = Command::new(Process::PROGRAM);
    command.arg("tour").env("TMPDIR", temporary.path());
    let done = Process::spawn(command).done();
    let text = done.text();
    assert_eq!((done.code, &*done.stderr), (0, ""), "{text}");
    for number in 1..=9 {
        assert!(text.contains(&format!("Lesson {number}: ")), "{text}");
    }
    assert!(!text.contains("FAILED"), "{text}");
    for (name, kind) in FAMILIES {
        let family = format!("AF_{}", name.to_uppercase());
        if have(kind) {
            let call = format!("server    {family:<8} socket({family}, SOCK_STREAM) = ");
            assert!(text.contains(&call), "{call} is not in {text}");
        }
    }
    let table: Vec<&str> = text
        .lines()
        .rev()
        .take_while(|line| !line.contains("expected"))
        .collect();
    for row in [
        "address",
        "who may connect",
        "the server learns",
        "round trip (median)",
        "reach",
        "types with messages",
        "datagrams: a full receiver",
    ] {
        assert!(
            table.iter().any(|line| line.trim_start().starts_with(row)),
            "no {row} in {table:?}"
        );
    }
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn lessons_and_families_can_be_chosen() {
    let done = sok(&[
        "tour", "--json", "--lesson", "3", "--lesson", "1", "--family", "unix", "--lesson", "1",
    ]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let taken: Vec<_> = objects(&done)
        .iter()
        .map(|report| (report["lesson"].as_u64().unwrap(), report["family"].clone()))
        .collect();
    assert_eq!(taken, [(1, "unix".into()), (3, "unix".into())]);
}

#[test]
fn an_unknown_lesson_or_family_is_a_usage_error() {
    for (option, value, known) in [
        ("--lesson", "0", "1 to 9"),
        ("--lesson", "10", "1 to 9"),
        ("--lesson", "one", "1 to 9"),
        ("--family", "ipx", "inet6"),
    ] {
        let done = sok(&["tour", option, value]);
        assert_eq!(done.code, 2, "{option} {value}");
        assert!(done.stderr.contains(known), "{}", done.stderr);
        assert!(done.stdout.is_empty());
    }
}

#[test]
fn a_pause_waits_for_a_line_until_end_of_file() {
    let mut tour = Process::sok(&["tour", "--pause", "--lesson", "1", "--family", "unix"]);
    let steps = [
        "The server creates",
        "The client connects",
        "The client sends",
        "Both close",
    ];
    for (at, step) in steps.iter().enumerate() {
        tour.stderr().wait_for_count("Enter", at + 1);
        let text = tour.stdout().wait_for(step);
        for later in &steps[at + 1..] {
            assert!(!text.contains(later), "{text}");
        }
        tour.write(b"\n");
    }
    assert_eq!(tour.done().code, 0);

    let done = sok(&["tour", "--pause", "--lesson", "1", "--family", "unix"]);
    assert_eq!(done.code, 0);
    assert!(done.text().contains(steps[3]));
    assert_eq!(done.stderr.matches("Enter").count(), 1);
}

#[test]
fn an_interrupted_tour_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = Command::new(Process::PROGRAM);
    command
        .args(["tour", "--pause"])
        .env("TMPDIR", temporary.path());
    let tour = Process::spawn(command);
    tour.stderr().wait_for("Enter");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);
    tour.signal(Signal::SIGINT);
    assert_eq!(tour.wait(), 130);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_that_closes_the_output_ends_the_tour_quietly() {
    let script = r#"{ "$SOK" tour; echo "code $?" >&2; } | head -n 1"#;
    let done = Process::sh(script, &[]).done();
    assert_eq!(done.text(), "Lesson 1: One message\n");
    assert_eq!(done.stderr, "code 0\n");
}

#[test]
fn a_family_that_the_machine_lacks_is_skipped_with_the_reason() {
    let isolated = |program: &str| Process::sh(&format!("exec unshare -rn {program}"), &[]).done();
    if !require_peer("unshare") || isolated("true").code != 0 {
        crate::support::required("network namespaces", false);
        return;
    }
    let done = isolated(r#""$SOK" tour --json --lesson 1"#);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let reports = objects(&done);
    for report in &reports[..2] {
        let reason = report["skipped"].as_str().unwrap();
        assert!(
            reason.contains("Cannot assign requested address") || reason.contains("unreachable"),
            "{reason}"
        );
        assert!(report["held"].is_null() && report["steps"] == serde_json::json!([]));
    }
    assert!(reports[2]["skipped"].is_null() && reports[2]["held"] == true);

    let done = isolated(r#""$SOK" tour --lesson 1 --family inet"#);
    assert_eq!(done.code, 1);
    assert!(done.text().contains("skipped: "), "{}", done.text());
    assert!(
        done.stderr.contains("no sockets of these families"),
        "{}",
        done.stderr
    );
}

/// What a terminal of 80 columns shows of the whole tour.
fn screen(variables: &[(&str, &str)]) -> String {
    let terminal = Terminal::run_with(&["tour"], variables);
    let end = |text: &str| text.contains("--pause") && text.ends_with('\n');
    let screen = terminal.screen.wait_until("the end of the tour", end);
    assert_eq!(terminal.ended(), Some(0), "{screen}");
    screen
}

#[test]
fn on_a_terminal_the_tour_fits_and_has_colours_and_a_verdict() {
    if !require_peer("setsid") {
        return;
    }
    let shown = screen(&[]);
    assert!(shown.contains("\u{1b}[32mok\u{1b}[0m"), "{shown}");
    let lines = uncoloured(&shown);
    for line in &lines {
        // A path that is longer than the line stays whole.
        let words = line.split_whitespace().count();
        assert!(line.chars().count() <= 80 || words == 1, "{line:?}");
    }
    let plain = screen(&[("NO_COLOR", "1")]);
    assert!(!plain.contains('\u{1b}'), "{plain}");
    let narrow = screen(&[("COLUMNS", "60")]);
    let long = |line: &&String| line.chars().count() > 60 && line.split_whitespace().count() > 1;
    let lines = uncoloured(&narrow);
    assert_eq!(lines.iter().find(long), None, "{narrow}");
}

#[test]
fn the_tour_ends_with_its_verdict_and_the_next_command() {
    let whole = sok(&["tour", "--lesson", "1", "--lesson", "6", "--family", "unix"]).text();
    let verdict = whole.rsplit("\n\n").next().unwrap();
    assert!(verdict.starts_with("Verdict: all "), "{whole}");
    assert!(
        verdict.ends_with(": sok tour --lesson 1 --pause\n"),
        "{whole}"
    );
    let one = sok(&["tour", "--lesson", "6", "--family", "unix"]).text();
    assert!(
        one.ends_with("The next lesson: sok tour --lesson 7 --pause\n"),
        "{one}"
    );
    let last = sok(&["tour", "--lesson", "9", "--family", "unix"]).text();
    assert!(!last.contains("--pause"), "{last}");
}
