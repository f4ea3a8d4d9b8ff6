//! What a static program looks up by itself, as it cannot ask the C library: hosts in `/etc/hosts` and
//! by DNS, users and groups in files. The program is the one that `SOK_STATIC` names; the files and the
//! name servers are in separate namespaces.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Kind, Place, in_own_network_and_mounts, require_peer, required, run};

fn static_program() -> Option<PathBuf> {
    let program = std::env::var_os("SOK_STATIC").map(PathBuf::from);
    required("static", program.is_some());
    program
}

/// What a host has in its files, and which name servers run there.
#[derive(Default)]
struct Host<'a> {
    resolv_conf: &'a str,
    hosts: &'a str,
    passwd: &'a str,
    group: &'a str,
    /// `ADDRESS=MODE` of each name server, see `name_server.py`.
    servers: &'a [&'a str],
}

/// Mounts the files, starts the name servers, and runs the program once for each line of `LINES`.
const SCRIPT: &str = r#"
cd "$1" || exit 1; program=$2; lines=$3; shift 3
for name in resolv.conf hosts passwd group; do
  mount --bind "$name" "/etc/$name" || exit 99
done
ip link set lo up || exit 99
case "$*" in *%v0*)
  # Two interfaces, each with its own name server at the same link-local address.
  ip link add v0 type veth peer name v1 || exit 99
  for name in v0 v1; do ip link set $name up; ip addr add fe80::53/64 dev $name nodad; done;;
esac
mkfifo ready; python3 "$NAME_SERVER" "$@" > ready & server=$!
read -r line < ready; [ "$line" = ready ] || exit 1
printf '%s\n' "$lines" | while read -r line; do
  "$program" $line < /dev/null 2>&1
  echo "exit $?"
done
kill "$server"
"#;

impl Host<'_> {
    /// The output and the exit code of the program for each of `lines`, or nothing where a test cannot
    /// have such a host.
    fn run(&self, lines: &[&str]) -> Option<Vec<(String, i32)>> {
        let program = static_program()?;
        if !(require_peer("python3") && require_peer("ip")) {
            return None;
        }
        let place = Place::new(Kind::Unix);
        for (name, text) in [
            ("resolv.conf", self.resolv_conf),
            ("hosts", self.hosts),
            ("passwd", self.passwd),
            ("group", self.group),
        ] {
            place.file(name, text);
        }
        let folder = place.path("");
        let server = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/name_server.py");
        let script = format!("NAME_SERVER={server}\n{SCRIPT}");
        let lines_of_input = lines.join("\n");
        let mut arguments = vec![
            folder.to_str().unwrap(),
            program.to_str().unwrap(),
            &lines_of_input,
        ];
        arguments.extend(self.servers);
        let done = in_own_network_and_mounts(&script, &arguments);
        if !required("network namespaces", done.is_some()) {
            return None;
        }
        let done = done.unwrap();
        assert_eq!(done.code, 0, "{}", done.stderr);
        let text = done.text();
        let mut rest = text.as_str();
        let mut results = Vec::new();
        while let Some((said, more)) = rest.split_once("exit ") {
            let (code, more) = more.split_once('\n').unwrap();
            results.push((said.to_owned(), code.parse().unwrap()));
            rest = more;
        }
        assert_eq!(results.len(), lines.len(), "{text}");
        Some(results)
    }

    /// Checks what each word resolves to. No server listens, so the error of a call names the addresses;
    /// a name without addresses exits with 7.
    fn assert_finds(&self, names: &[(&str, &[&str])]) {
        let lines: Vec<String> = names
            .iter()
            .map(|(word, _)| format!("call {word} x --timeout 20s"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let Some(results) = self.run(&lines) else {
            return;
        };
        for ((word, addresses), (said, code)) in names.iter().zip(results) {
            let expected = if addresses.is_empty() { 7 } else { 3 };
            assert_eq!(code, expected, "{word}: {said}");
            for address in *addresses {
                assert!(said.contains(&format!("{address}:9")), "{word}: {said}");
            }
            let count = said.matches(":9: ").count();
            assert!(count <= addresses.len() + 1, "{word}: {said}");
        }
    }
}

const ANSWERS: &str = "127.0.0.53=answers";
const ASKS_ONE: &str = "nameserver 127.0.0.53\n";

#[test]
fn a_static_program_finds_hosts_by_dns() {
    let host = Host {
        resolv_conf: ASKS_ONE,
        servers: &[ANSWERS],
        ..Host::default()
    };
    host.assert_finds(&[
        ("one.test:9", &["inet:127.0.0.5"]),
        ("One.Test.:9", &["inet:127.0.0.5"]),
        ("six.test:9", &["inet6:[::1]"]),
        ("both.test:9", &["inet6:[::1]", "inet:127.0.0.5"]),
        ("tcp6:both.test:9", &["inet6:[::1]"]),
        ("tcp4:both.test:9", &["inet:127.0.0.5"]),
        ("alias.test:9", &["inet:127.0.0.5"]),
        ("localhost:9", &["inet6:[::1]", "inet:127.0.0.1"]),
        ("tcp4:six.test:9", &[]),
        ("none.test:9", &[]),
        ("absent.test:9", &[]),
        ("no..such.name:9", &[]),
    ]);
}

#[test]
fn a_static_program_asks_again_over_tcp_for_a_long_answer() {
    let host = Host {
        resolv_conf: ASKS_ONE,
        servers: &[ANSWERS],
        ..Host::default()
    };
    let Some(results) = host.run(&["call many.test:9 x --timeout 20s"]) else {
        return;
    };
    let (said, code) = &results[0];
    assert_eq!(*code, 3, "{said}");
    for number in [1, 50, 100] {
        assert!(said.contains(&format!("inet:127.0.1.{number}:9")), "{said}");
    }
}

#[test]
fn a_static_program_takes_the_hosts_file_before_dns() {
    // A name server that was asked would be waited for: the time limit would run out.
    let host = Host {
        resolv_conf: ASKS_ONE,
        hosts: "127.0.0.8 one.test other # both.test\n127.0.0.9 here\n::1 here\n",
        servers: &["127.0.0.53=silent"],
        ..Host::default()
    };
    host.assert_finds(&[
        ("one.test:9", &["inet:127.0.0.8"]),
        ("OTHER:9", &["inet:127.0.0.8"]),
        ("here:9", &["inet6:[::1]", "inet:127.0.0.9"]),
        ("tcp6:one.test:9", &[]),
    ]);
}

#[test]
fn a_static_program_finds_the_name_server_that_answers() {
    let one: &[(&str, &[&str])] = &[("one.test:9", &["inet:127.0.0.5"])];
    let three = "nameserver 127.0.0.51\nnameserver 127.0.0.52\nnameserver 127.0.0.53\n";
    for first in ["silent", "refuses"] {
        for second in ["silent", "refuses"] {
            let first = format!("127.0.0.51={first}");
            let second = format!("127.0.0.52={second}");
            let host = Host {
                resolv_conf: three,
                servers: &[&first, &second, ANSWERS],
                ..Host::default()
            };
            host.assert_finds(one);
        }
    }
    // Nothing has the port.
    let host = Host {
        resolv_conf: three,
        servers: &[ANSWERS],
        ..Host::default()
    };
    host.assert_finds(one);
    let host = Host {
        resolv_conf: "nameserver ::1\n",
        servers: &["::1=answers"],
        ..Host::default()
    };
    host.assert_finds(one);
    // Without a file, or an entry in it, the name server is on this host.
    let host = Host {
        servers: &["127.0.0.1=answers"],
        ..Host::default()
    };
    host.assert_finds(one);
}

#[test]
fn a_static_program_searches_the_domains() {
    let host = Host {
        resolv_conf: "nameserver 127.0.0.53\nsearch outer.test inner.test\n",
        servers: &[ANSWERS],
        ..Host::default()
    };
    host.assert_finds(&[
        ("short:9", &["inet:127.0.0.6"]),
        ("one.test:9", &["inet:127.0.0.5"]),
        ("short.:9", &[]),
        ("long:9", &[]),
    ]);
}

#[test]
fn a_static_program_searches_the_domains_with_each_name_server() {
    let resolv_conf = "nameserver 127.0.0.51\nnameserver 127.0.0.52\nnameserver 127.0.0.53\n\
                       search outer.test inner.test\noptions rotate\n";
    for others in [
        ["127.0.0.51=silent", "127.0.0.52=refuses"],
        ["127.0.0.51=refuses", "127.0.0.52=silent"],
    ] {
        let host = Host {
            resolv_conf,
            servers: &[others[0], others[1], ANSWERS],
            ..Host::default()
        };
        host.assert_finds(&[
            ("short:9", &["inet:127.0.0.6"]),
            ("one.test:9", &["inet:127.0.0.5"]),
        ]);
    }
}

#[test]
fn a_static_program_searches_the_domains_first_for_names_with_fewer_dots_than_ndots() {
    let asks = |options: &str, addresses: [&[&str]; 3]| {
        let resolv_conf = format!("{ASKS_ONE}search outer.test inner.test\noptions {options}\n");
        let host = Host {
            resolv_conf: &resolv_conf,
            servers: &[ANSWERS],
            ..Host::default()
        };
        let words = ["one.test:9", "short:9", "two.dots.test:9"];
        let names: Vec<_> = words.into_iter().zip(addresses).collect();
        host.assert_finds(&names);
    };
    // There is also one.test.inner.test. A name that is not found as it is, is searched.
    let (own, inner, short): (&[&str], &[&str], &[&str]) = (
        &["inet:127.0.0.5"],
        &["inet:127.0.0.7"],
        &["inet:127.0.0.6"],
    );
    let dots: &[&str] = &["inet:127.0.0.8"];
    asks("ndots:0", [own, short, dots]);
    asks("ndots:1", [own, short, dots]);
    asks("no-aaaa ndots:2 trust-ad", [inner, short, dots]);
    asks("ndots:15", [inner, short, dots]);
}

#[test]
fn a_static_program_asks_again_if_a_query_is_lost() {
    let host = Host {
        resolv_conf: ASKS_ONE,
        servers: &["127.0.0.53=loses"],
        ..Host::default()
    };
    host.assert_finds(&[("one.test:9", &["inet:127.0.0.5"])]);
}

#[test]
fn a_static_program_gives_up_after_as_many_attempts_as_the_file_says() {
    // Of one attempt it sees the end, and of two the time limit. The queries cannot be counted, as the resolver
    // sends a lost one again within an attempt.
    for (attempts, code) in [(1, 7), (2, 124)] {
        let resolv_conf = format!("{ASKS_ONE}options timeout:4 attempts:{attempts}\n");
        let host = Host {
            resolv_conf: &resolv_conf,
            servers: &["127.0.0.53=silent"],
            ..Host::default()
        };
        let Some(results) = host.run(&["call one.test:9 x --timeout 7900ms"]) else {
            return;
        };
        assert_eq!(results[0].1, code, "{attempts}: {}", results[0].0);
    }
}

#[test]
fn a_static_program_asks_the_name_server_on_the_interface_that_the_file_names() {
    for interface in ["v0", "v1"] {
        for (modes, addresses) in [
            (["answers", "refuses"], [&["inet:127.0.0.5"][..], &[]]),
            (["refuses", "answers"], [&[], &["inet:127.0.0.5"][..]]),
        ] {
            let resolv_conf = format!("nameserver fe80::53%{interface}\n");
            let servers = [
                format!("fe80::53%v0={}", modes[0]),
                format!("fe80::53%v1={}", modes[1]),
            ];
            let host = Host {
                resolv_conf: &resolv_conf,
                servers: &[&servers[0], &servers[1]],
                ..Host::default()
            };
            let expected = addresses[usize::from(interface == "v1")];
            host.assert_finds(&[("one.test:9", expected)]);
        }
    }
}

#[test]
fn a_line_that_is_not_valid_makes_no_other_line_void() {
    let host = Host {
        resolv_conf: "search outer..test\nnameserver 127.0.0.53\noptions timeout:0\n",
        servers: &[ANSWERS],
        ..Host::default()
    };
    host.assert_finds(&[("one.test:9", &["inet:127.0.0.5"])]);
    // Without a name server, that of this host is asked, in the domains all the same.
    let host = Host {
        resolv_conf: "search inner.test\n",
        servers: &["127.0.0.1=answers"],
        ..Host::default()
    };
    host.assert_finds(&[("short:9", &["inet:127.0.0.6"])]);
}

#[test]
fn a_static_program_reports_name_servers_that_do_not_answer() {
    let host = Host {
        resolv_conf: "nameserver 127.0.0.53\noptions timeout:1 attempts:1\n",
        servers: &["127.0.0.53=silent", "127.0.0.54=refuses"],
        ..Host::default()
    };
    let Some(results) = host.run(&["call one.test:9 x", "call one.test:9 x --timeout 10ms"]) else {
        return;
    };
    let (said, code) = &results[0];
    assert_eq!(*code, 7, "{said}");
    let expected = "sok: resolve tcp:one.test:9: no name server answered; check the name";
    assert!(said.starts_with(expected), "{said}");
    let (said, code) = &results[1];
    assert_eq!(*code, 124, "{said}");
    let host = Host {
        resolv_conf: "nameserver 127.0.0.54\n",
        ..host
    };
    let Some(results) = host.run(&["call one.test:9 x"]) else {
        return;
    };
    let (said, code) = &results[0];
    assert_eq!(*code, 7, "{said}");
    assert!(said.contains("one.test:9: the name server"), "{said}");
}

#[test]
fn a_static_program_finds_users_and_groups() {
    let host = Host {
        passwd: "root:x:0:0:root:/root:/bin/sh\nzoe:x:4321:1::/:/bin/sh\n",
        group: "root:x:0:\ncrew:x:5432:zoe\n",
        ..Host::default()
    };
    // The rules are read in turn, and the first that is wrong is the error.
    let lines = [
        "serve @x --allow uid:zoe --allow gid:crew --allow uid:crew",
        "serve @x --allow gid:zoe",
        "serve ./s.sock --owner zoe:crew:",
    ];
    let Some(results) = host.run(&lines) else {
        return;
    };
    for ((said, code), cause) in results.iter().zip([
        "rule uid:crew: no such user: \"crew\"",
        "rule gid:zoe: no such group: \"zoe\"",
        "owner zoe:crew:: no such group: \"crew:\"",
    ]) {
        assert!(said.contains(cause), "{said}");
        assert_eq!(*code, 2, "{said}");
    }
}

#[test]
fn a_static_program_needs_no_file_of_the_c_library() {
    let Some(program) = static_program() else {
        return;
    };
    let bytes = std::fs::read(&program).unwrap();
    // The modules that the library would load, and their configuration.
    for name in ["/etc/nsswitch.conf", "libnss_"] {
        let found = bytes
            .windows(name.len())
            .any(|part| part == name.as_bytes());
        assert!(!found, "{name}");
    }
    if !require_peer("readelf") {
        return;
    }
    let read = Command::new("readelf").arg("-dl").arg(program).output();
    let read = String::from_utf8(read.unwrap().stdout).unwrap();
    for word in ["NEEDED", "INTERP"] {
        assert!(!read.contains(word), "{read}");
    }
}

#[test]
fn a_static_program_calls_on_every_family() {
    let Some(program) = static_program() else {
        return;
    };
    for kind in [Kind::Unix, Kind::Inet, Kind::Inet6] {
        run(kind, |place| {
            let server = crate::support::Server::start(place, &[]);
            let mut call = Command::new(&program);
            let done = call.args(["call", server.address(), "hello"]).output();
            assert_eq!(done.unwrap().stdout, b"hello\n");
        });
    }
}
