//! A relay to a name: it means what it means when a client comes.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{Kind, Place, Process, RawStream, Server, required, resolved, run};

/// Whether this machine lets us have an `/etc/hosts` of our own.
fn have_own_names() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--mount", "mount", "--bind", "/etc/hosts", "/etc/hosts"]);
    let there = command.output().is_ok_and(|done| done.status.success());
    required("mount namespaces", there)
}

/// A relay to `backend:PORT`, for which `hosts` has the addresses.
fn relay(place: &Place, hosts: &str, port: &str) -> Server {
    let script = r#"mount --bind "$1" /etc/hosts && exec "$SOK" relay "$2" "backend:$3""#;
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        hosts,
        &place.word(),
        port,
    ]);
    command.env("SOK", Process::PROGRAM);
    Server::of(Process::spawn(command))
}

#[test]
fn a_name_is_looked_up_again_for_each_client() {
    run(Kind::Inet, |place| {
        if !have_own_names() {
            return;
        }
        let first = Server::at("inet:127.0.0.1:0", &["--suffix", " first"]);
        let port = first.port();
        let second = format!("inet:127.0.0.2:{port}");
        let _second = Server::at(&second, &["--suffix", " second"]);
        let hosts = place.file("hosts", "127.0.0.1 backend\n");
        let relay = relay(place, hosts.to_str().unwrap(), port);
        let ask = || RawStream::connect(relay.address()).exchange(b"hello");
        assert_eq!(ask(), b"hello first");
        // Written in place: the mount is of this very file.
        fs::write(&hosts, "127.0.0.2 backend\n").unwrap();
        assert_eq!(ask(), b"hello second");
        fs::write(&hosts, "").unwrap();
        let mut client = RawStream::connect(relay.address());
        assert!(
            client
                .try_rest()
                .is_err_and(|error| RawStream::is_broken(&error))
        );
        relay.stderr().wait_for("backend");
        fs::write(&hosts, "127.0.0.1 backend\n").unwrap();
        assert_eq!(ask(), b"hello first");
    });
}

/// The program where the only name server is silent, for longer than a test may wait.
fn with_silent_name_server(place: &Place, arguments: &[&str]) -> Option<Process> {
    let resolver = "nameserver 192.0.2.2\noptions timeout:30 attempts:5\n";
    let resolver = place.file("resolv.conf", resolver);
    // A network whose other end swallows what is sent.
    let script = r#"mount --bind "$FILE" /etc/resolv.conf &&
        ip link add wire type veth peer name end && ip address add 192.0.2.1/24 dev wire &&
        ip link set wire up && ip link set end up &&
        ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:01 dev wire && exec "$@""#;
    let in_it = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--net"]);
        command.args(["sh", "-c", script, "sh"]).args(words);
        command.env("FILE", &resolver);
        command
    };
    let there = in_it(&["true"])
        .output()
        .is_ok_and(|done| done.status.success());
    required("network namespaces", there)
        .then(|| Process::spawn(in_it(&[&[Process::PROGRAM], arguments].concat())))
}

#[test]
fn a_silent_name_server_does_not_delay_a_relay() {
    run(Kind::Unix, |place| {
        let (word, target) = (place.word(), "backend.example:80");
        let arguments = [
            "relay",
            &word,
            target,
            "--connect-timeout",
            "50ms",
            "--once",
        ];
        let Some(relay) = with_silent_name_server(place, &arguments) else {
            return;
        };
        let relay = Server::of(relay);
        let mut client = RawStream::connect(relay.address());
        client.send(b"hello");
        assert!(client.try_rest().is_err());
        assert_eq!(relay.wait(), 124);
        assert!(relay.said().contains("no name server answered"));
    });
}

#[test]
fn a_server_can_be_stopped_while_its_name_is_looked_up() {
    run(Kind::Unix, |place| {
        for arguments in [
            ["serve", "host.example:8082", "-v"].as_slice(),
            &["relay", "host.example:8082", "unix:@nobody", "-v"],
        ] {
            let Some(server) = with_silent_name_server(place, arguments) else {
                return;
            };
            server.stderr().wait_for("looking up");
            server.signal(Signal::SIGTERM);
            assert_eq!(server.wait(), 0, "{}", server.said());
        }
    });
}

families!(
    a_relay_whose_target_resolves_to_itself_refuses_the_client,
    |place| {
        let nobody = place.nobody();
        let Ok(own) = nobody
            .address
            .split_once(':')
            .unwrap()
            .1
            .parse::<SocketAddr>()
        else {
            return;
        };
        if !resolved("localhost").contains(&own.ip()) {
            return;
        }
        let name = format!("localhost:{}", own.port());
        let every = format!(":{}", own.port());
        for (listen, target) in [
            (nobody.address.as_str(), name.as_str()),
            (&every, &name),
            (&name, &nobody.address),
        ] {
            let relay = Server::of(Process::sok(&["relay", listen, target, "--once"]));
            let mut client = RawStream::connect(&nobody.address);
            client.cut();
            assert_eq!(relay.wait(), 2, "{}", relay.said());
            let said = relay.said();
            assert!(
                said.contains("connect to itself") && said.contains(target),
                "{said}"
            );
        }
    }
);
