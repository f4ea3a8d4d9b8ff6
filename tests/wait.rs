//! `sok wait`: until servers accept, or are gone.

use crate::support::{
    Kind, Place, Process, RawListener, RawStream, Server, in_own_mounts, is_root, required, run,
    sok,
};

fn waiting(arguments: &[&str]) -> Process {
    let mut all = vec!["wait", "--timeout", "60s"];
    all.extend(arguments);
    Process::sok(&all)
}

families!(a_server_that_accepts_ends_the_wait, |place| {
    let server = Server::start(place, &[]);
    assert_eq!(sok(&["wait", server.address()]).code, 0);
});

families!(a_connection_is_reported_with_verbose, |place| {
    let server = Server::start(place, &[]);
    let done = sok(&["wait", server.address(), "-v"]);
    let expected = format!("sok: connected address={}\n", server.address());
    assert_eq!((done.code, done.stderr), (0, expected));
    assert_eq!(sok(&["wait", server.address()]).stderr, "");
});

families!(a_server_that_starts_later_ends_the_wait, |place| {
    let nobody = place.nobody();
    let address = nobody.address.clone();
    let wait = waiting(&[&address, "--trace"]);
    // One try at least has failed.
    wait.stderr().wait_for("connect(");
    drop(nobody);
    let _server = Server::at(&address, &[]);
    assert_eq!(wait.wait(), 0);
});

families!(wait_waits_for_all_servers, |place| {
    let server = Server::start(place, &[]);
    let nobody = place.nobody();
    let both = [
        "wait",
        server.address(),
        &nobody.address,
        "--timeout",
        "50ms",
    ];
    let done = sok(&both);
    assert_eq!(done.code, 124, "{}", done.stderr);
    assert!(done.stderr.contains(&nobody.address), "{}", done.stderr);
    assert!(!done.stderr.contains(server.address()), "{}", done.stderr);
});

families!(with_any_one_server_is_enough, |place| {
    let server = Server::start(place, &[]);
    let nobody = place.nobody();
    let done = waiting(&["--any", &nobody.address, server.address()]).done();
    assert_eq!(done.code, 0, "{}", done.stderr);
});

families!(
    a_permanent_error_of_one_server_does_not_end_a_wait_for_any,
    |place| {
        let file = place.file("regular", "content");
        let never = file.to_str().unwrap();
        let server = Server::start(place, &[]);
        for words in [[never, server.address()], [server.address(), never]] {
            let done = waiting(&["--any", words[0], words[1]]).done();
            assert_eq!(done.code, 0, "{words:?}: {}", done.stderr);
        }
        let nobody = place.nobody();
        let address = nobody.address.clone();
        for words in [[never, &address], [&address, never]] {
            let done = sok(&["wait", "--any", words[0], words[1], "--timeout", "30ms"]);
            assert_eq!(done.code, 124, "{words:?}: {}", done.stderr);
            assert!(done.stderr.contains(&address), "{}", done.stderr);
            assert!(done.stderr.contains("not a socket"), "{}", done.stderr);
        }
        let wait = waiting(&["--any", never, &address, "--trace"]);
        // One try at least has failed.
        wait.stderr().wait_for(&format!("{address}) = -1"));
        drop(nobody);
        let _server = Server::at(&address, &[]);
        assert_eq!(wait.wait(), 0, "{}", wait.stderr().text());
    }
);

families!(
    permanent_errors_of_all_servers_end_a_wait_for_any,
    |place| {
        let files = ["one", "two"].map(|name| place.file(name, "content"));
        let [one, two] = files.each_ref().map(|file| file.to_str().unwrap());
        let done = waiting(&["--any", one, two]).done();
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(done.stderr.contains("not a socket"), "{}", done.stderr);
    }
);

families!(a_timeout_reports_the_last_reason, |place| {
    let nobody = place.nobody();
    let done = sok(&["wait", &nobody.address, "--timeout", "30ms"]);
    assert_eq!(done.code, 124);
    assert!(done.stderr.contains(&nobody.address), "{}", done.stderr);
    assert!(
        done.stderr.contains("the last result: connect"),
        "{}",
        done.stderr
    );
});

families!(a_server_that_stops_ends_the_wait_with_gone, |place| {
    let server = Server::start(place, &[]);
    let wait = waiting(&["--gone", server.address(), "--trace"]);
    wait.stderr().wait_for("connect(");
    assert!(!wait.has_ended());
    server.terminate();
    assert_eq!(wait.wait(), 0);
});

families!(a_server_with_a_full_backlog_is_not_gone, |place| {
    let full = RawListener::with_backlog(place, 0);
    let _queued = RawStream::connect(full.address());
    let done = sok(&["wait", "--gone", full.address(), "--timeout", "30ms"]);
    assert_eq!(done.code, 124, "{}", done.stderr);
    // Also when the first try is cut short by the end of the time.
    let last = done.stderr.split_once("the last result: ").unwrap().1;
    assert!(last.contains(full.address()), "{}", done.stderr);
});

#[test]
fn a_name_that_does_not_resolve_is_gone_unless_names_are_strict() {
    let target = "no-such-host.invalid:80";
    let done = sok(&["wait", "--gone", target, "--timeout", "5s"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let done = sok(&["wait", "--gone", "--strict-dns", target, "--timeout", "5s"]);
    assert_eq!(done.code, 7, "{}", done.stderr);
}

families!(
    a_command_runs_once_the_server_accepts_and_sok_exits_with_its_status,
    |place| {
        let server = Server::start(place, &[]);
        let script = "echo started; exit 9";
        let done = sok(&["wait", server.address(), "--", "sh", "-c", script]);
        assert_eq!((done.text().as_str(), done.code), ("started\n", 9));
    }
);

families!(a_command_does_not_run_when_time_runs_out, |place| {
    let nobody = place.nobody();
    let done = sok(&[
        "wait",
        &nobody.address,
        "--timeout",
        "30ms",
        "--",
        "echo",
        "started",
    ]);
    assert_eq!((done.text().as_str(), done.code), ("", 124));
});

families!(a_permanent_error_ends_the_wait_at_once, |place| {
    let file = place.file("regular", "content");
    let directory = place.directory().to_owned();
    for path in [file, directory] {
        let done = waiting(&[path.to_str().unwrap()]).done();
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(done.stderr.contains("not a socket"), "{}", done.stderr);
    }
});

#[test]
fn a_socket_without_write_permission_ends_the_wait_at_once() {
    // Root may write to every file.
    if !required("an ordinary user", !is_root()) {
        return;
    }
    let place = Place::new(Kind::Unix);
    let server = Server::start(&place, &["--mode", "000"]);
    assert_eq!(waiting(&[server.address()]).wait(), 4);
}

#[test]
fn a_name_that_does_not_resolve_is_an_error_with_strict_dns() {
    let strict = waiting(&["--strict-dns", "no-such-host.invalid:80"]).done();
    assert_eq!(strict.code, 7, "{}", strict.stderr);
    let patient = sok(&["wait", "no-such-host.invalid:80", "--timeout", "30ms"]);
    assert_eq!(patient.code, 124, "{}", patient.stderr);
}

#[test]
fn a_name_is_gone_when_no_server_listens_on_any_of_its_addresses() {
    run(Kind::Inet, |place| {
        // Somebody is there, whose backlog is full, so that no try of the wait is let in.
        let full = RawListener::with_backlog(place, 0);
        let _waiting = RawStream::connect(full.address());
        let port = full.address().rsplit(':').next().unwrap();
        let hosts = place.file("hosts", "::1 both\n127.0.0.1 both\n");
        let script = r#""$SOK" wait --gone "both:$1" --timeout 3s"#;
        let done = in_own_mounts(hosts.to_str().unwrap(), "/etc/hosts", script, &[port], &[]);
        let Some(done) = done else {
            required("mount namespaces", false);
            return;
        };
        assert_eq!(done.code, 124, "{}", done.stderr);
    });
}

#[test]
fn a_command_that_cannot_run_fails_before_the_wait() {
    let place = Place::new(Kind::Unix);
    let text = place.file("text", "no program").display().to_string();
    for (program, code) in [
        ("/nowhere/program", 127),
        ("no-such-program", 127),
        (&text, 126),
        ("/", 126),
    ] {
        let done = sok(&["wait", "@nobody", "--", program]);
        assert_eq!(done.code, code, "{}", done.stderr);
        let said = format!("sok: exec {program}: ");
        assert!(done.stderr.starts_with(&said), "{}", done.stderr);
    }
}

families!(a_command_whose_interpreter_is_missing_is_127, |place| {
    let server = Server::start(place, &[]);
    let program = place.path("program").display().to_string();
    // By another process: see `sok_for_anybody`.
    let script = r#"echo '#!/nowhere/interpreter' >"$1"; chmod 755 "$1""#;
    assert_eq!(Process::sh(script, &[&program]).done().code, 0);
    let done = sok(&["wait", server.address(), "--", &program]);
    assert_eq!(done.code, 127, "{}", done.stderr);
});

#[test]
fn a_command_without_the_dashes_gets_a_hint() {
    let hint = "write -- before it";
    let done = sok(&["wait", "@nobody", "make", "test"]);
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains(hint), "{}", done.stderr);
    // Here no command can begin.
    for words in [
        &["wait", "make"][..],
        &["wait", "@nobody", "make", "--", "test"],
    ] {
        let done = sok(words);
        assert_eq!(done.code, 2);
        assert!(!done.stderr.contains(hint), "{}", done.stderr);
    }
}
