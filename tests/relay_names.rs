//! A relay to a name: it means what it means when a client comes.

use std::fs;
use std::process::Command;

use crate::support::{Kind, Place, Process, RawStream, Server, required, run};

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
fn a_name_is_resolved_anew_for_each_client() {
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
