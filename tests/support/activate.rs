//! `sok activate` as a process, and a server in Python for it.

use std::ops::Deref;

use nix::sys::signal::Signal;

use super::{Place, Process, Server};

/// A server of every socket that it inherits: it answers each request with its process number, a
/// blank, and the request. SIGTERM ends it after the request that it then serves. `argv[1]` is the
/// number of requests after which it ends.
pub(crate) const PYTHON_SERVER: &str = r#"
import os, select, signal, socket, sys

assert os.environ["LISTEN_PID"] == str(os.getpid()), os.environ
listeners = [socket.socket(fileno=3 + n) for n in range(int(os.environ["LISTEN_FDS"]))]
read, write = os.pipe()
os.set_blocking(write, False)
signal.set_wakeup_fd(write)
signal.signal(signal.SIGTERM, lambda *_: None)
for listener in listeners:
    listener.setblocking(False)
print("serves as", os.getpid(), flush=True)
left = int(sys.argv[1]) if len(sys.argv) > 1 else -1
while left != 0:
    ready, _, _ = select.select(listeners + [read], [], [])
    if read in ready:
        break
    for listener in ready:
        own = b"%d " % os.getpid()
        try:
            if listener.type == socket.SOCK_DGRAM:
                request, peer = listener.recvfrom(65536)
                listener.sendto(own + request, peer)
            else:
                client, _ = listener.accept()
                client.setblocking(True)
                client.sendall(own + client.recv(65536))
                client.close()
        except BlockingIOError:
            continue
        left -= 1
"#;

/// A running `sok activate`, whose sockets are bound.
#[derive(Debug)]
pub(crate) struct Activate(Server);

impl Activate {
    /// Runs `command` with a fresh address of `place`.
    pub(crate) fn start(place: &Place, options: &[&str], command: &[&str]) -> Self {
        Self::at(&[&place.word()], options, command)
    }

    /// The same with these addresses.
    pub(crate) fn at(words: &[&str], options: &[&str], command: &[&str]) -> Self {
        let arguments = [&["activate"], words, options, &["--"], command].concat();
        Self(Server::of(Process::sok(&arguments)))
    }

    /// Runs a server in Python.
    pub(crate) fn python(place: &Place, options: &[&str]) -> Self {
        Self::start(place, options, &["python3", "-c", PYTHON_SERVER])
    }

    /// Ends it by SIGTERM, and returns its exit code.
    pub(crate) fn stop(&self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits until the program has started `count` times.
    pub(crate) fn wait_for_starts(&self, count: usize) {
        self.stdout().wait_for_count("serves as", count);
    }
}

impl Deref for Activate {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// The answer of a server of [`PYTHON_SERVER`] to `request`: its process number.
pub(crate) fn ask(address: &str, request: &str) -> i32 {
    let done = super::sok(&["call", address, request, "--timeout", "30s"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let answer = done.text();
    let (pid, rest) = answer.trim_end().split_once(' ').expect("a number");
    assert_eq!(rest, request);
    pid.parse().unwrap()
}
