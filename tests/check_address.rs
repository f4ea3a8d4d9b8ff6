//! `sok check ADDRESS`: who serves there.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{
    Done, Kind, Place, RawListener, RawMessageListener, RawMessages, RawStream, Server, have,
    in_own_mounts, is_root, run, sok, sok_without_rights,
};

/// The JSON result of `sok check` for one address, after it exited with `code`.
fn report(done: &Done, code: i32) -> Value {
    assert_eq!(done.code, code, "{} {}", done.text(), done.stderr);
    assert_eq!(done.stderr, "");
    let served: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(served["serves"], code == 0);
    assert_eq!(served["addresses"].as_array().unwrap().len(), 1);
    served
}

fn check(address: &str) -> Done {
    sok(&["check", "--json", address])
}

forms!(the_listening_process_is_reported, |place| {
    let server = Server::start(place, &[]);
    let served = report(&check(server.address()), 0);
    assert_eq!(served["target"], server.address());
    let answer = &served["addresses"][0];
    assert_eq!(answer["address"], server.address());
    assert_eq!(answer["family"], place.family());
    assert_eq!(answer["serves"], true);
    assert!(answer["micros"].is_u64(), "{answer}");
    let pid = server.pid().as_raw();
    assert_eq!(answer["listeners"], json!([{ "pid": pid, "name": "sok" }]));
    assert_eq!(answer["type"], place.socket_type().name());
    let credentials = match !place.is_network() && place.has_connection() {
        false => Value::Null,
        true => json!({
            "pid": pid,
            "uid": nix::unistd::geteuid().as_raw(),
            "gid": nix::unistd::getegid().as_raw(),
        }),
    };
    assert_eq!(answer["credentials"], credentials);
    assert!(answer["hint"].is_null(), "{answer}");
    match is_told(place) {
        true => assert!(answer["reason"].is_null(), "{answer}"),
        false => assert_is_unknown(answer),
    }
});

forms!(the_text_output_is_a_table, |place| {
    let server = Server::start(place, &[]);
    let done = sok(&["check", server.address()]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let text = done.text();
    let mut lines = text.lines();
    let (header, row) = (lines.next().unwrap(), lines.next().unwrap());
    assert_eq!(lines.count(), usize::from(!is_told(place)), "{text}");
    let at = |name| header.find(name).unwrap();
    assert!(row.starts_with(server.address()), "{text}");
    assert!(row[at("serves")..].starts_with("yes "), "{text}");
    assert!(
        row[at("connect")..]
            .split("us ")
            .next()
            .unwrap()
            .parse::<u64>()
            .is_ok(),
        "{text}"
    );
    let who = format!("pid {} (sok)", server.pid());
    assert!(row[at("listener")..].starts_with(&who), "{text}");
    let has_credentials = !place.is_network() && place.has_connection();
    assert_eq!(row.contains("uid "), has_credentials, "{text}");
});

families!(a_server_other_than_sok_is_found_too, |place| {
    let listener = RawListener::bind(place);
    let served = report(&check(listener.address()), 0);
    let listeners = &served["addresses"][0]["listeners"];
    assert_eq!(listeners[0]["pid"], std::process::id());
    assert!(listeners[0]["name"].is_string(), "{served}");
});

messages!(a_receiver_other_than_sok_is_found_too, |place| {
    let listener = RawMessageListener::bind(place);
    for (address, code) in [(listener.address(), 0), (&*place.nobody().address, 3)] {
        let served = report(&check(address), code);
        let listeners = &served["addresses"][0]["listeners"];
        match code {
            0 => assert_eq!(listeners[0]["pid"], std::process::id()),
            _ => assert_eq!(*listeners, json!([])),
        }
    }
});

datagrams!(a_receiver_gets_nothing_from_a_check, |place| {
    let listener = RawMessageListener::bind(place);
    report(&check(listener.address()), 0);
    let sender = RawMessages::connect(listener.address());
    sender.send(b"the first");
    assert_eq!(listener.accept().receive(), b"the first");
});

/// No host of it is ever asked: RFC 5737 and RFC 3849 keep these addresses for documents.
#[test]
fn whether_a_udp_server_is_on_another_host_cannot_be_known() {
    let there = ["udp4:192.0.2.1:53", "udp6:[2001:db8::1]:53"];
    for address in there {
        let done = check(address);
        let served: Value = serde_json::from_slice(&done.stdout).unwrap();
        let answer = &served["addresses"][0];
        if done.code == 2 {
            assert_eq!(
                (&answer["serves"], &served["serves"]),
                (&Value::Null, &false.into())
            );
            assert_is_unknown(answer);
            let text = sok(&["check", address]).text();
            assert!(text.contains("  unknown  "), "{text}");
        } else {
            println!("{address}: {}", answer["reason"]);
            crate::support::required("a route to another host", false);
        }
    }
}

/// Whether a client learns that no server is there.
fn is_told(place: &Place) -> bool {
    place.has_connection() || !place.is_network()
}

fn assert_is_unknown(answer: &Value) {
    let reason = answer["reason"].as_str().unwrap();
    let unknown = "a UDP client cannot know whether a server is there";
    assert!(reason.contains(unknown), "{answer}");
}

families!(the_server_keeps_serving, |place| {
    let server = Server::start(place, &[]);
    report(&check(server.address()), 0);
    assert_eq!(
        RawStream::connect(server.address()).exchange(b"hello"),
        b"hello"
    );
});

forms!(no_server_is_3, |place| {
    let nobody = place.nobody();
    let served = report(&check(&nobody.address), 3);
    let answer = &served["addresses"][0];
    assert_eq!(answer["serves"], false);
    assert_eq!(answer["listeners"], json!([]));
    assert!(
        answer["reason"].is_string() && answer["hint"].is_string(),
        "{answer}"
    );
    let done = sok(&["check", &nobody.address]);
    assert_eq!((done.code, done.stderr.as_str()), (3, ""));
    let why = format!("{}: {}", nobody.address, answer["reason"].as_str().unwrap());
    let way_out = format!("; {}\n", answer["hint"].as_str().unwrap());
    assert!(done.text().ends_with(&(why + &way_out)), "{}", done.text());
});

#[test]
fn a_stale_socket_file_is_3() {
    let place = Place::new(Kind::Unix);
    let address = RawListener::bind(&place).address().to_owned();
    let served = report(&check(&address), 3);
    let reason = served["addresses"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("stale socket file"), "{reason}");
}

#[test]
fn a_file_that_is_not_a_socket_is_1() {
    let place = Place::new(Kind::Unix);
    let file = place.file("file", "content");
    let served = report(&check(&format!("unix:{}", file.display())), 1);
    let reason = served["addresses"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("a regular file, not a socket"), "{reason}");
}

#[test]
fn no_permission_is_4() {
    let place = Place::new(Kind::Unix);
    let server = Server::start(&place, &[]);
    fs::set_permissions(server.path(), Permissions::from_mode(0o444)).unwrap();
    let done = sok_without_rights(&place, &["check", "--json", server.address()]);
    let served = report(&done, 4);
    let hint = served["addresses"][0]["hint"].as_str().unwrap();
    assert!(hint.contains("needs write permission"), "{hint}");
}

families!(a_full_backlog_is_124, |place| {
    let listener = RawListener::with_backlog(place, 0);
    let _waiting = RawStream::connect(listener.address());
    let all = ["check", "--json", "--timeout", "300ms", listener.address()];
    report(&sok(&all), 124);
});

#[test]
fn a_name_that_does_not_resolve_is_7() {
    let done = sok(&["check", "no..such.name:80"]);
    assert_eq!((done.code, done.text().as_str()), (7, ""));
    assert!(
        done.stderr.contains("resolve tcp:no..such.name:80: "),
        "{}",
        done.stderr
    );
    assert_eq!(sok(&["check", "no-prefix"]).code, 2);
}

#[test]
fn each_address_of_a_name_is_reported() {
    let (inet, inet6) = (Place::new(Kind::Inet), Place::new(Kind::Inet6));
    if !(have(Kind::Inet) && have(Kind::Inet6)) {
        return;
    }
    let hosts = inet.file("hosts", "127.0.0.1 two.test\n::1 two.test\n");
    for (place, silent) in [(&inet, "inet6:[::1]"), (&inet6, "inet:127.0.0.1")] {
        let server = Server::start(place, &[]);
        let word = format!("two.test:{}", server.port());
        let silent = format!("{silent}:{}", server.port());
        if RawStream::try_connect(&silent).is_ok() {
            crate::support::required("a port that is free on both families", false);
            continue;
        }
        let script = r#"exec "$SOK" check --json "$1""#;
        let hosts = hosts.to_str().unwrap();
        let Some(done) = in_own_mounts(hosts, "/etc/hosts", script, &[&word], &[]) else {
            crate::support::required("mount namespaces", false);
            return;
        };
        assert_eq!(done.code, 0, "{} {}", done.text(), done.stderr);
        let served: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(served["target"], format!("tcp:{word}"));
        let answers = served["addresses"].as_array().unwrap();
        assert_eq!(answers.len(), 2, "{served}");
        for answer in answers {
            let serves = answer["address"] == server.address();
            assert_eq!(answer["serves"], serves, "{answer}");
            assert!(serves || answer["address"] == silent, "{answer}");
            assert_eq!(
                answer["reason"]
                    .as_str()
                    .unwrap_or_default()
                    .contains("refused"),
                !serves
            );
        }
    }
}

#[test]
fn a_dual_stack_server_is_found_in_both_families() {
    run(Kind::Inet6, |_| {
        let server = Server::at(":0", &[]);
        for host in ["inet:127.0.0.1", "inet6:[::1]", "inet6:[::ffff:127.0.0.1]"] {
            let served = report(&check(&format!("{host}:{}", server.port())), 0);
            let listeners = &served["addresses"][0]["listeners"];
            assert_eq!(listeners[0]["pid"], server.pid().as_raw(), "{served}");
        }
    });
}

#[test]
fn a_hidden_process_is_reported_by_its_owner() {
    if !is_root() {
        crate::support::required("root", false);
        return;
    }
    run(Kind::Inet, |place| {
        let server = Server::start(place, &[]);
        let done = sok_without_rights(place, &["check", "--json", server.address()]);
        let served = report(&done, 0);
        let answer = &served["addresses"][0];
        assert_eq!(answer["listeners"], json!([]));
        let reason = answer["reason"].as_str().unwrap();
        assert!(reason.contains("run as its owner, uid 0"), "{reason}");
    });
}
