//! `serve --exec`: a program for each connection.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Write, read_to_string};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{Kind, Place, Process, RawStream, Server, assert_same, noise, sok};

fn sh(script: &str) -> [&str; 4] {
    ["--exec", "sh", "-c", script]
}

fn start(place: &Place, options: &[&str], script: &str) -> Server {
    Server::start(place, &[options, &sh(script)].concat())
}

families!(a_program_gets_end_of_file_and_can_still_answer, |place| {
    let server = start(place, &[], "wc -c");
    let data = noise(300_000);
    let got = RawStream::connect(server.address()).exchange(&data);
    assert_eq!(String::from_utf8(got).unwrap().trim(), "300000");
});

families!(a_program_reads_and_writes_at_once, |place| {
    let server = Server::start(place, &["--exec", "cat"]);
    let data = noise(4 << 20);
    assert_same(&RawStream::connect(server.address()).exchange(&data), &data);
    let mut client = RawStream::connect(server.address());
    for _ in 0..3 {
        client.send(b"ping\n");
        assert_eq!(client.line(), "ping\n");
    }
});

families!(a_client_gets_end_of_file_when_the_program_ends, |place| {
    let server = start(place, &[], "echo bye");
    // The client's own half stays open.
    assert_eq!(RawStream::connect(server.address()).rest(), b"bye\n");
});

families!(
    a_reply_five_seconds_after_the_half_close_arrives_complete,
    |place| {
        let server = start(place, &[], "cat >/dev/null; sleep 5; echo late");
        let connected = Process::sok(&["connect", server.address()]).feed(b"hello\n");
        assert_eq!(
            (connected.code, connected.text()),
            (0, "late\n".to_owned()),
            "{}",
            connected.stderr
        );
    }
);

families!(programs_for_many_clients_run_at_once, |place| {
    let server = Server::start(place, &["--exec", "cat"]);
    let mut clients: Vec<RawStream> = (0..10)
        .map(|_| RawStream::connect(server.address()))
        .collect();
    for client in clients.iter_mut().rev() {
        client.send(b"ping\n");
        assert_eq!(client.line(), "ping\n");
    }
});

families!(exec_takes_the_rest_of_the_command_line, |place| {
    let server = Server::start(
        place,
        &["--exec", "printf", "<%s>", "--once", "-v", "--", "a b", ""],
    );
    assert_eq!(
        RawStream::connect(server.address()).rest(),
        b"<--once><-v><--><a b><>"
    );
});

families!(the_environment_describes_the_client, |place| {
    let server = Server::start(place, &["--exec", "env"]);
    let mut client = RawStream::connect(server.address());
    let environment = String::from_utf8(client.rest()).unwrap();
    let environment: HashMap<&str, &str> = environment
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let is = |name: &str, want: &str| assert_eq!(environment.get(name), Some(&want), "{name}");
    is("SOK_FAMILY", place.family());
    is("SOK_LOCAL", server.address());
    if place.is_network() {
        let own = client.socket().local_addr().unwrap().as_socket().unwrap();
        is("PROTO", "TCP");
        is("SOK_PEER", &format!("{}:{own}", place.family()));
        is("TCPREMOTEIP", &own.ip().to_string());
        is("TCPREMOTEPORT", &own.port().to_string());
        is("TCPLOCALIP", &own.ip().to_string());
        is("TCPLOCALPORT", server.port());
        assert!(!environment.keys().any(|name| name.starts_with("UNIX")));
    } else {
        is("PROTO", "UNIX");
        is("SOK_PEER", "unix:");
        is("UNIXREMOTEPID", &std::process::id().to_string());
        is("UNIXREMOTEEUID", &nix::unistd::geteuid().to_string());
        is("UNIXREMOTEEGID", &nix::unistd::getegid().to_string());
        let path = (place.kind() == Kind::Unix).then(|| server.path());
        assert_eq!(environment.get("UNIXLOCALPATH").copied(), path);
        assert!(!environment.keys().any(|name| name.starts_with("TCP")));
    }
});

families!(variables_of_another_server_are_not_passed_on, |place| {
    let names = [
        "SOK_FAMILY",
        "SOK_LOCAL",
        "SOK_PEER",
        "PROTO",
        "TCPLOCALIP",
        "TCPLOCALPORT",
        "TCPLOCALHOST",
        "TCPREMOTEIP",
        "TCPREMOTEPORT",
        "TCPREMOTEHOST",
        "TCPREMOTEINFO",
        "UNIXLOCALPATH",
        "UNIXREMOTEPATH",
        "UNIXREMOTEPID",
        "UNIXREMOTEEUID",
        "UNIXREMOTEEGID",
    ];
    let mut command = Command::new(Process::PROGRAM);
    command.args(["serve", &place.word(), "--exec", "env"]);
    command.envs(names.map(|name| (name, "inherited")));
    command.env("OTHER", "passed on");
    let server = Server::of(Process::spawn(command));
    let environment = String::from_utf8(RawStream::connect(server.address()).rest()).unwrap();
    assert!(!environment.contains("inherited"), "{environment}");
    assert!(environment.contains("OTHER=passed on\n"), "{environment}");
});

/// The descriptors that `ls -l /proc/self/fd` saw, without the one it listed the directory by.
fn descriptors(listing: &[u8]) -> Vec<String> {
    let text = String::from_utf8(listing.to_vec()).unwrap();
    let entries = text.lines().filter(|line| !line.contains(" -> /proc/"));
    entries
        .filter_map(|line| {
            line.split_once(" -> ")?
                .0
                .rsplit(' ')
                .next()
                .map(str::to_owned)
        })
        .collect()
}

families!(
    a_program_inherits_only_the_three_standard_streams,
    |place| {
        let script = r#"exec 5</dev/null 9</dev/null; exec "$SOK" serve "$1" --exec sh -c 'ls -l /proc/self/fd; cat'"#;
        let server = Server::of(Process::sh(script, &[&place.word()]));
        let mut first = RawStream::connect(server.address());
        first.send(b"\n");
        // Others' connections, one of them with a program of its own, are open by then.
        let mut second = RawStream::connect(server.address());
        let listing = second.exchange(b"");
        assert_eq!(
            descriptors(&listing),
            ["0", "1", "2"],
            "{}",
            String::from_utf8_lossy(&listing)
        );
        first.finish();
        assert_eq!(descriptors(&first.rest()), ["0", "1", "2"]);
    }
);

families!(a_programs_streams_block_as_it_expects, |place| {
    // Only a blocking socket takes 4 MiB from a program that knows no EAGAIN.
    let server = start(
        place,
        &[],
        "grep flags /proc/self/fdinfo/0; head -c 4194304 /dev/zero",
    );
    let mut client = RawStream::connect(server.address());
    let flags = client.line();
    let flags = u32::from_str_radix(
        flags
            .trim()
            .rsplit(|c: char| !c.is_digit(8))
            .next()
            .unwrap(),
        8,
    );
    assert_eq!(flags.unwrap() & 0o4000, 0, "O_NONBLOCK is set");
    assert_eq!(client.rest().len(), 4 << 20);
});

families!(the_standard_error_of_a_program_is_shared, |place| {
    let server = start(place, &[], "echo oops >&2");
    assert_eq!(RawStream::connect(server.address()).rest(), b"");
    server.stderr().wait_for("oops\n");
});

families!(a_programs_exit_status_is_logged, |place| {
    let server = start(place, &["-v"], "read status; exit $status");
    for status in ["0", "3"] {
        let mut client = RawStream::connect(server.address());
        client.exchange(format!("{status}\n").as_bytes());
        let said = server
            .stderr()
            .wait_for(&format!("status=exit status: {status}"));
        assert!(said.contains("program ended"), "{said}");
    }
    server.stderr().wait_for("the program exited with status 3");
    assert!(!server.has_ended());
});

families!(with_once_the_programs_failure_is_the_servers, |place| {
    for (script, code) in [("exit 0", 0), ("exit 3", 1), ("kill -9 $$", 1)] {
        let server = start(place, &["--once"], script);
        RawStream::connect(server.address()).cut();
        assert_eq!(server.wait(), code, "{script}");
    }
});

families!(a_killed_program_is_no_clean_end, |place| {
    let server = start(place, &["-v"], r#"printf half; read how; eval "$how""#);
    for (how, is_clean) in [("exit 3", true), ("kill -9 $$", false)] {
        let mut client = RawStream::connect(server.address());
        assert_eq!(client.take(4), b"half");
        client.send(format!("{how}\n").as_bytes());
        let ended = client.try_rest();
        // AF_UNIX cannot tell it: it has no reset but for bytes that were left unread.
        if is_clean || !place.is_network() {
            assert_eq!(ended.unwrap(), b"", "{how}");
        } else {
            assert!(RawStream::is_broken(&ended.unwrap_err()), "{how}");
        }
    }
    server.stderr().wait_for("killed by signal 9");
});

families!(a_missing_program_fails_at_the_start, |place| {
    let text = place.file("text", "no program");
    for (program, code) in [
        ("no-such-program", 127),
        ("/none/program", 127),
        (&*text.to_string_lossy(), 126),
        ("/tmp", 126),
    ] {
        let word = place.word();
        let done = sok(&["serve", &word, "--exec", program]);
        assert_eq!(done.code, code, "{}", done.stderr);
        assert!(done.stderr.contains(program), "{}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
        assert_eq!(place.listing(), ["text"]);
    }
});

families!(a_program_that_goes_missing_fails_only_its_client, |place| {
    let program = place.path("program");
    std::os::unix::fs::symlink("/bin/echo", &program).unwrap();
    let server = Server::start(place, &["--exec", &program.to_string_lossy(), "there"]);
    std::fs::rename(&program, place.path("elsewhere")).unwrap();
    // The client is not left waiting.
    assert_eq!(RawStream::connect(server.address()).cut(), b"");
    server.stderr().wait_for("No such file or directory");
    std::fs::rename(place.path("elsewhere"), &program).unwrap();
    assert_eq!(RawStream::connect(server.address()).rest(), b"there\n");
});

families!(
    a_stop_sends_sigterm_to_the_program_which_can_still_answer,
    |place| {
        let script = r#"trap 'echo bye; exit 0' TERM; echo ready; while read line; do :; done"#;
        let server = start(place, &["--grace", "5m"], script);
        let mut client = RawStream::connect(server.address());
        assert_eq!(client.line(), "ready\n");
        server.terminate();
        assert_eq!(client.rest(), b"bye\n");
        assert_eq!(server.wait(), 0, "{}", server.stderr().text());
    }
);

families!(
    a_program_that_ignores_sigterm_is_killed_after_the_grace,
    |place| {
        // Its child too, which holds the socket as well.
        let script = "trap '' TERM; echo ready; cat; sleep 300; cat";
        let server = start(place, &["--grace", "50ms"], script);
        let mut client = RawStream::connect(server.address());
        assert_eq!(client.line(), "ready\n");
        server.terminate();
        // End of file comes when no process holds the socket any more.
        assert_eq!(client.cut(), b"");
        assert_eq!(server.wait(), 6);
    }
);

families!(the_grace_applies_to_the_programs_children_too, |place| {
    // The program ends at once, its child says something more.
    let script = "(trap 'echo bye; exit 0' TERM; echo ready; while :; do :; done) & wait";
    let server = start(place, &["--grace", "5m"], script);
    let mut client = RawStream::connect(server.address());
    assert_eq!(client.line(), "ready\n");
    server.terminate();
    assert_eq!(client.cut(), b"bye\n");
    assert_eq!(server.wait(), 0);
});

families!(no_child_of_a_program_outlives_the_grace, |place| {
    let script = "(trap '' TERM; echo ready; sleep 300) & wait";
    let server = start(place, &["--grace", "10ms"], script);
    let mut client = RawStream::connect(server.address());
    assert_eq!(client.line(), "ready\n");
    server.terminate();
    // End of file comes when no process holds the socket any more.
    assert_eq!(client.cut(), b"");
    assert_eq!(server.wait(), 6);
});

families!(a_program_gets_end_of_file_when_its_client_closes, |place| {
    let server = start(place, &["-v"], "cat >/dev/null; exit 7");
    drop(RawStream::connect(server.address()));
    server.stderr().wait_for("status=exit status: 7");
});

families!(no_program_outlives_the_grace_on_any_thread, |place| {
    let script = "trap '' TERM; echo $$; cat; sleep 300";
    let options = ["--threads", "4", "--grace", "10ms"];
    let server = start(place, &options, script);
    let mut clients: Vec<RawStream> = (0..8)
        .map(|_| RawStream::connect(server.address()))
        .collect();
    let programs: Vec<String> = clients.iter_mut().map(RawStream::line).collect();
    server.terminate();
    assert_eq!(server.wait(), 6);
    for (client, program) in clients.iter_mut().zip(&programs) {
        // The program holds the socket until it is gone.
        assert_eq!(client.cut(), b"", "{program}");
    }
});

families!(
    a_child_that_outlives_its_program_is_not_killed_with_the_connection,
    |place| {
        let (go, came) = (place.path("go"), place.path("came"));
        for fifo in [&go, &came] {
            nix::unistd::mkfifo(fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        let script = r#"(read line <"$0"; echo "$line") >"$1" & echo ready"#;
        let (go_path, came_path) = (go.to_string_lossy(), came.to_string_lossy());
        let program = [&sh(script)[..], &[&*go_path, &*came_path]].concat();
        let options = ["-v", "--grace", "5m"];
        let server = Server::start(place, &[&options, &program[..]].concat());
        let mut client = RawStream::connect(server.address());
        assert_eq!(client.line(), "ready\n");
        // The child has closed the program's output when this is open.
        let came = File::open(came).unwrap();
        assert_eq!(client.rest(), b"");
        server.stderr().wait_for("program ended");
        // The client has not ended: a second signal cuts it off.
        server.signal(Signal::SIGTERM);
        server.signal(Signal::SIGINT);
        server.wait();
        let mut go = File::options().read(true).write(true).open(go).unwrap();
        go.write_all(b"lives\n").unwrap();
        assert_eq!(read_to_string(came).unwrap(), "lives\n");
    }
);
