//! A name with several addresses: one that stays silent does not hold up the others (RFC 8305).
//!
//! Silent is a listener whose backlog is full: the kernel drops what asks for a connection, and
//! would give up after two minutes, which is a hang here.

use std::fs;

use crate::support::{
    Done, Kind, Place, RawListener, RawStream, Server, have, in_own_mounts, required,
};

/// The name `two.test` with a silent address and one that is served by an echo.
struct Two {
    place: Place,
    _silent: RawListener,
    _waiting: RawStream,
    silent: String,
    server: Server,
    port: String,
}

/// Each pair that this machine has: of one family, and of both.
fn each_pair(body: impl Fn(&Two)) {
    for (kind, served) in [
        (Kind::Inet, "inet:127.0.0.2"),
        (Kind::Inet6, "inet:127.0.0.1"),
    ] {
        if !have(kind) {
            continue;
        }
        let place = Place::new(kind);
        let silent = RawListener::with_backlog(&place, 0);
        let waiting = RawStream::connect(silent.address());
        let port = silent.address().rsplit_once(':').unwrap().1.to_owned();
        let server = Server::at(&format!("{served}:{port}"), &[]);
        body(&Two {
            silent: silent.address().to_owned(),
            _silent: silent,
            _waiting: waiting,
            server,
            port,
            place,
        });
    }
}

impl Two {
    /// Runs a script where `two.test` has both addresses, the silent one first; `$1` is the word
    /// for both, and `$2` a socket file to listen on.
    fn run(&self, script: &str) -> Option<Done> {
        let host = |address: &str| {
            let (_, host_and_port) = address.split_once(':').unwrap();
            let (host, _) = host_and_port.rsplit_once(':').unwrap();
            host.trim_matches(['[', ']']).to_owned()
        };
        let (silent, served) = (host(&self.silent), host(self.server.address()));
        let hosts = self.place.path("hosts");
        fs::write(&hosts, format!("{silent} two.test\n{served} two.test\n")).unwrap();
        let (word, file) = (format!("two.test:{}", self.port), self.place.path("s.sock"));
        let arguments = [word.as_str(), file.to_str().unwrap()];
        let hosts = hosts.to_str().unwrap();
        let done = in_own_mounts(hosts, "/etc/hosts", script, &arguments, &[]);
        if done.is_none() {
            required("mount namespaces", false);
        }
        done
    }
}

#[test]
fn every_command_reaches_the_address_that_answers() {
    each_pair(|two| {
        for (script, printed) in [
            (r#""$SOK" call -v "$1" hi"#, "hi\n"),
            (r#"echo hi | "$SOK" connect -v "$1""#, "hi\n"),
            (r#""$SOK" wait -v "$1""#, ""),
            (
                r#""$SOK" relay -v "$2" "$1" & "$SOK" call --retry-for 60s "$2" hi
                code=$?; kill $!; wait; exit $code"#,
                "hi\n",
            ),
        ] {
            let Some(done) = two.run(script) else { return };
            assert_eq!(
                (done.code, done.text().as_str()),
                (0, printed),
                "{script}: {}",
                done.stderr
            );
            let expected = "first to accept, the others are closed";
            assert!(done.stderr.contains(expected), "{script}: {}", done.stderr);
        }
    });
}

#[test]
fn the_second_of_two_connections_is_closed_unused() {
    each_pair(|two| {
        let Some(done) = two.run(r#""$SOK" call --trace "$1" hi"#) else {
            return;
        };
        assert_eq!(done.code, 0, "{}", done.stderr);
        let calls: Vec<&str> = done
            .stderr
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1)?.split('(').next())
            .collect();
        let wanted = ["socket", "socket", "connect", "close", "send"];
        assert_eq!(&calls[..5], wanted, "{}", done.stderr);
        let closed = calls.iter().filter(|call| **call == "close").count();
        assert_eq!(closed, 2, "{}", done.stderr);
    });
}

#[test]
fn the_attempts_can_share_a_local_address() {
    each_pair(|two| {
        let own = Place::new(Kind::Inet).nobody();
        let bind = format!(r#""$SOK" call -v "$1" hi --bind {}"#, own.address);
        let Some(done) = two.run(&bind) else { return };
        assert_eq!(
            (done.code, done.text().as_str()),
            (0, "hi\n"),
            "{}",
            done.stderr
        );
    });
}

#[test]
fn check_tries_each_address_and_reports_which_accept() {
    each_pair(|two| {
        let Some(done) = two.run(r#""$SOK" check --timeout 2s "$1""#) else {
            return;
        };
        assert_eq!(done.code, 0, "{}", done.stderr);
        let row = |address: &str| {
            let found = done
                .text()
                .lines()
                .find(|line| line.starts_with(address))
                .map(|line| line.split_whitespace().nth(1).unwrap().to_owned());
            found.unwrap_or_else(|| panic!("no {address} in\n{}", done.text()))
        };
        assert_eq!(row(&two.silent), "no");
        assert_eq!(row(two.server.address()), "yes");
    });
}

#[test]
fn all_addresses_are_tried_within_the_time_limit_and_reported() {
    each_pair(|two| {
        two.server.terminate();
        assert_eq!(two.server.wait(), 0);
        let Some(done) = two.run(r#""$SOK" call --timeout 2s "$1" hi"#) else {
            return;
        };
        // Nobody is at the second one, and that says more than silence.
        assert_eq!(done.code, 3, "{}", done.stderr);
        for address in [&two.silent, two.server.address()] {
            assert!(done.stderr.contains(address), "{}", done.stderr);
        }
    });
}
