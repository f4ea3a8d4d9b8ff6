//! The harness itself: what the other modules rely on.

use std::fs;

use nix::sys::signal::Signal;

use crate::support::{Process, RawListener, RawStream, Server, sok};

families!(a_server_answers_a_raw_client, |place| {
    let server = Server::start(place, &["--suffix", "!"]);
    let mut client = RawStream::connect(server.address());
    client.send(b"hello");
    client.finish();
    assert_eq!(client.rest(), b"hello!");
});

families!(a_raw_server_answers_the_program, |place| {
    let listener = RawListener::bind(place);
    let call = Process::sok(&["call", listener.address(), "ping"]);
    let mut served = listener.accept();
    assert_eq!(served.line(), "ping\n");
    served.send(b"pong\n");
    assert_eq!(call.done().stdout, b"pong\n");
});

families!(the_signal_ends_a_server, |place| {
    let server = Server::start(place, &[]);
    server.terminate();
    assert_eq!(server.wait(), 0, "{}", server.stderr().text());
});

#[test]
fn a_command_gives_its_code_and_its_output() {
    let done = sok(&["--version"]);
    assert_eq!(done.code, 0);
    assert!(done.stdout.starts_with(b"sok "));
    assert_eq!(done.stderr, "");
}

#[test]
fn no_signal_that_the_tests_send_is_ignored_from_the_start() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:\t"))
        .unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
    ] {
        assert!(
            ignored & (1 << (signal as i32 - 1)) == 0,
            "{signal} is ignored, as under nohup; scripts/test resets it"
        );
    }
}
