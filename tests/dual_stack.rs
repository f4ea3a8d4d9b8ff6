//! Listening on more than one address: every address of this machine, or of a name.

use std::io::ErrorKind;
use std::net::IpAddr;

use crate::support::{Kind, Process, RawStream, Server, assert_echoes, have, resolved, run, sok};

#[test]
fn an_empty_host_listens_on_both_network_families_and_reports_it() {
    run(Kind::Inet6, |_| {
        let server = Server::at(":0", &["-v"]);
        let port = server.port();
        let said = server.stderr().text();
        let want = format!("listening on inet6:[::]:{port} (dual-stack: also inet)\n");
        assert_eq!(said, want);
        assert_echoes(&format!("inet:127.0.0.1:{port}"));
        assert_echoes(&format!("inet6:[::1]:{port}"));
    });
}

#[test]
fn an_ipv4_client_of_a_dual_stack_server_has_an_ipv4_address() {
    run(Kind::Inet6, |_| {
        let server = Server::at(":0", &["--exec", "env"]);
        let mut client = RawStream::connect(&format!("inet:127.0.0.1:{}", server.port()));
        let received = String::from_utf8(client.rest()).unwrap();
        for line in ["TCPREMOTEIP=127.0.0.1", "TCPLOCALIP=127.0.0.1", "PROTO=TCP"] {
            assert!(
                received.lines().any(|received| received == line),
                "{line} in {received}"
            );
        }
    });
}

#[test]
fn with_v6only_an_ipv4_client_is_refused() {
    run(Kind::Inet6, |_| {
        for word in ["inet6:[::]:0", ":0"] {
            let server = Server::at(word, &["--v6only"]);
            let port = server.port();
            assert_eq!(
                server.stderr().text(),
                format!("listening on inet6:[::]:{port}\n")
            );
            assert_echoes(&format!("inet6:[::1]:{port}"));
            let refused = RawStream::try_connect(&format!("inet:127.0.0.1:{port}"));
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }
    });
}

#[test]
fn every_ipv4_address_is_not_dual_stack() {
    run(Kind::Inet, |_| {
        let server = Server::at("inet:0.0.0.0:0", &[]);
        let port = server.port();
        assert_eq!(
            server.stderr().text(),
            format!("listening on inet:0.0.0.0:{port}\n")
        );
        assert_echoes(&format!("inet:127.0.0.1:{port}"));
        let refused = RawStream::try_connect(&format!("inet6:[::1]:{port}"));
        assert!(refused.is_err());
    });
}

#[test]
fn a_name_is_listened_on_at_all_its_addresses_with_one_port() {
    let server = Server::at("localhost:0", &["--exit-after", "100"]);
    let port = server.port();
    let addresses = resolved("localhost");
    server
        .stderr()
        .wait_for_count("listening on ", addresses.len());
    for ip in &addresses {
        let address = match ip {
            IpAddr::V4(v4) => format!("inet:{v4}:{port}"),
            IpAddr::V6(v6) => format!("inet6:[{v6}]:{port}"),
        };
        assert!(
            server
                .stderr()
                .text()
                .contains(&format!("listening on {address}\n"))
        );
        assert_echoes(&address);
    }
    assert_eq!(
        sok(&["call", &format!("localhost:{port}"), "hello"]).text(),
        "hello\n"
    );
    server.terminate();
    assert_eq!(server.wait(), 0);
    assert_eq!(
        server.said().matches("listening on ").count(),
        addresses.len()
    );
}

#[test]
fn a_server_on_a_name_with_a_family_listens_only_in_that_family() {
    run(Kind::Inet, |_| {
        let server = Server::at("tcp4:localhost:0", &[]);
        let port = server.port();
        assert_eq!(server.address(), format!("inet:127.0.0.1:{port}"));
        assert_echoes(server.address());
    });
}

families!(the_address_may_be_given_in_parts, |place| {
    let word = place.word();
    let rest = word.split_once(':').unwrap().1;
    let (family, arguments) = match place.kind() {
        Kind::Inet => ("inet", vec!["--host", "127.0.0.1", "--port", "0"]),
        Kind::Inet6 => ("inet6", vec!["--host", "::1", "--port", "0"]),
        Kind::Unix | Kind::Abstract => ("unix", vec!["--path", rest]),
    };
    let all = [&["serve", "--family", family], &arguments[..]].concat();
    let server = Server::of(Process::sok(&all));
    assert_echoes(server.address());
    if !place.is_network() {
        assert_eq!(server.address(), word);
    }
});

#[test]
fn a_port_in_use_is_exit_5_with_the_address_and_a_hint() {
    run(Kind::Inet6, |_| {
        let server = Server::at(":0", &[]);
        let port = server.port();
        for word in [format!(":{port}"), format!("inet:127.0.0.1:{port}")] {
            let done = sok(&["serve", &word]);
            assert_eq!(done.code, 5, "{word}: {}", done.stderr);
            assert!(
                done.stderr.contains(&format!(":{port}: ")),
                "{}",
                done.stderr
            );
            assert!(done.stderr.contains("; "), "{}", done.stderr);
        }
    });
}

#[test]
fn an_address_that_this_machine_lacks_is_reported() {
    // 192.0.2.0/24 and 2001:db8::/32 are reserved for documentation.
    for (kind, address) in [
        (Kind::Inet, "inet:192.0.2.1:0"),
        (Kind::Inet6, "inet6:[2001:db8::1]:0"),
    ] {
        if have(kind) {
            let done = sok(&["serve", address]);
            assert_eq!(done.code, 1, "{}", done.stderr);
            assert!(done.stderr.contains(address), "{}", done.stderr);
            assert!(
                done.stderr.contains("no interface of this machine"),
                "{}",
                done.stderr
            );
        }
    }
}
