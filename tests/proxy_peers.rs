//! PROXY headers with the programs that people put in front of servers, and behind them.

use std::process::Command;

use crate::support::{
    Kind, Place, Process, RawListener, RawStream, Server, have, require_peer, required, sok,
};

/// A server that says to each client who it is, and where it connected to.
fn who_am_i(place: &Place) -> Server {
    let script = r#"echo "$SOK_PEER $SOK_LOCAL"; cat"#;
    Server::start(
        place,
        &["--accept-proxy", "-v", "--exec", "sh", "-c", script],
    )
}

/// An address as HAProxy and nginx write it in front of a name: HAProxy with `unix` = `unix@`.
fn written(address: &str, unix: &str) -> String {
    match address.split_once(':').unwrap() {
        ("unix", path) => format!("{unix}{path}"),
        (_, host) => host.to_owned(),
    }
}

/// The addresses where a program may listen, one of each family that it has in common with this host:
/// they stay free as long as their places live.
fn fronts() -> Vec<(Place, String, impl Sized)> {
    let kinds = [Kind::Inet, Kind::Inet6, Kind::Unix];
    let there = kinds.into_iter().filter(|kind| have(*kind));
    let each = there.map(|kind| {
        let place = Place::new(kind);
        let nobody = place.nobody();
        (place, nobody.address.clone(), nobody)
    });
    each.collect()
}

/// Waits until a program listens.
fn await_listener(process: &Process, address: &str) {
    let waited = sok(&["wait", address, "--timeout", "50s"]);
    assert_eq!(waited.code, 0, "{}\n{}", waited.stderr, process.said());
}

fn haproxy(place: &Place, sections: &str) -> Process {
    let defaults =
        "defaults\n mode tcp\n timeout connect 60s\n timeout client 60s\n timeout server 60s\n";
    let file = place.file("haproxy.cfg", format!("{defaults}{sections}"));
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(file);
    Process::spawn(command)
}

/// The address of a connected client, as its server sees it.
fn own_address(client: &RawStream) -> String {
    match client.socket().local_addr().unwrap().as_socket() {
        Some(name) if name.is_ipv4() => format!("inet:{name}"),
        Some(name) => format!("inet6:{name}"),
        None => "unix:".to_owned(),
    }
}

// HAProxy has other abstract names than sok: they fill the address.
families!(haproxy_tells_who_its_client_is, |place| {
    if place.kind() != Kind::Abstract && require_peer("haproxy") {
        let server = who_am_i(place);
        let to = written(server.address(), "unix@");
        for version in [
            "send-proxy",
            "send-proxy-v2",
            "send-proxy-v2 proxy-v2-options crc32c,unique-id",
        ] {
            for (front, address, _keep) in fronts() {
                let bind = written(&address, "unix@");
                let listen = format!("listen all\n bind {bind}\n server one {to} {version}\n");
                let haproxy = haproxy(&front, &listen);
                await_listener(&haproxy, &address);
                let mut client = RawStream::connect(&address);
                let said = client.line();
                let expected = format!("{} {address}\n", own_address(&client));
                match front.is_network() {
                    true => assert_eq!(said, expected, "{version}"),
                    // It names nobody, so that its own address counts.
                    false => assert!(said.starts_with(&format!("{}:", place.prefix())), "{said}"),
                }
                client.send(b"hello");
                assert_eq!(client.take(5), b"hello");
            }
        }
    }
});

families!(haproxy_learns_who_the_client_of_a_relay_is, |place| {
    if require_peer("haproxy") {
        for (front, address, _keep) in fronts() {
            let back = Place::new(Kind::Unix);
            let target = RawListener::bind(&back);
            let (bind, to) = (
                written(&address, "unix@"),
                written(target.address(), "unix@"),
            );
            let listen =
                format!("listen all\n bind {bind} accept-proxy\n server one {to} send-proxy\n");
            let haproxy = haproxy(&front, &listen);
            await_listener(&haproxy, &address);
            for version in ["v1", "v2"] {
                // HAProxy takes no client of AF_UNIX in version 2.
                if version == "v2" && !place.is_network() {
                    continue;
                }
                let word = place.word();
                let relay = Process::sok(&["relay", &word, &address, "--send-proxy", version]);
                let relay = Server::of(relay);
                let mut client = RawStream::connect(relay.address());
                client.send(b"hello");
                let mut server = target.accept();
                let line = server.line();
                if place.is_network() {
                    let name = |address: &str| {
                        let (_, name) = address.split_once(':').unwrap();
                        let (host, port) = name.rsplit_once(':').unwrap();
                        (host.trim_matches(['[', ']']).to_owned(), port.to_owned())
                    };
                    let protocol = if place.kind() == Kind::Inet {
                        "TCP4"
                    } else {
                        "TCP6"
                    };
                    let ((from, port), (to, to_port)) =
                        (name(&own_address(&client)), name(relay.address()));
                    assert_eq!(
                        line,
                        format!("PROXY {protocol} {from} {to} {port} {to_port}\r\n")
                    );
                } else {
                    assert!(line.starts_with("PROXY "), "{line}");
                }
                assert_eq!(server.take(5), b"hello");
                server.send(b"world");
                assert_eq!(client.take(5), b"world");
            }
        }
    }
});

const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

fn nginx(place: &Place, servers: &str) -> Option<Process> {
    let there = std::path::Path::new(STREAM_MODULE).exists();
    if !require_peer("nginx") || !required("libnginx-mod-stream", there) {
        return None;
    }
    let directory = place.directory().display();
    let file = place.file(
        "nginx.conf",
        format!(
            "load_module {STREAM_MODULE}; daemon off; master_process off; pid {directory}/pid;\n\
             error_log stderr; events {{}} stream {{ {servers} }}"
        ),
    );
    let mut command = Command::new("nginx");
    command
        .args(["-e", "stderr", "-p"])
        .arg(place.directory())
        .arg("-c")
        .arg(file);
    Some(Process::spawn(command))
}

families!(nginx_tells_who_its_client_is, |place| {
    // nginx has no abstract names.
    if place.kind() != Kind::Abstract {
        let server = who_am_i(place);
        let to = written(server.address(), "unix:");
        for (front, address, _keep) in fronts() {
            let listen = written(&address, "unix:");
            let one = format!("server {{ listen {listen}; proxy_protocol on; proxy_pass {to}; }}");
            let Some(nginx) = nginx(&front, &one) else {
                return;
            };
            await_listener(&nginx, &address);
            let mut client = RawStream::connect(&address);
            let said = client.line();
            match front.is_network() {
                true => assert_eq!(said, format!("{} {address}\n", own_address(&client))),
                false => assert!(said.starts_with(&format!("{}:", place.prefix())), "{said}"),
            }
        }
    }
});

families!(nginx_learns_who_its_client_is, |place| {
    if place.kind() == Kind::Abstract {
        return;
    }
    let nobody = place.nobody();
    let listen = written(&nobody.address, "unix:");
    let one = format!(
        "server {{ listen {listen} proxy_protocol; return \"$proxy_protocol_addr $proxy_protocol_port\\n\"; }}"
    );
    let Some(nginx) = nginx(place, &one) else {
        return;
    };
    await_listener(&nginx, &nobody.address);
    for version in ["v1", "v2"] {
        for kind in [Kind::Inet, Kind::Inet6, Kind::Unix] {
            // nginx takes no client of AF_UNIX in version 2.
            if !have(kind) || (version == "v2" && kind == Kind::Unix) {
                continue;
            }
            let front = Place::new(kind);
            let word = front.word();
            let relay = Process::sok(&["relay", &word, &nobody.address, "--send-proxy", version]);
            let relay = Server::of(relay);
            let mut client = RawStream::connect(relay.address());
            let expected = match client.socket().local_addr().unwrap().as_socket() {
                Some(name) => format!("{} {}\n", name.ip(), name.port()),
                None => " \n".to_owned(),
            };
            assert_eq!(client.line(), expected, "{version} {}", nginx.said());
        }
    }
});

// curl speaks for itself: the address in its header is its own, and on AF_UNIX it names nobody.
families!(curl_tells_who_it_is, |place| {
    if require_peer("curl") {
        let script = r#"printf 'HTTP/1.0 200 OK\r\n\r\n%s' "$SOK_PEER""#;
        let server = Server::start(
            place,
            &["--accept-proxy", "-v", "--exec", "sh", "-c", script],
        );
        let port = || server.address().rsplit_once(':').unwrap().1;
        let (_, name) = server.address().split_once(':').unwrap();
        let (url, way): (String, Vec<&str>) = match place.kind() {
            Kind::Inet => (format!("http://127.0.0.1:{}", port()), vec![]),
            Kind::Inet6 => (format!("http://[::1]:{}", port()), vec![]),
            Kind::Unix => ("http://web".to_owned(), vec!["--unix-socket", name]),
            Kind::Abstract => (
                "http://web".to_owned(),
                vec!["--abstract-unix-socket", &name[1..]],
            ),
        };
        let run = |more: &[&str]| {
            let mut command = Command::new("curl");
            command
                .args(["--silent", "--show-error", "--noproxy", "*"])
                .args(&way)
                .args(more)
                .arg(&url);
            let done = Process::spawn(command).done();
            assert_eq!(done.code, 0, "{}", done.stderr);
            done.text()
        };
        let said = run(&["--haproxy-protocol"]);
        let report = server.stderr().wait_for("connected connection=1");
        assert_eq!(report.contains(" proxy="), place.is_network(), "{report}");
        assert!(report.contains(&format!("peer={said}")), "{said}: {report}");
        let help = Command::new("curl")
            .args(["--help", "all"])
            .output()
            .unwrap()
            .stdout;
        let has_it = String::from_utf8_lossy(&help).contains("--haproxy-clientip");
        if place.is_network() && required("curl --haproxy-clientip", has_it) {
            let said = run(&["--haproxy-clientip", "192.0.2.7"]);
            assert!(said.starts_with("inet:192.0.2.7:"), "{said}");
        }
    }
});
