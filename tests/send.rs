//! `serve --send`: a file for each client.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;

use crate::support::{
    Kind, Place, Process, RawStream, Server, assert_same, can_inject, noise, sok, sok_with_fault,
    sok_with_fault_at, sok_without_rights,
};

families!(a_large_file_arrives_complete_at_each_client, |place| {
    let data = noise(8 << 20);
    let file = place.file("data", &data);
    let server = Server::start(place, &["--send", &file.to_string_lossy()]);
    let mut slow = RawStream::connect(server.address());
    for _ in 0..2 {
        assert_same(&RawStream::connect(server.address()).exchange(b""), &data);
    }
    slow.finish();
    assert_same(&slow.rest(), &data);
    server.terminate();
    assert_eq!(server.wait(), 0);
});

families!(
    a_client_gets_the_end_of_the_file_before_it_closes,
    |place| {
        let file = place.file("data", "content");
        let server = Server::start(place, &["--send", &file.to_string_lossy()]);
        let mut client = RawStream::connect(server.address());
        assert_eq!(client.rest(), b"content");
        // What it says in return is taken and not answered by a reset.
        client.send(b"thanks");
        client.finish();
        assert_eq!(client.rest(), b"");
    }
);

families!(an_empty_file_is_sent_as_end_of_file, |place| {
    let file = place.file("data", "");
    let server = Server::start(place, &["--send", &file.to_string_lossy(), "--once"]);
    assert_eq!(
        RawStream::connect(server.address()).exchange(b"ignored"),
        b""
    );
    assert_eq!(server.wait(), 0);
});

families!(each_client_gets_the_file_as_it_is_then, |place| {
    let file = place.file("data", "old");
    let server = Server::start(place, &["--send", &file.to_string_lossy()]);
    assert_eq!(RawStream::connect(server.address()).exchange(b""), b"old");
    place.file("data", "newer");
    assert_eq!(RawStream::connect(server.address()).exchange(b""), b"newer");
});

families!(a_client_that_closes_early_disturbs_no_other, |place| {
    let data = noise(8 << 20);
    let file = place.file("data", &data);
    let server = Server::start(place, &["--send", &file.to_string_lossy()]);
    let mut early = RawStream::connect(server.address());
    early.take(1000);
    drop(early);
    server.stderr().wait_for("failed");
    assert_same(&RawStream::connect(server.address()).exchange(b""), &data);
});

families!(a_file_of_the_kernel_is_copied, |place| {
    let server = Server::start(place, &["--send", "/proc/version"]);
    let want = fs::read("/proc/version").unwrap();
    assert_eq!(RawStream::connect(server.address()).exchange(b""), want);
});

families!(a_pipe_is_copied, |place| {
    let pipe = place.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let server = Server::start(place, &["--send", &pipe.to_string_lossy()]);
    let data = noise(1 << 20);
    for _ in 0..2 {
        let mut client = RawStream::connect(server.address());
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut writer = OpenOptions::new().write(true).open(&pipe).unwrap();
                writer.write_all(&data).unwrap();
            });
            assert_same(&client.exchange(b""), &data);
        });
    }
});

/// A FIFO without a writer.
fn fifo(place: &Place) -> String {
    let path = place.path("pipe").to_string_lossy().into_owned();
    nix::unistd::mkfifo(path.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    path
}

/// How many entries a folder of `/proc` has.
fn entries(server: &Server, folder: &str) -> usize {
    let folder = format!("/proc/{}/{folder}", server.pid());
    fs::read_dir(folder).unwrap().count()
}

families!(
    a_client_that_waits_for_a_pipe_does_not_delay_a_stop,
    |place| {
        let pipe = fifo(place);
        let server = Server::start(place, &["--send", &pipe, "-v", "--grace", "5m"]);
        let mut clients: Vec<RawStream> = (0..2)
            .map(|_| RawStream::connect(server.address()))
            .collect();
        server.stderr().wait_for_count(" connected ", 2);
        server.terminate();
        // Nothing that was promised is lost, and the grace has not run out.
        assert_eq!(server.wait(), 0, "{}", server.said());
        let expected = "stopped before any data came through the pipe";
        assert_eq!(
            server.said().matches(expected).count(),
            2,
            "{}",
            server.said()
        );
        for client in &mut clients {
            assert_eq!(client.cut(), b"");
        }
    }
);

families!(
    clients_that_close_before_the_writer_opens_leave_nothing_behind,
    |place| {
        let pipe = fifo(place);
        let server = Server::start(place, &["--send", &pipe, "-v"]);
        let (threads, descriptors) = (entries(&server, "task"), entries(&server, "fd"));
        for client in (0..5).map(|_| RawStream::connect(server.address())) {
            // A close that is no reset looks like a half-close on the network.
            match place.is_network() {
                true => client.reset(),
                false => drop(client),
            }
        }
        server.stderr().wait_for_count(" failed ", 5);
        assert_eq!(entries(&server, "task"), threads);
        assert_eq!(entries(&server, "fd"), descriptors);
    }
);

families!(a_half_closed_client_still_waits_for_the_writer, |place| {
    let pipe = fifo(place);
    let server = Server::start(place, &["--send", &pipe, "-v"]);
    let mut client = RawStream::connect(server.address());
    client.finish();
    server.stderr().wait_for(" connected ");
    fs::write(&pipe, "late").unwrap();
    assert_eq!(client.rest(), b"late");
});

families!(a_file_that_becomes_a_pipe_stops_no_other_work, |place| {
    if !can_inject() {
        return;
    }
    // The server cannot look at the path before it opens it.
    let fault = "statx:error=EIO";
    let file = place.file("data", "content");
    let (word, path) = (place.word(), file.to_string_lossy());
    let arguments = ["serve", &word, "-v", "--send", &path];
    let server = Server::of(sok_with_fault_at(&path, fault, &arguments));
    fs::rename(fifo(place), &file).unwrap();
    let mut waiting = RawStream::connect(server.address());
    server.stderr().wait_for(" connected ");
    let _other = RawStream::connect(server.address());
    server.stderr().wait_for_count(" connected ", 2);
    server.terminate();
    server.wait();
    assert_eq!(waiting.cut(), b"");
});

families!(the_output_of_a_program_is_copied, |place| {
    let script = r#"printf content | exec "$SOK" serve "$1" --once --send /dev/stdin"#;
    let server = Server::of(Process::sh(script, &[&place.word()]));
    assert_eq!(
        RawStream::connect(server.address()).exchange(b""),
        b"content"
    );
    assert_eq!(server.wait(), 0);
});

families!(a_missing_file_fails_at_the_start, |place| {
    let none = place.path("none");
    let directory = place.path("directory");
    fs::create_dir(&directory).unwrap();
    for path in [none, directory] {
        let path = path.to_string_lossy().into_owned();
        let done = sok(&["serve", &place.word(), "--send", &path]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(done.stderr.contains(&path), "{}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
        assert!(
            done.stderr.contains("give --send a readable file"),
            "{}",
            done.stderr
        );
        assert_eq!(place.listing(), ["directory"]);
    }
});

#[test]
fn an_unreadable_file_is_exit_4() {
    let place = Place::new(Kind::Unix);
    let file = place.file("secret", "secret");
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    let arguments = ["serve", &place.word(), "--send", &file.to_string_lossy()];
    let done = sok_without_rights(&place, &arguments);
    assert_eq!(done.code, 4, "{}", done.stderr);
    assert!(
        done.stderr.contains(&*file.to_string_lossy()),
        "{}",
        done.stderr
    );
}

families!(a_file_that_goes_missing_fails_only_its_client, |place| {
    let file = place.file("data", "content");
    let server = Server::start(place, &["--send", &file.to_string_lossy()]);
    fs::remove_file(&file).unwrap();
    assert_eq!(RawStream::connect(server.address()).cut(), b"");
    let said = server.stderr().wait_for("failed");
    assert!(said.contains(&*file.to_string_lossy()), "{said}");
    place.file("data", "again");
    assert_eq!(RawStream::connect(server.address()).exchange(b""), b"again");
});

families!(a_file_arrives_complete_without_sendfile, |place| {
    if !can_inject() {
        return;
    }
    let data = noise(4 << 20);
    let file = place.file("data", &data);
    let file = file.to_string_lossy();
    for fault in [
        "sendfile:error=EPERM",
        "sendfile:error=ENOSYS",
        "sendfile:error=EINVAL:when=2+",
    ] {
        let word = place.word();
        let arguments = ["serve", &word, "--once", "--send", &file];
        let server = Server::of(sok_with_fault(fault, &arguments));
        assert_same(&RawStream::connect(server.address()).exchange(b""), &data);
        assert_eq!(server.wait(), 0, "{fault}: {}", server.said());
    }
});

families!(a_client_sends_its_whole_file_without_sendfile, |place| {
    if !can_inject() {
        return;
    }
    let data = noise(4 << 20);
    let file = place.file("data", &data);
    let server = Server::start(place, &[]);
    for fault in ["error=EPERM", "error=ENOSYS", "error=EINVAL:when=2+"] {
        let script = r#"exec strace -D -f -qq -o /dev/null -e trace=sendfile \
            -e "inject=sendfile:$1" "$SOK" connect "$2" <"$3""#;
        let arguments = [fault, server.address(), &file.to_string_lossy()];
        let done = Process::sh(script, &arguments).done();
        assert_eq!(done.code, 0, "{fault}: {}", done.stderr);
        assert_same(&done.stdout, &data);
    }
});
