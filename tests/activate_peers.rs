//! `sok activate` with servers of others, and with `sok`, restarted under load: no request fails.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::Signal;

use crate::support::{Activate, Place, Process, RawMessages, RawStream, Server, require_peer};

/// A request of HTTP.
fn request(address: &str) {
    let mut client = RawStream::connect(address);
    client.send(b"GET / HTTP/1.0\r\nHost: here\r\n\r\n");
    let answer = String::from_utf8(client.rest()).unwrap();
    assert!(
        answer.starts_with("HTTP/1.") && answer.contains(" 200 OK\r\n"),
        "{answer:?}"
    );
}

/// Restarts the server `times` while two clients send requests; `up` is what it says when it serves.
fn restart_under_load(activate: &Activate, times: usize, up: &str, request: impl Fn(&str) + Sync) {
    activate.stderr().wait_for(up);
    let (done, requests) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let client = || {
            while !done.load(Ordering::Relaxed) {
                request(activate.address());
                requests.fetch_add(1, Ordering::Relaxed);
            }
        };
        let clients = [scope.spawn(client), scope.spawn(client)];
        for restarts in 1..=times {
            activate.signal(Signal::SIGHUP);
            activate.stderr().wait_for_count(up, restarts + 1);
            activate.stderr().wait_for_count("program ended", restarts);
            // The old one has ended, and so the new one answers.
            request(activate.address());
        }
        done.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("no request fails");
        }
    });
    println!("{} requests", requests.into_inner());
}

forms!(sok_itself_restarts_without_a_failed_call, |place| {
    let keeps_messages = place.keeps_messages();
    let lines = match keeps_messages {
        true => &[][..],
        false => &["--framing", "line"],
    };
    let answered = |address: &str| {
        let answer = match keeps_messages {
            true => {
                let client = RawMessages::connect(address);
                client.send(b"hello");
                client.receive()
            }
            false => RawStream::connect(address).exchange(b"hello\n"),
        };
        assert_eq!(
            String::from_utf8(answer).unwrap().replace('\n', ""),
            "hello!"
        );
    };
    let server = Server::start(place, &[&["--suffix", "!"], lines].concat());
    let serve = [&["serve", "fd:3", "--suffix", "!"], lines].concat();
    for words in [&serve[..], &["relay", "fd:3", server.address()]] {
        for (nonblocking, times) in [(&[][..], 5), (&["--nonblocking"], 20)] {
            let options = [&["-v", "--restart", "--overlap", "100ms"], nonblocking].concat();
            let command = [&[Process::PROGRAM], words].concat();
            let activate = Activate::start(place, &options, &command);
            restart_under_load(&activate, times, "(fd:3)", answered);
            assert_eq!(activate.stop(), 0, "{}", activate.said());
        }
    }
    drop(server);
});

families!(gunicorn_restarts_without_a_failed_request, |place| {
    if !require_peer("gunicorn") {
        return;
    }
    let app = "import os
def application(environ, start):
    body = str(os.getpid()).encode()
    start('200 OK', [('Content-Length', str(len(body)))])
    return [body]
";
    place.file("app.py", app);
    let folder = place.directory().to_str().unwrap();
    let command = ["gunicorn", "--chdir", folder, "app:application"];
    let options = ["-v", "--restart", "--overlap", "200ms", "--grace", "30s"];
    let activate = Activate::start(place, &options, &command);
    restart_under_load(&activate, 20, "Booting worker", request);
    assert_eq!(activate.stop(), 0);
    assert_eq!(socket_files(place), 0);
});

families!(haproxy_restarts_without_a_failed_request, |place| {
    if !require_peer("haproxy") {
        return;
    }
    let configuration = "defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 30s
frontend here
  bind fd@3
  http-request return status 200 content-type text/plain lf-string %pid
";
    let file = place.file("haproxy.cfg", configuration);
    let command = ["haproxy", "-V", "-f", file.to_str().unwrap()];
    let options = [
        "-v",
        "--restart",
        "--overlap",
        "200ms",
        "--stop-signal",
        "USR1",
        "--grace",
        "30s",
    ];
    let activate = Activate::start(place, &options, &command);
    restart_under_load(&activate, 20, "Available polling systems", request);
    assert_eq!(activate.stop(), 0);
    assert_eq!(socket_files(place), 0);
});

/// The number of socket files in the directory of `place`.
fn socket_files(place: &Place) -> usize {
    place
        .listing()
        .iter()
        .filter(|name| name.ends_with(".sock"))
        .count()
}
