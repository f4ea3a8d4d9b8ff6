//! The relay between programs that people use today, and what it does when they are killed.

use std::fs::read_dir;
use std::path::Path;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use crate::support::{
    Done, Kind, Place, Process, RawListener, RawStream, Server, noise, require_peer, sok,
};

/// Runs a program to its end, which must be a good one.
fn client(program: &str, arguments: &[&str]) -> Done {
    let mut command = Command::new(program);
    command.args(arguments);
    let done = Process::spawn(command).done();
    let said = (done.text(), &done.stderr);
    assert_eq!(done.code, 0, "{program} {arguments:?}: {said:?}");
    done
}

/// The address options of the Redis clients, which do not support abstract names.
fn redis_address<'a>(place: &Place, relay: &'a Server) -> Option<Vec<&'a str>> {
    match place.kind() {
        Kind::Inet => Some(vec!["-h", "127.0.0.1", "-p", relay.port()]),
        Kind::Inet6 => Some(vec!["-h", "::1", "-p", relay.port()]),
        Kind::Unix => Some(vec!["-s", relay.path()]),
        Kind::Abstract => None,
    }
}

families!(redis_on_a_socket_file_is_served, |place| {
    if !["redis-server", "redis-benchmark", "redis-cli"]
        .map(require_peer)
        .contains(&false)
    {
        let socket = place.path("redis.sock");
        let mut command = Command::new("redis-server");
        command
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(&socket);
        command.arg("--dir").arg(place.directory());
        let redis = Process::spawn(command);
        redis.stdout().wait_for("eady to accept connections");
        let relay = Server::relay(place, &format!("unix:{}", socket.display()), &[]);
        let pong = sok(&["call", relay.address(), "PING", "--lines", "1"]);
        assert_eq!((pong.code, pong.text().trim_end()), (0, "+PONG"));
        if let Some(address) = redis_address(place, &relay) {
            let with = |more: &[&'static str]| [&address[..], more].concat();
            assert_eq!(client("redis-cli", &with(&["PING"])).text(), "PONG\n");
            // Small requests, many at a time, and values that are streams.
            for load in [
                ["-n", "20000", "-c", "50", "-P", "4", "-d", "64"],
                ["-n", "400", "-c", "8", "-P", "1", "-d", "1000000"],
            ] {
                let all = [&with(&["-t", "set,get", "-q"])[..], &load].concat();
                let done = client("redis-benchmark", &all);
                let said = done.text() + &done.stderr;
                assert!(said.contains("requests per second"), "{said}");
                assert!(!said.contains("rror"), "{said}");
            }
        }
        let said = relay.stderr().text();
        assert!(!said.contains("failed"), "{said}");
    }
});

/// A server on the socket file `argv[1]` that gives back the body of a POST, and to a GET as many
/// bytes as its path says.
const WEB: &str = r#"
import http.server, socketserver, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "client"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(b"x" * int(self.path[1:]))

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

server = Server(sys.argv[1], Handler)
print("ready", flush=True)
server.serve_forever()
"#;

families!(curl_reaches_a_web_server_on_a_socket_file, |place| {
    if require_peer("curl") && require_peer("python3") {
        let socket = place.path("web.sock");
        let mut command = Command::new("python3");
        command.args(["-c", WEB]).arg(&socket);
        let web = Process::spawn(command);
        web.stdout().wait_for("ready");
        let relay = Server::relay(place, &format!("unix:{}", socket.display()), &[]);
        let name = || relay.address().strip_prefix("unix:").unwrap();
        let (base, way) = match place.kind() {
            Kind::Inet => (format!("http://127.0.0.1:{}", relay.port()), vec![]),
            Kind::Inet6 => (format!("http://[::1]:{}", relay.port()), vec![]),
            Kind::Unix => ("http://web".to_owned(), vec!["--unix-socket", name()]),
            Kind::Abstract => {
                let way = vec!["--abstract-unix-socket", &name()[1..]];
                ("http://web".to_owned(), way)
            }
        };
        let mut quiet = vec!["--silent", "--show-error", "--fail", "--noproxy", "*"];
        quiet.extend(way);
        // One connection after another over the same one.
        let urls = [3, 3_000_000, 0, 5].map(|size| format!("{base}/{size}"));
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        let done = client("curl", &[&quiet[..], &urls].concat());
        assert!(
            done.stdout == b"x".repeat(3_000_008),
            "{} bytes",
            done.stdout.len()
        );
        let body = noise(5_000_000);
        let file = place.file("body", &body);
        let data = format!("@{}", file.display());
        let done = client(
            "curl",
            &[&quiet[..], &["--data-binary", &data, &base]].concat(),
        );
        assert!(done.stdout == body, "{} bytes", done.stdout.len());
        let said = relay.stderr().text();
        assert!(!said.contains("failed"), "{said}");
    }
});

/// How many connections are open while one of the programs is killed.
const MANY: usize = 200;

/// So many take more descriptors than a shell gives this process.
fn allow_many_descriptors() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(4096).min(hard), hard).unwrap();
}

fn descriptors(process: &Process) -> usize {
    read_dir(
        Path::new("/proc")
            .join(process.pid().to_string())
            .join("fd"),
    )
    .unwrap()
    .count()
}

/// What stays when all connections of one thread are gone: its pool of at most 16 pipes of two
/// descriptors, less than one for each connection.
fn assert_given_back(relay: &Server, before: usize, ended: usize) {
    relay.stderr().wait_until(&format!("{ended} ends"), |text| {
        let count = |word| text.matches(word).count();
        count(" ended connection=") + count(" failed connection=") == ended
    });
    let now = descriptors(relay);
    assert!(
        now <= before + 32,
        "{before} descriptors before, {now} after"
    );
}

families!(a_client_that_is_killed_disturbs_no_other, |place| {
    allow_many_descriptors();
    let backend = RawListener::bind(place);
    let relay = Server::relay(place, backend.address(), &["-v", "--threads", "1"]);
    let before = descriptors(&relay);
    let mut others: Vec<(RawStream, RawStream)> = (0..MANY)
        .map(|_| (RawStream::connect(relay.address()), backend.accept()))
        .collect();
    let script = r#"exec "$SOK" connect "$1" < /dev/zero"#;
    let victim = Process::sh(script, &[relay.address()]);
    let mut served = backend.accept();
    // In the middle of a stream: the relay holds more of it than we take.
    assert_eq!(served.take(3 << 20).len(), 3 << 20);
    victim.signal(Signal::SIGKILL);
    assert_eq!(victim.wait(), 137);
    // The kernel ends a killed process's connection; that end, or a reset, arrives.
    drop(served.try_rest());
    drop(served);
    for (client, server) in &mut others {
        client.send(b"request");
        assert_eq!(server.take(7), b"request");
        server.send(b"reply");
        assert_eq!(client.take(5), b"reply");
    }
    drop(others);
    assert_given_back(&relay, before, MANY + 1);
});

families!(
    a_target_that_is_killed_ends_its_clients_and_not_the_relay,
    |place| {
        allow_many_descriptors();
        let target = Server::start(place, &[]);
        let options = ["-v", "--threads", "1", "--retry-for", "60s"];
        let relay = Server::relay(place, target.address(), &options);
        let before = descriptors(&relay);
        let mut clients: Vec<RawStream> = (0..MANY)
            .map(|_| RawStream::connect(relay.address()))
            .collect();
        for client in &mut clients {
            client.send(b"request");
            assert_eq!(client.take(7), b"request");
        }
        // In the middle of a stream each way: we take less than what is echoed.
        let mut streaming = RawStream::connect(relay.address());
        streaming.send(&noise(300_000));
        assert_eq!(streaming.take(100_000), noise(100_000));
        target.signal(Signal::SIGKILL);
        assert_eq!(target.wait(), 137);
        clients.push(streaming);
        for client in &mut clients {
            drop(client.try_rest());
        }
        drop(clients);
        assert_given_back(&relay, before, MANY + 1);
        // A client that comes now waits for the next server.
        let mut waiting = RawStream::connect(relay.address());
        waiting.send(b"still there?");
        let next = Server::at(target.address(), &[]);
        assert_eq!(waiting.take(12), b"still there?");
        drop((waiting, next));
        assert_given_back(&relay, before, MANY + 2);
    }
);
