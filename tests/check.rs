//! `sok check`: what this host's families really do.

use std::process::Command;

use serde_json::Value;

use crate::private_directory::without_proc;
use crate::support::{
    Done, Kind, Place, Process, RawMessageListener, RawMessages, Server, have, in_own_network,
    is_root, require_peer, resolved, run, sok, sok_without_rights,
};

/// The steps of a connection, each of which needs the one before it.
const STEPS: [&str; 6] = [
    "create",
    "bind",
    "listen",
    "connect",
    "exchange",
    "half-close",
];

/// What comes after them in every column, and which kinds have it.
const MORE: [(&str, &[Kind]); 12] = [
    (
        "restart",
        &[Kind::Inet, Kind::Inet6, Kind::Unix, Kind::Abstract],
    ),
    ("port 0", &[Kind::Inet, Kind::Inet6, Kind::Abstract]),
    ("loopback", &[Kind::Inet, Kind::Inet6]),
    ("localhost", &[Kind::Inet, Kind::Inet6]),
    ("v6only on", &[Kind::Inet6]),
    ("v6only off", &[Kind::Inet6]),
    ("IPv4-mapped", &[Kind::Inet6]),
    ("link-local", &[Kind::Inet6]),
    ("peer credentials", &[Kind::Unix, Kind::Abstract]),
    ("longest name", &[Kind::Unix, Kind::Abstract]),
    ("mode enforced", &[Kind::Unix]),
    ("descriptor passing", &[Kind::Unix, Kind::Abstract]),
];

/// The tests of each type that keeps messages apart; the first has the name of the type.
const OF_MESSAGES: [&str; 5] = [
    "",
    " boundaries kept",
    " largest message",
    " empty message",
    " full receiver",
];

const fn form(kind: Kind) -> &'static str {
    match kind {
        Kind::Inet => "inet",
        Kind::Inet6 => "inet6",
        Kind::Unix => "unix path",
        Kind::Abstract => "unix abstract",
    }
}

fn json(done: &Done) -> Value {
    serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", done.text(), done.stderr))
}

/// The column of a kind in a report.
fn column(report: &Value, kind: Kind) -> Value {
    let columns = report["columns"].as_array().unwrap().iter();
    let found: Vec<&Value> = columns.filter(|one| one["form"] == form(kind)).collect();
    assert_eq!(found.len(), 1, "{report}");
    found[0].clone()
}

fn cell(column: &Value, name: &str) -> Value {
    let cells = column["cells"].as_array().unwrap().iter();
    let found: Vec<&Value> = cells.filter(|cell| cell["name"] == name).collect();
    assert_eq!(found.len(), 1, "{name} in {column}");
    found[0].clone()
}

fn assert_works(cell: &Value) {
    assert_eq!(cell["outcome"], "works", "{cell}");
    assert!(cell["reason"].is_null() && cell["hint"].is_null(), "{cell}");
}

/// Asserts that a cell fails with `reason` and `hint`.
fn assert_fails(cell: &Value, reason: &str, hint: &str) {
    assert_eq!(cell["outcome"], "fails", "{cell}");
    assert!(cell["reason"].as_str().unwrap().contains(reason), "{cell}");
    assert!(cell["hint"].as_str().unwrap().contains(hint), "{cell}");
    assert!(cell["found"].is_null(), "{cell}");
}

fn assert_untried(cell: &Value, reason: &str) {
    assert_eq!(cell["outcome"], "untried", "{cell}");
    assert!(cell["reason"].as_str().unwrap().contains(reason), "{cell}");
}

families!(each_family_of_this_host_works_cell_by_cell, |place| {
    let done = sok(&["check", "--json", "--family", place.family()]);
    assert_eq!(
        (done.code, done.stderr.as_str()),
        (0, ""),
        "{}",
        done.text()
    );
    let report = json(&done);
    assert_eq!(report["works"], true);
    let column = column(&report, place.kind());
    assert_eq!(column["works"], true);
    assert_eq!(column["family"], place.family());
    for step in STEPS {
        assert_works(&cell(&column, step));
    }
    for (name, kinds) in MORE {
        let cell = cell(&column, name);
        if !kinds.contains(&place.kind()) {
            assert_eq!(cell["outcome"], "absent", "{cell}");
            assert!(!cell["reason"].as_str().unwrap().is_empty(), "{cell}");
        } else if cell["outcome"] == "untried" {
            // What a host may be without, with why.
            assert!(
                ["localhost", "link-local", "mode enforced"].contains(&name),
                "{cell}"
            );
            assert!(!cell["reason"].as_str().unwrap().is_empty(), "{cell}");
        } else {
            assert_works(&cell);
        }
    }
    for socket_type in ["seqpacket", "datagram"] {
        let has_it = socket_type == "datagram" || !place.is_network();
        for test in OF_MESSAGES {
            let cell = cell(&column, &format!("{socket_type}{test}"));
            if has_it {
                assert_works(&cell);
            } else {
                assert_eq!(cell["outcome"], "absent", "{cell}");
                let reason = cell["reason"].as_str().unwrap();
                assert!(reason.contains("has no seqpacket sockets"), "{cell}");
            }
        }
    }
    let cells = column["cells"].as_array().unwrap();
    let all = STEPS.len() + MORE.len() + 2 * OF_MESSAGES.len();
    assert_eq!(cells.len(), all);
});

messages!(
    what_messages_a_socket_takes_is_as_a_raw_peer_finds,
    |place| {
        let done = sok(&["check", "--json", "--family", place.family()]);
        let column = column(&json(&done), place.kind());
        let found = |test: &str| {
            let name = format!("{} {test}", place.socket_type());
            let cell = cell(&column, &name);
            cell["found"].as_str().expect("a value").to_owned()
        };
        let largest = found("largest message");
        let largest: usize = largest.strip_suffix(" bytes").unwrap().parse().unwrap();
        let listener = RawMessageListener::bind(place);
        let sender = RawMessages::connect(listener.address());
        sender.send(&vec![0; largest]);
        let refused = sender.try_send(&vec![0; largest + 1]).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(nix::libc::EMSGSIZE));

        let full = found("full receiver");
        let what = if place.is_network() { "drops" } else { "waits" };
        let fit = full.strip_prefix(&format!("{what} after "));
        let fit = fit.and_then(|rest| rest.strip_suffix(" messages of 1 byte"));
        let fit: usize = fit.expect(&full).parse().unwrap();
        let listener = RawMessageListener::bind(place);
        let sender = RawMessages::connect(listener.address());
        let receiver = listener.socket().try_clone().unwrap();
        sender.socket().set_nonblocking(true).unwrap();
        let taken = (0..).take_while(|sent| *sent < 4 * fit && sender.try_send(b"x").is_ok());
        let taken = taken.count();
        let arrived = match place.has_connection() {
            // Nothing is lost on a connection.
            true => taken,
            false => {
                receiver.set_nonblocking(true).unwrap();
                let receive = || receiver.recv(&mut [std::mem::MaybeUninit::uninit(); 8]);
                std::iter::repeat_with(receive)
                    .take_while(Result::is_ok)
                    .count()
            }
        };
        assert_eq!((arrived, taken == arrived), (fit, !place.is_network()));
    }
);

#[test]
fn a_cell_shows_what_was_found() {
    let found = |kind: Kind, name: &str| {
        let done = sok(&["check", "--json", "--family", Place::new(kind).family()]);
        let cell = cell(&column(&json(&done), kind), name);
        cell["found"].as_str().unwrap_or_default().to_owned()
    };
    if have(Kind::Inet) {
        let port = found(Kind::Inet, "port 0");
        let port = port.strip_prefix("inet:127.0.0.1:").expect("a port");
        assert!(port.parse::<u16>().unwrap() > 0);
        let names: Vec<String> = resolved("localhost")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found(Kind::Inet, "localhost"), names.join(", "));
    }
    let chosen = found(Kind::Abstract, "port 0");
    assert!(chosen.starts_with("unix:@"), "{chosen}");
    let longest = found(Kind::Abstract, "longest name");
    assert_eq!(longest, "107 bytes");
    let longest = found(Kind::Unix, "longest name");
    assert!(longest.starts_with("107 bytes, "), "{longest}");
    assert!(longest.ends_with(" through its directory"), "{longest}");
}

#[test]
fn the_mode_of_a_socket_file_is_tested_as_an_unprivileged_user() {
    let place = Place::new(Kind::Unix);
    let arguments = ["check", "--json", "--family", "unix"];
    let mode = |done: &Done| cell(&column(&json(done), Kind::Unix), "mode enforced");
    let own = mode(&sok_without_rights(&place, &arguments));
    assert_works(&own);
    assert_eq!(own["found"], "for this process");
    if !is_root() {
        crate::support::required("root", false);
        return;
    }
    let other = mode(&sok(&arguments));
    if other["outcome"] == "untried" {
        crate::support::required("another user", false);
        return;
    }
    assert_works(&other);
    assert_eq!(other["found"], "for uid 65534");
}

#[test]
fn a_link_local_address_is_tested_if_there_is_one() {
    if !(have(Kind::Inet6) && require_peer("ip")) {
        return;
    }
    let script = "ip link set lo up && ip addr add fe80::5/64 dev lo nodad || exit 99
        exec \"$SOK\" check --json --family inet6";
    let Some(done) = in_own_network(script) else {
        crate::support::required("network namespaces", false);
        return;
    };
    let cell = cell(&column(&json(&done), Kind::Inet6), "link-local");
    assert_works(&cell);
    assert_eq!(cell["found"], "fe80::5%lo");
}

#[test]
fn only_the_given_families_are_checked() {
    let forms = |arguments: &[&str]| -> Vec<String> {
        let all = [&["check", "--json"], arguments].concat();
        let report = json(&sok(&all));
        let columns = report["columns"].as_array().unwrap().iter();
        columns
            .map(|one| one["form"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(forms(&[]), ["inet", "inet6", "unix path", "unix abstract"]);
    assert_eq!(forms(&["--family", "unix"]), ["unix path", "unix abstract"]);
    let two = ["--family", "tcp6", "--family", "inet"];
    assert_eq!(forms(&two), ["inet", "inet6"]);
    for wrong in [
        &["--family", "ipx"][..],
        &["--family", "unix", "localhost:80"],
    ] {
        let done = sok(&[&["check"], wrong].concat());
        assert_eq!(done.code, 2, "{}", done.stderr);
    }
}

#[test]
fn the_table_has_an_aligned_column_for_each_kind_of_address() {
    run(Kind::Inet6, |_| {
        let done = sok(&["check", "--family", "inet6", "--family", "unix"]);
        let text = done.text();
        let (table, notes) = text.split_once("\n\n").unwrap();
        let mut lines = table.lines();
        let header = lines.next().unwrap();
        let starts: Vec<usize> = ["inet6", "unix path", "unix abstract"]
            .iter()
            .map(|form| header.find(form).unwrap())
            .collect();
        for (name, line) in STEPS.iter().zip(lines.by_ref()) {
            assert!(line.starts_with(name), "{text}");
            assert!(
                starts.iter().all(|at| line[*at..].starts_with("yes")),
                "{text}"
            );
        }
        let credentials = lines.find(|line| line.starts_with("peer credentials"));
        let credentials = credentials.expect("a row of credentials");
        let datagram: Vec<&str> = lines
            .skip_while(|line| !line.starts_with("datagram"))
            .collect();
        assert_eq!(datagram.len(), OF_MESSAGES.len(), "{text}");
        for (test, line) in OF_MESSAGES.iter().zip(&datagram).skip(1) {
            assert!(line.starts_with(&format!(" {test}")), "{text}");
        }
        assert!(
            datagram[2][starts[0]..].starts_with("65527 bytes"),
            "{text}"
        );
        assert!(datagram[4][starts[0]..].starts_with("drops at "), "{text}");
        assert!(datagram[4][starts[1]..].starts_with("waits at "), "{text}");
        for line in table.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(credentials[starts[0]..].starts_with('-'), "{text}");
        assert!(credentials[starts[1]..].starts_with("yes"), "{text}");
        assert!(
            notes.contains("unix path, longest name: 107 bytes"),
            "{text}"
        );
    });
    // A row without values is not shown.
    let unix = sok(&["check", "--family", "unix"]).text();
    assert!(!unix.contains("v6only"), "{unix}");
}

#[test]
fn nothing_is_left_behind() {
    let place = Place::new(Kind::Unix);
    let mut command = Command::new(Process::PROGRAM);
    command
        .args(["check", "--family", "unix"])
        .env("TMPDIR", place.directory());
    let process = Process::spawn(command);
    let pid = process.pid();
    let done = process.done();
    assert_eq!(done.code, 0, "{}", done.text());
    assert_eq!(place.listing(), Vec::<String>::new());
    let names = std::fs::read_to_string("/proc/net/unix").unwrap();
    assert!(!names.contains(&format!("sok-check-{pid}-")));
}

#[test]
fn a_missing_directory_fails_only_the_socket_files() {
    let mut command = Command::new(Process::PROGRAM);
    command
        .args(["check", "--family", "unix", "--json"])
        .env("TMPDIR", "/nonexistent");
    let done = Process::spawn(command).done();
    assert_eq!(done.code, 1);
    let report = json(&done);
    assert_eq!(report["works"], false);
    let paths = column(&report, Kind::Unix);
    assert_eq!(paths["works"], false);
    assert_works(&cell(&paths, "create"));
    assert_fails(&cell(&paths, "bind"), "No such file", "set TMPDIR");
    assert_untried(&cell(&paths, "listen"), "bind fails");
    assert_fails(&cell(&paths, "mode enforced"), "/nonexistent", "set TMPDIR");
    assert_eq!(column(&report, Kind::Abstract)["works"], true, "{report}");
}

#[test]
fn disabled_ipv6_is_reported_with_its_setting_and_exit_1() {
    if !(have(Kind::Inet6) && require_peer("ip")) {
        return;
    }
    let switched_off = |arguments: &str| {
        let script = format!(
            "ip link set lo up || exit 99
            echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 || exit 99
            exec \"$SOK\" check {arguments}"
        );
        let done = in_own_network(&script);
        if done.is_none() {
            crate::support::required("network namespaces", false);
        }
        done
    };
    let Some(done) = switched_off("--json") else {
        return;
    };
    assert_eq!(done.code, 1, "{}", done.stderr);
    let report = json(&done);
    assert_eq!(report["works"], false);
    for kind in [Kind::Inet, Kind::Unix, Kind::Abstract] {
        assert_eq!(column(&report, kind)["works"], true, "{report}");
    }
    let inet6 = column(&report, Kind::Inet6);
    assert_eq!(inet6["works"], false);
    assert_works(&cell(&inet6, "create"));
    let setting = "net.ipv6.conf.all.disable_ipv6=1";
    let way_out = "sysctl -w net.ipv6.conf.all.disable_ipv6=0";
    for name in ["bind", "restart", "port 0", "loopback", "v6only on"] {
        assert_fails(&cell(&inet6, name), setting, way_out);
    }
    for name in &STEPS[2..] {
        assert_untried(&cell(&inet6, name), "bind fails");
    }
    assert_untried(&cell(&inet6, "link-local"), "no active interface");
    // IPv4 works over IPv6 sockets.
    assert_works(&cell(&inet6, "v6only off"));
    assert_works(&cell(&inet6, "IPv4-mapped"));

    let checked = switched_off("--family inet6").unwrap();
    assert_eq!(checked.code, 1);
    assert!(
        checked
            .text()
            .contains(&format!("({setting}); {way_out}\n")),
        "{}",
        checked.text()
    );
    assert_eq!(switched_off("--family inet --family unix").unwrap().code, 0);
}

#[test]
fn a_loopback_interface_that_is_down_is_reported() {
    let script = "exec \"$SOK\" check --json";
    let Some(done) = in_own_network(script) else {
        crate::support::required("network namespaces", false);
        return;
    };
    assert_eq!(done.code, 1, "{}", done.stderr);
    let report = json(&done);
    // Linux lets 127.0.0.1 be bound even so, and ::1 not.
    for (kind, step) in [(Kind::Inet, "connect"), (Kind::Inet6, "bind")] {
        let cell = cell(&column(&report, kind), step);
        assert_fails(
            &cell,
            "(the loopback interface lo is down)",
            "ip link set lo up",
        );
    }
    for kind in [Kind::Unix, Kind::Abstract] {
        assert_eq!(column(&report, kind)["works"], true, "{report}");
    }
}

#[test]
fn without_ipv4_dual_stack_is_not_tested() {
    if !(have(Kind::Inet6) && require_peer("ip")) {
        return;
    }
    let script = "ip link set lo up && ip -4 addr flush dev lo || exit 99
        exec \"$SOK\" check --json";
    let Some(done) = in_own_network(script) else {
        crate::support::required("network namespaces", false);
        return;
    };
    assert_eq!(done.code, 1, "{}", done.stderr);
    let report = json(&done);
    let inet = column(&report, Kind::Inet);
    let lacks = "lo has no inet address";
    assert_fails(
        &cell(&inet, "bind"),
        lacks,
        "ip address add 127.0.0.1/8 dev lo",
    );
    let inet6 = column(&report, Kind::Inet6);
    assert_eq!(inet6["works"], true, "{inet6}");
    for name in ["v6only on", "v6only off", "IPv4-mapped"] {
        assert_untried(&cell(&inet6, name), "this test needs IPv4");
    }
}

#[test]
fn a_forbidden_family_fails_at_create() {
    if !require_peer("python3") {
        return;
    }
    // A seccomp filter that answers socket(AF_INET6) with EAFNOSUPPORT, as systemd's
    // RestrictAddressFamilies= does.
    let filter = "import ctypes, os, struct, sys
number = {'x86_64': 41, 'aarch64': 198}[os.uname().machine]
step = lambda *fields: struct.pack('HBBI', *fields)
program = b''.join([step(0x20, 0, 0, 0), step(0x15, 0, 3, number), step(0x20, 0, 0, 16),
    step(0x15, 0, 1, 10), step(0x06, 0, 0, 0x50000 | 97), step(0x06, 0, 0, 0x7fff0000)])
held = ctypes.create_string_buffer(program)
described = ctypes.create_string_buffer(struct.pack('HxxxxxxP', 6, ctypes.addressof(held)))
call = ctypes.CDLL(None, use_errno=True).prctl
if call(38, 1, 0, 0, 0) or call(22, 2, described, 0, 0): sys.exit(99)
os.execv(sys.argv[1], sys.argv[1:])";
    let mut command = Command::new("python3");
    command.args(["-c", filter, Process::PROGRAM, "check", "--json"]);
    let done = Process::spawn(command).done();
    if done.code == 99 || done.stderr.contains("KeyError") {
        crate::support::required("seccomp filters", false);
        return;
    }
    assert_eq!(done.code, 1, "{}", done.stderr);
    let inet6 = column(&json(&done), Kind::Inet6);
    assert_fails(
        &cell(&inet6, "create"),
        "Address family not supported",
        "RestrictAddressFamilies=",
    );
    for name in STEPS[1..]
        .iter()
        .chain(&["restart", "port 0", "v6only off"])
    {
        assert_untried(&cell(&inet6, name), "create fails");
    }
}

#[test]
fn without_proc_check_says_that_it_cannot_read_the_connections() {
    for kind in [Kind::Inet, Kind::Inet6] {
        if !have(kind) {
            continue;
        }
        let place = Place::new(kind);
        let server = Server::start(&place, &[]);
        let script = format!(r#""$SOK" check '{}'"#, server.address());
        let Some(done) = without_proc(&place, &script) else {
            return;
        };
        assert_eq!(done.code, 0, "{}", done.stderr);
        let said = done.text();
        assert!(said.contains("cannot be read"), "{said}");
        assert!(!said.contains("another host"), "{said}");
    }
}
