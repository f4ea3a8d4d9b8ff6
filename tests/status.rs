//! `--status`: what a server says about itself over HTTP.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::http::{metrics, page, request, status, status_of};
use crate::support::{
    Form, Kind, LIMIT, Place, Process, RawListener, RawMessages, RawStream, Server, run, sok,
    sok_without_rights,
};

/// A server on a fresh address of `place`, with its status on another one of `about`.
fn serve(place: &Place, about: &Place, options: &[&str]) -> (Server, String) {
    let word = about.word();
    let server = Server::start(place, &[&["--status", &word], options].concat());
    let status = status_of(&server);
    (server, status)
}

/// A relay from a fresh address of `place` to `targets`, with its status there too.
fn relay(place: &Place, targets: &[&str], options: &[&str]) -> (Server, String) {
    let (word, about) = (place.word(), place.word());
    let words = [&["relay", &word], targets, &["--status", &about], options];
    let relay = Server::of(Process::sok(&words.concat()));
    let status = status_of(&relay);
    (relay, status)
}

families!(each_page_is_served, |place| {
    let (server, address) = serve(place, place, &[]);
    let response = request(&address, "GET", "/");
    assert_eq!(response.fields["content-type"], "application/json");
    let status: Value = serde_json::from_str(&response.body).unwrap();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["pid"], server.pid().as_raw());
    assert_eq!(status["listening"], serde_json::json!([server.address()]));
    assert_eq!(status["accepting"], true);
    assert_eq!(
        (&status["open"], &status["open_left_out"]),
        (&serde_json::json!([]), &0.into())
    );
    assert!(status["uptime_seconds"].as_f64().unwrap() >= 0.0);
    humantime::parse_rfc3339(status["started"].as_str().unwrap()).unwrap();
    let response = request(&address, "GET", "/metrics");
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(response.fields["content-type"], kind);
    assert_eq!(page(&address, "/healthz"), "ok\n");
    // This server is as it was: the status counts none of it as its client.
    assert_eq!(metrics(&address)["sok_connections_total"], 0.0);
    assert_eq!(metrics(&address)["sok_status_requests_total"], 4.0);
});

families!(other_requests_are_refused, |place| {
    let (_server, address) = serve(place, place, &[]);
    for path in ["/", "/metrics", "/healthz"] {
        let head = request(&address, "HEAD", path);
        let get = request(&address, "GET", path);
        assert_eq!((head.code, get.code), (200, 200), "{path}");
        assert_eq!(head.fields["content-type"], get.fields["content-type"]);
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let response = request(&address, method, "/");
        assert_eq!(response.code, 405, "{method}");
        assert_eq!(response.fields["allow"], "GET, HEAD");
    }
    for path in ["/metric", "/metrics/", "//", "/%2f"] {
        assert_eq!(request(&address, "GET", path).code, 404, "{path}");
    }
    // Only a path, or a URI with a host, is what a GET can ask for (RFC 9112, section 3.2).
    assert_eq!(request(&address, "GET", "*").code, 400);
});

families!(the_status_is_there_before_the_ready_line, |place| {
    let (server, address) = serve(place, place, &[]);
    let said = server.stderr().text();
    let mut lines = said.lines();
    assert_eq!(lines.next().unwrap(), format!("status on {address}"));
    assert!(lines.next().unwrap().starts_with("listening on "));
    let word = place.word();
    let server = Server::start(place, &["--status", &word, "--log", "json"]);
    let first = server.stderr().text().lines().next().unwrap().to_owned();
    let event: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        (&event["event"], &event["family"]),
        (&"status".into(), &place.family().into())
    );
    if let Some(path) = address.strip_prefix("unix:/") {
        let mode = fs::metadata(format!("/{path}"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
});

/// The totals at SIGUSR1, as an object.
fn totals(server: &Server) -> Value {
    server.signal(Signal::SIGUSR1);
    let said = server.stderr().wait_for("\"totals\"");
    let line = said
        .lines()
        .find(|line| line.contains("\"totals\""))
        .unwrap();
    serde_json::from_str(line).unwrap()
}

/// Checks that the status and the metrics say what SIGUSR1 prints, and returns that.
fn assert_agrees(server: &Server, address: &str) -> Value {
    let (totals, status, metrics) = (totals(server), status(address), metrics(address));
    for (name, metric) in [
        ("connections", "sok_connections_total"),
        ("failed", "sok_connections_failed_total"),
        ("refused", "sok_connections_refused_total"),
        ("received", "sok_received_bytes_total"),
        ("sent", "sok_sent_bytes_total"),
        ("undelivered", "sok_undelivered_datagrams_total"),
    ] {
        assert_eq!(status["totals"][name], totals[name], "{name} in {status}");
        assert_eq!(Some(metrics[metric]), totals[name].as_f64(), "{metric}");
    }
    let open = totals["open"].as_array().unwrap();
    assert_eq!(status["totals"]["open"], open.len());
    assert_eq!(metrics["sok_connections_open"], open.len() as f64);
    // All but its age is the same.
    let without_age = |all: &Value| {
        let all = all.as_array().unwrap().iter().cloned();
        let each = all.map(|mut one| {
            assert!(one["seconds"].take().is_number());
            one
        });
        each.collect::<Vec<Value>>()
    };
    assert_eq!(without_age(&status["open"]), without_age(&totals["open"]));
    totals
}

forms!(the_totals_are_those_of_sigusr1, |place| {
    let about = Place::new(Kind::Unix);
    let (server, address) = serve(place, &about, &["--json", "-v"]);
    if place.keeps_messages() {
        let client = RawMessages::connect(server.address());
        client.send(b"hello");
        assert_eq!(client.receive(), b"hello");
        let totals = assert_agrees(&server, &address);
        assert_eq!(
            (&totals["connections"], &totals["sent"]),
            (&1.into(), &5.into())
        );
        return;
    }
    let ended = RawStream::connect(server.address()).exchange(b"hello");
    assert_eq!(ended, b"hello");
    server.stderr().wait_for("\"ended\"");
    let mut open = RawStream::connect(server.address());
    open.send(b"and more");
    assert_eq!(open.take(8), b"and more");
    let totals = assert_agrees(&server, &address);
    assert_eq!(
        (&totals["connections"], &totals["sent"]),
        (&2.into(), &13.into())
    );
    assert_eq!(totals["open"][0]["connection"], 2);
});

forms!(failed_connections_and_their_target_are_shown, |place| {
    let nobody = place.nobody();
    let about = Place::new(Kind::Abstract).word();
    let word = place.word();
    let words = [
        "relay",
        &word,
        &nobody.address,
        "--json",
        "--status",
        &about,
    ];
    let relay = Server::of(Process::sok(&words));
    let address = status_of(&relay);
    let up = format!("sok_target_up{{target=\"{}\"}}", nobody.address);
    let before = status(&address)["targets"][0].clone();
    assert_eq!(
        (&before["up"], &before["last_error"]),
        (&true.into(), &Value::Null)
    );
    assert_eq!(metrics(&address)[&up], 1.0);
    // It may be refused before it has sent.
    if place.keeps_messages() {
        let _ = RawMessages::connect(relay.address()).try_send(b"hello");
    } else {
        let _ = RawStream::connect(relay.address()).try_exchange(b"hello");
    }
    relay.stderr().wait_for("\"failed\"");
    let totals = assert_agrees(&relay, &address);
    assert_eq!(
        (&totals["connections"], &totals["failed"]),
        (&1.into(), &1.into())
    );
    let one = status(&address)["targets"][0].clone();
    assert_eq!(one["target"], *nobody.address);
    // UDP refuses only what has been sent.
    let connects = u64::from(!place.has_connection() && place.is_network());
    assert_eq!(
        (&one["up"], &one["failures"], &one["connections"]),
        (&false.into(), &1.into(), &connects.into())
    );
    let error = one["last_error"].as_str().unwrap();
    assert!(error.contains(&nobody.address), "{one}");
    assert!(one["last_error_seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(metrics(&address)[&up], 0.0);
    let failures = format!("sok_target_failures_total{{target=\"{}\"}}", nobody.address);
    assert_eq!(metrics(&address)[&failures], 1.0);
});

families!(each_target_of_a_relay_is_shown, |place| {
    let (first, second) = (place.nobody(), Server::start(place, &[]));
    let targets = [&*first.address, second.address()];
    let (relay, address) = relay(place, &targets, &["--retry-after", "1h"]);
    for _ in 0..3 {
        assert_eq!(
            RawStream::connect(relay.address()).exchange(b"hello"),
            b"hello"
        );
    }
    let shown = status(&address)["targets"].clone();
    let expected = [(&targets[0], false, 0, 1), (&targets[1], true, 3, 0)];
    for (place, (target, up, connections, failures)) in expected.into_iter().enumerate() {
        let one = &shown[place];
        assert_eq!(one["target"], **target);
        let found = (&one["up"], &one["connections"], &one["failures"]);
        assert_eq!(
            found,
            (&up.into(), &connections.into(), &failures.into()),
            "{shown}"
        );
        let label = format!("{{target=\"{target}\"}}");
        let metrics = metrics(&address);
        assert_eq!(
            metrics[&format!("sok_target_up{label}")],
            f64::from(u8::from(up))
        );
        let total = metrics[&format!("sok_target_connections_total{label}")];
        assert_eq!(total, f64::from(connections));
    }
});

#[test]
fn a_target_with_any_name_is_shown() {
    run(Kind::Unix, |place| {
        let target = format!("{}/a \"b\\x5c\n.sock", place.directory().display());
        let (_relay, address) = relay(place, &[&target], &[]);
        let shown = status(&address)["targets"][0]["target"].clone();
        let escaped = r#"/a\x20"b\\\x0a.sock"#;
        assert!(shown.as_str().unwrap().ends_with(escaped), "{shown}");
        let metrics = metrics(&address);
        let label = r#"/a\\x20\"b\\\\\\x0a.sock"}"#;
        assert!(
            metrics.keys().any(|key| key.ends_with(label)),
            "{metrics:?}"
        );
    });
}

families!(a_draining_server_is_not_healthy, |place| {
    let (server, address) = serve(place, place, &["--grace", "1h", "-v"]);
    let mut client = RawStream::connect(server.address());
    client.send(b"before");
    assert_eq!(client.take(6), b"before");
    server.terminate();
    server.stderr().wait_for("draining");
    let health = request(&address, "GET", "/healthz");
    assert_eq!((health.code, &*health.body), (503, "stopping\n"));
    assert_eq!(status(&address)["accepting"], false);
    assert_eq!(status(&address)["totals"]["open"], 1);
    assert_eq!(metrics(&address)["sok_accepting"], 0.0);
    client.send(b"after");
    assert_eq!(client.take(5), b"after");
    drop(client);
    assert_eq!(server.wait(), 0);
    assert!(RawStream::try_connect(&address).is_err());
    assert_eq!(place.listing(), [""; 0]);
});

families!(
    a_server_that_has_served_its_last_client_is_not_healthy,
    |place| {
        let (server, address) = serve(place, place, &["--once"]);
        assert_eq!(page(&address, "/healthz"), "ok\n");
        let mut client = RawStream::connect(server.address());
        client.send(b"hello");
        assert_eq!(client.take(5), b"hello");
        assert_eq!(request(&address, "GET", "/healthz").code, 503);
        drop(client);
        assert_eq!(server.wait(), 0);
    }
);

families!(the_log_is_of_the_clients, |place| {
    let (server, address) = serve(place, place, &["-v"]);
    for _ in 0..3 {
        page(&address, "/");
        drop(RawStream::connect(&address));
    }
    assert_eq!(
        RawStream::connect(server.address()).exchange(b"hello"),
        b"hello"
    );
    server.stderr().wait_for(" ended ");
    server.terminate();
    let said = server.said();
    assert_eq!(said.matches(" connected connection=").count(), 1, "{said}");
});

#[test]
fn a_page_lists_the_oldest_of_many_connections() {
    const LISTED: usize = 1000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    run(Kind::Abstract, |place| {
        let (server, address) = serve(place, place, &["--json"]);
        let clients: Vec<RawStream> = (0..LISTED + 50)
            .map(|_| RawStream::connect(server.address()))
            .collect();
        let mut last = RawStream::connect(server.address());
        last.send(b"hello");
        assert_eq!(last.take(5), b"hello");
        let status = status(&address);
        let open = status["open"].as_array().unwrap();
        assert_eq!((open.len(), &status["open_left_out"]), (LISTED, &51.into()));
        assert_eq!(status["totals"]["open"], LISTED + 51);
        assert_eq!(
            (&open[0]["connection"], &open[LISTED - 1]["connection"]),
            (&1.into(), &LISTED.into())
        );
        let open = metrics(&address)["sok_connections_open"];
        assert_eq!(open, clients.len() as f64 + 1.0);
    });
}

#[test]
fn an_address_that_cannot_have_a_status_is_refused_at_the_start() {
    run(Kind::Unix, |place| {
        let taken = RawListener::bind(place);
        let file = place.file("file", "");
        let file = file.to_str().unwrap();
        for (status, code, why) in [
            ("udp:127.0.0.1:0", 2, "--status needs a stream"),
            ("unixpacket:@status", 2, "--status needs a stream"),
            ("unixgram:./status", 2, "--status needs a stream"),
            ("tpc:localhost:1", 2, "tpc"),
            ("localhost", 2, "localhost"),
            ("", 2, "the address is empty"),
            (taken.address(), 5, taken.address()),
            (file, 1, "not replaced"),
            ("no-such-host.invalid:1", 7, "no-such-host.invalid"),
            ("/nowhere/status.sock", 1, "create the directory"),
        ] {
            let before = place.listing();
            let word = place.word();
            for command in [&["serve", &word][..], &["relay", &word, "@nobody"]] {
                let done = sok(&[command, &["--status", status]].concat());
                assert_eq!(done.code, code, "{status}: {}", done.stderr);
                assert!(done.stderr.contains(why), "{status}: {}", done.stderr);
                assert_eq!(place.listing(), before, "{status}");
            }
        }
        let word = place.word();
        let done = sok(&["serve", &word, "--status", &word]);
        assert_eq!(done.code, 2, "{}", done.stderr);
        let done = sok_without_rights(place, &["serve", "@", "--status", "/root/status.sock"]);
        assert_eq!(done.code, 4, "{}", done.stderr);
    });
}

#[test]
fn every_form_of_address_that_is_no_stream_is_refused() {
    for form in Form::all() {
        run(form, |place| {
            if place.keeps_messages() {
                let done = sok(&["serve", "@", "--status", &place.word()]);
                assert_eq!(done.code, 2, "{}", done.stderr);
                assert!(done.stderr.contains("needs a stream"), "{}", done.stderr);
            }
        });
    }
}

families!(
    a_program_of_the_server_inherits_nothing_of_the_status,
    |place| {
        let script = "ls -l /proc/self/fd | grep -c socket: || true";
        let options = ["--once", "--exec", "sh", "-c", script];
        let (server, address) = serve(place, place, &options);
        let _open = RawStream::connect(&address);
        page(&address, "/");
        assert_eq!(RawStream::connect(server.address()).exchange(b""), b"0\n");
        assert_eq!(server.wait(), 0);
    }
);

families!(clients_cannot_take_the_descriptors_of_the_status, |place| {
    let script = r#"ulimit -n 64; exec "$SOK" serve "$1" --status "$2""#;
    let server = Server::of(Process::sh(script, &[&place.word(), &place.word()]));
    let address = status_of(&server);
    let mut clients: Vec<RawStream> = (0..100)
        .map(|_| RawStream::connect(server.address()))
        .collect();
    // More clients wait than there are descriptors.
    for client in &mut clients[..20] {
        client.send(b"x");
        assert_eq!(client.take(1), b"x");
    }
    assert_eq!(page(&address, "/healthz"), "ok\n");
    // They wait, and none is refused.
    let mut last = clients.pop().unwrap();
    drop(clients);
    last.send(b"last");
    assert_eq!(last.take(4), b"last");
    assert_eq!(status(&address)["totals"]["failed"], 0);
});

families!(a_status_request_that_its_peer_breaks_is_counted, |place| {
    let (_server, address) = serve(place, place, &[]);
    let mut client = RawStream::connect(&address);
    client.send(b"GET ");
    client.reset();
    let begun = std::time::Instant::now();
    while metrics(&address)["sok_status_dropped_total"] != 1.0 {
        assert!(begun.elapsed() < LIMIT, "it is not counted");
    }
});
