//! The programs that read a status today: curl, promtool, HAProxy.

use std::process::Command;

use crate::support::http::{page, parse_metrics, status_of};
use crate::support::{Done, Kind, Place, Process, RawStream, Server, require_peer, run};

/// A server on a fresh address of `place`, with its status there too.
fn serve(place: &Place, options: &[&str]) -> (Server, String) {
    let word = place.word();
    let server = Server::start(place, &[&["--status", &word], options].concat());
    let status = status_of(&server);
    (server, status)
}

/// Runs curl for `path` of the status at `address`.
fn curl(place: &Place, address: &str, options: &[&str], path: &str) -> Done {
    let (_, name) = address.split_once(':').unwrap();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error"]).args(options);
    match place.kind() {
        Kind::Inet | Kind::Inet6 => command.arg(format!("http://{name}{path}")),
        Kind::Unix => command.args(["--unix-socket", name, &format!("http://sok{path}")]),
        Kind::Abstract => {
            let name = name.strip_prefix('@').unwrap();
            command.args(["--abstract-unix-socket", name, &format!("http://sok{path}")])
        }
    };
    Process::spawn(command).done()
}

families!(curl_reads_the_status, |place| {
    if !require_peer("curl") {
        return;
    }
    let (server, address) = serve(place, &["--grace", "1h", "-v"]);
    let done = curl(place, &address, &[], "/");
    assert_eq!((done.code, &*done.stderr), (0, ""));
    let status: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(status["listening"][0], server.address());
    parse_metrics(&curl(place, &address, &[], "/metrics").text());
    let head = curl(place, &address, &["--head", "--fail"], "/metrics");
    assert!(
        head.text().starts_with("HTTP/1.1 200 OK\r\n"),
        "{}",
        head.text()
    );
    assert_eq!(
        curl(place, &address, &["--fail"], "/healthz").text(),
        "ok\n"
    );
    let mut client = RawStream::connect(server.address());
    client.send(b"hello");
    assert_eq!(client.take(5), b"hello");
    server.terminate();
    server.stderr().wait_for("draining");
    let unhealthy = curl(place, &address, &["--fail"], "/healthz");
    assert_eq!(unhealthy.code, 22, "{}", unhealthy.stderr);
});

#[test]
fn promtool_finds_no_fault_in_the_metrics() {
    if !require_peer("promtool") {
        return;
    }
    run(Kind::Unix, |place| {
        let target = format!("{}/a \"b\\x5c\n.sock", place.directory().display());
        let (word, about) = (place.word(), place.word());
        let words = ["relay", &word, &target, "@nobody", "--status", &about];
        let relay = Server::of(Process::sok(&words));
        let text = page(&status_of(&relay), "/metrics");
        let mut promtool = Command::new("promtool");
        promtool.args(["check", "metrics"]);
        let done = Process::spawn(promtool).feed(text.as_bytes());
        assert_eq!((done.code, &*done.stderr), (0, ""), "{text}");
    });
}

#[test]
fn haproxy_sends_clients_to_another_server_while_one_drains() {
    if !require_peer("haproxy") {
        return;
    }
    run(Kind::Inet, |place| {
        let servers = ["1", "2"].map(|name| serve(place, &["--suffix", name, "--grace", "1h"]));
        let front = place.path("front.sock");
        let lines = servers
            .iter()
            .enumerate()
            .map(|(number, (server, status))| {
                let (_, health) = status.rsplit_once(':').unwrap();
                let backup = if number > 0 { " backup" } else { "" };
                let port = server.port();
                format!(
                    "server s{number} 127.0.0.1:{port} check port {health} inter 100ms{backup}\n"
                )
            });
        let config = format!(
            "defaults\n mode tcp\n timeout connect 60s\n timeout client 60s\n timeout server 60s\n\
             frontend all\n bind {}\n default_backend hosts\n\
             backend hosts\n option httpchk GET /healthz\n {}",
            front.display(),
            lines.collect::<Vec<String>>().join(" ")
        );
        let config = place.file("haproxy.cfg", config);
        let mut command = Command::new("haproxy");
        command.args(["-db", "-V", "-f"]).arg(config);
        let haproxy = Process::spawn(command);
        let front = format!("unix:{}", front.display());
        let wait = crate::support::sok(&["wait", &front, "--timeout", "60s"]);
        assert_eq!(wait.code, 0, "{}", wait.stderr);
        let mut old = RawStream::connect(&front);
        old.send(b"hello");
        assert_eq!(old.take(6), b"hello1");
        servers[0].0.terminate();
        let said = haproxy.stderr().wait_for("hosts/s0 is DOWN");
        assert!(said.contains("code: 503"), "{said}");
        let mut new = RawStream::connect(&front);
        new.send(b"hello");
        assert_eq!(new.take(6), b"hello2");
        // What was connected is served on.
        old.send(b"again");
        assert_eq!(old.take(6), b"again1");
    });
}
