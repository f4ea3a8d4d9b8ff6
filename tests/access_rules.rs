//! Which clients a rule matches: addresses, users, groups; and rules that cannot be checked.

use std::path::PathBuf;
use std::process::Command;

use nix::unistd::{getegid, geteuid, getgroups};
use sok::address::SocketType;

use crate::support::{
    Client, Kind, Place, Process, Server, have, in_own_network, is_root, require_peer, required,
    run, sok, sok_for_anybody,
};

/// Whether a client at `from` of a server at `at` with `rules` (`+RULE` allows, `-RULE` denies) is served.
type Case = (&'static str, &'static str, &'static str, bool);

/// Addresses of this host; all of 127.0.0.0/8 is loopback.
const ADDRESSES: [Case; 45] = [
    ("127.0.0.1", "127.0.0.1", "+127.0.0.0/8", true),
    ("127.0.0.1", "127.0.0.1", "+127.0.0.1", true),
    ("127.0.0.1", "127.0.0.2", "+127.0.0.1", false),
    ("127.0.0.1", "127.0.0.1", "-127.0.0.2", true),
    ("127.0.0.1", "127.0.0.2", "-127.0.0.2", false),
    ("127.0.0.1", "127.0.0.2", "-127.0.0.2/32", false),
    ("127.0.0.1", "127.0.0.1", "+any", true),
    ("127.0.0.1", "127.0.0.1", "-any", false),
    ("127.0.0.1", "127.0.0.1", "+10.0.0.0/8", false),
    ("127.0.0.1", "127.0.0.1", "-10.0.0.0/8", true),
    ("127.0.0.1", "127.0.0.1", "+0.0.0.0/0", true),
    ("127.0.0.1", "127.0.0.1", "-0.0.0.0/0", false),
    ("127.0.0.1", "127.0.0.1", "+0.0.0.0/1", true),
    ("127.0.0.1", "127.0.0.1", "+128.0.0.0/1", false),
    ("127.0.0.1", "127.0.0.1", "+126.0.0.0/7", true),
    ("127.0.0.1", "127.0.0.1", "-127.0.0.0/31", false),
    ("127.0.0.1", "127.0.0.2", "-127.0.0.0/31", true),
    ("127.0.0.1", "127.1.255.254", "+127.1.0.0/16", true),
    ("127.0.0.1", "127.2.0.1", "+127.1.0.0/16", false),
    // The first that matches decides, not the longest.
    ("127.0.0.1", "127.0.0.2", "-127.0.0.2 +127.0.0.0/8", false),
    ("127.0.0.1", "127.0.0.3", "-127.0.0.2 +127.0.0.0/8", true),
    ("127.0.0.1", "127.0.0.2", "+127.0.0.0/8 -127.0.0.2", true),
    ("127.0.0.1", "127.0.0.2", "+127.0.0.2 -127.0.0.0/8", true),
    ("127.0.0.1", "127.0.0.3", "+127.0.0.2 -127.0.0.0/8", false),
    ("127.0.0.1", "127.0.0.3", "-127.0.0.3 +127.0.0.3", false),
    ("127.0.0.1", "127.0.0.3", "+127.0.0.3 -127.0.0.3", true),
    (
        "127.0.0.1",
        "127.0.0.3",
        "-127.0.0.0/24 +127.0.0.3 -any",
        false,
    ),
    (
        "127.0.0.1",
        "127.0.1.3",
        "-127.0.0.0/24 +127.0.0.3 -any",
        false,
    ),
    (
        "127.0.0.1",
        "127.0.1.3",
        "-127.0.0.0/24 +127.0.1.3 -any",
        true,
    ),
    // Rules of IPv6, and of mapped addresses, which are IPv4.
    ("127.0.0.1", "127.0.0.1", "+::ffff:127.0.0.1", true),
    ("127.0.0.1", "127.0.0.1", "-::ffff:127.0.0.0/104", false),
    // A dual-stack server, whose IPv4 clients have mapped addresses.
    ("::", "127.0.0.1", "+127.0.0.0/8", true),
    ("::", "127.0.0.2", "-127.0.0.2", false),
    ("::", "127.0.0.1", "+::1", false),
    ("::", "127.0.0.1", "-::/0", true),
    ("::", "127.0.0.1", "-::ffff:0:0/96", false),
    ("::", "127.0.0.1", "+::ffff:127.0.0.1", true),
    ("::", "::1", "+::1", true),
    ("::", "::1", "-::/0", false),
    ("::", "::1", "-0.0.0.0/0", true),
    ("::", "::1", "+127.0.0.0/8", false),
    ("::1", "::1", "-::1/128", false),
    ("::1", "::1", "+::/127", true),
    ("::1", "::1", "+::2/127", false),
    ("::1", "::1", "-fe80::/10", true),
];

/// The options for rules of a case.
fn options(rules: &str) -> Vec<String> {
    let each = rules.split(' ').flat_map(|rule| match rule.split_at(1) {
        ("+", rule) => ["--allow".to_owned(), rule.to_owned()],
        (_, rule) => ["--deny".to_owned(), rule.to_owned()],
    });
    std::iter::once("-v".to_owned()).chain(each).collect()
}

fn start(word: &str, rules: &str, more: &[&str]) -> Server {
    let options = options(rules);
    let options: Vec<&str> = options
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    Server::at(word, &options)
}

fn kind_of(ip: &str) -> Kind {
    if ip.contains(':') {
        Kind::Inet6
    } else {
        Kind::Inet
    }
}

/// The address of a socket at `ip`.
fn word(ip: &str, socket_type: SocketType, port: &str) -> String {
    let prefix = kind_of(ip).with_type(socket_type).prefix();
    match ip.contains(':') {
        true => format!("{prefix}:[{ip}]:{port}"),
        false => format!("{prefix}:{ip}:{port}"),
    }
}

fn check_addresses(socket_type: SocketType) {
    if !have(Kind::Inet.with_type(socket_type)) || !have(Kind::Inet6.with_type(socket_type)) {
        return;
    }
    for (at, from, rules, is_served) in ADDRESSES {
        let server = start(&word(at, socket_type, "0"), rules, &[]);
        let to = match (at, kind_of(from)) {
            ("::", Kind::Inet) => "127.0.0.1",
            ("::", _) => "::1",
            _ => at,
        };
        let to = word(to, socket_type, server.port());
        let client = Client::connect_from(&word(from, socket_type, "0"), &to);
        let case = format!("{from} to {at} with {rules}");
        assert_eq!(client.is_served(&server, 0), is_served, "{case}");
    }
}

#[test]
fn an_address_is_matched_by_its_prefixes_over_tcp() {
    check_addresses(SocketType::Stream);
}

#[test]
fn an_address_is_matched_by_its_prefixes_over_udp() {
    check_addresses(SocketType::Datagram);
}

#[test]
fn ipv6_clients_are_told_apart_by_their_prefixes() {
    let script = r#"
        ip link set lo up && ip -6 addr add 2001:db8::5/128 dev lo &&
        ip -6 addr add 2001:db8:8000::5/128 dev lo && ip -6 addr add fd00::5/128 dev lo || exit 99
        "$SOK" serve inet6:[::1]:8082 --deny 2001:db8::5 --allow 2001:db8::/32 --allow fd00::/8 &
        "$SOK" wait inet6:[::1]:8082 || exit 1
        for from in 2001:db8::5 2001:db8:8000::5 fd00::5 ::1; do
            "$SOK" call --bind inet6:[$from]:0 inet6:[::1]:8082 hello 2>/dev/null
            echo $?
        done
        kill $!"#;
    if !have(Kind::Inet6) || !require_peer("ip") {
        return;
    }
    match in_own_network(script) {
        None => {
            required("network namespaces", false);
        }
        Some(done) => assert_eq!(done.text(), "6\nhello\n0\nhello\n0\n6\n", "{}", done.stderr),
    }
}

locals!(a_user_is_matched_as_of_connect, |place| {
    let (own, name) = (geteuid(), nix::unistd::User::from_uid(geteuid()));
    let other = own.as_raw() + 1;
    let mut cases = vec![
        (format!("+uid:{own}"), true),
        (format!("+uid:{other}"), false),
        (format!("-uid:{own}"), false),
        (format!("-uid:{other}"), true),
        (format!("-uid:{other} +uid:{own} -any"), true),
        (format!("-uid:{own} +any"), false),
        (format!("+uid:{own} -uid:{own}"), true),
    ];
    if let Ok(Some(user)) = name {
        cases.push((format!("+uid:{}", user.name), true));
    }
    if place.has_connection() {
        let (group, last) = (getegid(), getgroups().unwrap().last().copied());
        let group_of_nobody = 4_000_000_000_u32;
        cases.extend([
            (format!("+gid:{group}"), true),
            (format!("-gid:{group}"), false),
            (format!("+gid:{group_of_nobody}"), false),
            (format!("-gid:{group_of_nobody}"), true),
            (format!("-gid:{group_of_nobody} +uid:{own}"), true),
            (format!("+uid:{own} -gid:{group}"), true),
        ]);
        cases.extend(last.map(|group| (format!("+gid:{group}"), true)));
    }
    for (rules, is_served) in cases {
        let server = start(&place.word(), &rules, &[]);
        let client = Client::connect(server.address());
        assert_eq!(client.is_served(&server, 0), is_served, "{rules}");
    }
});

/// Runs the program as another user with these groups, as `setpriv(1)` does; `None` without the rights.
fn as_other(place: &Place, groups: &[u32], arguments: &[&str]) -> Option<Process> {
    if !is_root() {
        required("root", false);
        return None;
    }
    if !require_peer("setpriv") {
        return None;
    }
    let program: PathBuf = sok_for_anybody(place);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=1234", "--regid=1234"]);
    match groups {
        [] => command.arg("--clear-groups"),
        groups => {
            let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
            command.arg(format!("--groups={}", groups.join(",")))
        }
    };
    command.arg(program).args(arguments);
    Some(Process::spawn(command))
}

locals!(supplementary_groups_count, |place| {
    let mode = match place.kind() {
        Kind::Unix => &["--mode", "666"][..],
        _ => &[],
    };
    if !place.has_connection() {
        return;
    }
    let many: Vec<u32> = (5000..5040).collect();
    for (groups, rules, code) in [
        (&[5678, 5679][..], "+gid:5679", 0),
        (&[5678, 5679], "-gid:5678", 6),
        (&[5678, 5679], "+gid:5680", 6),
        (&[5678, 5679], "-gid:5680", 0),
        // The primary one, which is not among them.
        (&[5678], "+gid:1234", 0),
        (&[], "+gid:1234", 0),
        (&[], "+gid:5678", 6),
        (&many, "+gid:5039", 0),
        (&many, "-gid:5020", 6),
        (&many, "+uid:1234", 0),
    ] {
        let server = start(&place.word(), rules, mode);
        let Some(client) = as_other(place, groups, &["call", server.address(), "hello"]) else {
            return;
        };
        let done = client.done();
        assert_eq!(done.code, code, "{groups:?} with {rules}: {}", done.stderr);
        assert_eq!(done.text(), if code == 0 { "hello\n" } else { "" });
    }
});

locals!(
    a_process_with_more_groups_than_can_be_checked_is_refused,
    |place| {
        if !place.has_connection() {
            return;
        }
        let mode = match place.kind() {
            Kind::Unix => &["--mode", "666"][..],
            _ => &[],
        };
        let many: Vec<u32> = (5000..5200).collect();
        for (rules, code) in [("-gid:1", 6), ("+gid:5000", 6), ("+uid:1234 -gid:1", 0)] {
            let server = start(&place.word(), rules, mode);
            let Some(client) = as_other(place, &many, &["call", server.address(), "hello"]) else {
                return;
            };
            assert_eq!(client.wait(), code, "{rules}");
            if code != 0 {
                let why = "cannot be checked: the process has more than 128 groups";
                server.stderr().wait_for(why);
            }
        }
    }
);

/// Connects, becomes somebody else, says so, and then exchanges a message.
const CHANGES: &str = r#"
    use Socket; use POSIX;
    my ($type, $name) = @ARGV;
    $name =~ s/^@/\0/;
    socket(my $s, AF_UNIX, $type eq "stream" ? SOCK_STREAM : SOCK_SEQPACKET, 0) or die $!;
    $) = "0 0 4242";
    connect($s, pack_sockaddr_un($name)) or die $!;
    $) = "65534 65534"; POSIX::setgid(65534); POSIX::setuid(65534);
    die if $< != 65534 || $> != 65534 || $) ne "65534 65534";
    print STDERR "changed\n";
    syswrite $s, "hello";
    sysread $s, my $reply, 5;
    print $reply;"#;

locals!(
    a_client_that_changes_later_is_who_it_was_at_connect,
    |place| {
        if !place.has_connection() {
            return;
        }
        if !required("root", is_root()) {
            return;
        }
        if !require_peer("perl") {
            return;
        }
        for (rules, is_served) in [
            ("+uid:0", true),
            ("-uid:0", false),
            ("+uid:65534", false),
            ("-uid:65534", true),
            ("+gid:4242", true),
            ("-gid:4242", false),
            ("+gid:65534", false),
        ] {
            // The rule that serves the first client is not in question.
            let file = place.file("rules", "allow any\n");
            let rule_file = [
                "--rules",
                file.to_str().unwrap(),
                "-v",
                "--max-connections",
                "1",
            ];
            let server = Server::start(place, &rule_file);
            let first = Client::connect(server.address());
            first.assert_echoed(b"hello");
            let (_, name) = server.address().split_once(':').unwrap();
            let mut perl = Command::new("perl");
            perl.args(["-e", CHANGES, place.socket_type().name(), name]);
            let changing = Process::spawn(perl);
            changing.stderr().wait_for("changed\n");
            let words = options(rules);
            let lines = words[1..]
                .chunks(2)
                .map(|pair| format!("{} {}\n", pair[0].trim_start_matches("--"), pair[1]));
            std::fs::write(&file, lines.collect::<String>()).unwrap();
            server.signal(nix::sys::signal::Signal::SIGHUP);
            server.stderr().wait_for("rules read again");
            drop(first);
            let reply = changing.done().text();
            assert_eq!(reply, if is_served { "hello" } else { "" }, "{rules}");
        }
    }
);

/// Sends a datagram as root, another one as somebody else from the same socket, and then as root from a
/// socket of the same name.
const SENDS: &str = r#"
    use Socket; use POSIX;
    my ($name, $own) = @ARGV;
    $_ =~ s/^@/\0/ for $name, $own;
    sub made {
        socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die $!;
        bind($s, pack_sockaddr_un($own)) or die $!;
        connect($s, pack_sockaddr_un($name)) or die $!;
        return $s;
    }
    my $s = made();
    syswrite $s, "first";
    sysread $s, my $reply, 9;
    print "$reply\n";
    my $child = fork;
    if (!$child) { POSIX::setuid(65534); syswrite $s, "other"; exit; }
    waitpid $child, 0;
    close $s;
    $s = made();
    syswrite $s, "again";
    sysread $s, $reply, 9;
    print "$reply\n";"#;

#[test]
fn a_datagram_is_of_the_user_who_sent_it_whatever_its_name() {
    if !required("root", is_root()) {
        return;
    }
    if !require_peer("perl") {
        return;
    }
    run(Kind::Abstract.with_type(SocketType::Datagram), |place| {
        let server = start(&place.word(), "-uid:65534", &[]);
        let (own, name) = (place.word(), server.address().to_owned());
        let names = [&name, &own].map(|word| word.split_once(':').unwrap().1.to_owned());
        let mut perl = Command::new("perl");
        perl.args(["-e", SENDS]).args(names);
        let done = Process::spawn(perl).done();
        assert_eq!(done.text(), "first\nagain\n", "{}", done.stderr);
        let log = server.stderr().wait_for(" refused ");
        assert!(
            log.contains(&format!("sok: refused peer={own} pid=")),
            "{log}"
        );
        assert!(
            log.contains(" uid=65534 gid=0 reason=deny uid:65534"),
            "{log}"
        );
        assert_eq!(log.matches(" connected ").count(), 1, "{log}");
    });
}

#[test]
fn users_under_one_name_have_a_session_each() {
    if !required("root", is_root()) {
        return;
    }
    if !require_peer("perl") {
        return;
    }
    run(Kind::Abstract.with_type(SocketType::Datagram), |place| {
        let server = start(&place.word(), "+uid:0 +uid:65534", &[]);
        let (own, name) = (place.word(), server.address().to_owned());
        let names = [&name, &own].map(|word| word.split_once(':').unwrap().1.to_owned());
        let mut perl = Command::new("perl");
        // Whoever sent it, the answers go to the name.
        perl.args([
            "-e",
            &SENDS.replace(
                "waitpid $child, 0;",
                "waitpid $child, 0; sysread $s, $reply, 9;",
            ),
        ]);
        perl.args(names);
        let done = Process::spawn(perl).done();
        assert_eq!(done.text(), "first\nagain\n", "{}", done.stderr);
        let log = server.stderr().wait_for_count(" connected ", 2);
        assert!(
            log.contains(" uid=0 ") && log.contains(" uid=65534 "),
            "{log}"
        );
    });
}

#[test]
fn a_rule_that_cannot_be_checked_is_an_error_at_start() {
    let place = Place::new(Kind::Unix);
    let (tcp, udp, dual) = ("inet:127.0.0.1:0", "udp6:[::1]:0", ":0");
    let local = |prefix: &str| format!("{prefix}:{}", place.path("s.sock").display());
    let (stream, packet, datagram) = (local("unix"), local("unixpacket"), local("unixgram"));
    let network = "a network does not say which user a client is";
    let groups = "only a local connection says in which groups a client is";
    let no_ip = "they have no IP address";
    let no_ipv4 = "they have no IPv4 address; write IPv6 addresses";
    let no_ipv6 = "they have no IPv6 address; write IPv4 addresses";
    for (at, rules, named, why) in [
        (
            tcp,
            "+uid:0",
            "allow uid:0: it matches no client of inet:127.0.0.1:0",
            network,
        ),
        (tcp, "-uid:0", "deny uid:0: it matches no client", network),
        (tcp, "+any -uid:0", "deny uid:0", network),
        (udp, "-uid:0", "deny uid:0", network),
        (
            dual,
            "-uid:0",
            "deny uid:0: it matches no client of tcp::0",
            network,
        ),
        ("localhost:0", "+uid:0", "tcp:localhost:0", network),
        (tcp, "-gid:0", "deny gid:0", groups),
        (&datagram, "+gid:0", "allow gid:0", groups),
        (&datagram, "+uid:0 -gid:0", "deny gid:0", groups),
        (tcp, "-::/0", "deny ::/0: it matches no client", no_ipv6),
        (tcp, "+any +::1", "allow ::1", no_ipv6),
        (udp, "-10.0.0.0/8", "deny 10.0.0.0/8", no_ipv4),
        (udp, "+::ffff:127.0.0.1", "allow 127.0.0.1", no_ipv4),
        (&stream, "+10.0.0.0/8", "allow 10.0.0.0/8", no_ip),
        (&packet, "-::1", "deny ::1", no_ip),
        (&datagram, "-127.0.0.1", "deny 127.0.0.1", no_ip),
    ] {
        let options = options(rules);
        let words = ["serve", at]
            .into_iter()
            .chain(options.iter().map(String::as_str));
        let done = sok(&words.collect::<Vec<_>>());
        assert_eq!(done.code, 2, "{at} {rules}: {}", done.stderr);
        assert!(done.stderr.starts_with("sok: rule "), "{}", done.stderr);
        assert!(
            done.stderr.contains(named) && done.stderr.contains(why),
            "{}",
            done.stderr
        );
        assert_eq!(place.listing(), [""; 0]);
    }
}

#[test]
fn a_relay_checks_each_rule_for_all_its_listeners() {
    let place = Place::new(Kind::Unix);
    let file = place.file("rules", "allow any\n\ndeny uid:7\n");
    let (socket, file) = (place.path("s.sock"), file.display().to_string());
    let (tcp, local) = ("inet:127.0.0.1:0", format!("unix:{}", socket.display()));
    let relay = |rules: &[&str]| {
        let words = ["relay", tcp, "unix:@nobody", "--listen", &local];
        Process::sok(&[&words[..], rules].concat())
    };
    // The clients of one listener could not be checked.
    for (rules, why) in [
        (
            &["--deny", "uid:7"][..],
            "rule deny uid:7: it cannot be checked for clients of inet:127.0.0.1:0",
        ),
        (
            &["--deny", "gid:7"],
            "rule deny gid:7: it cannot be checked for clients of inet:127.0.0.1:0",
        ),
        (
            &["--rules", &file],
            "rules:3: deny uid:7: it cannot be checked for clients of inet:127.0.0.1:0",
        ),
    ] {
        let done = relay(rules).done();
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(done.stderr.contains(why), "{}", done.stderr);
    }
    // A client is refused unless its listener can check a rule that allows it.
    for (rules, served) in [
        (
            &["--allow", "uid:7", "--allow", "127.0.0.1"][..],
            [true, false],
        ),
        (&["--deny", "127.0.0.0/8"], [false, true]),
    ] {
        let relay = Server::of(relay(&[rules, &["-v"]].concat()));
        relay.stderr().wait_for("listening on unix:");
        for (address, is_served) in [relay.address(), &local].into_iter().zip(served) {
            let before = relay.stderr().text().matches(" refused ").count();
            // The target does not exist: one who is served sees an error too.
            Client::connect(address).assert_refused();
            match is_served {
                true => relay.stderr().wait_for(" failed "),
                false => relay.stderr().wait_for_count(" refused ", before + 1),
            };
        }
    }
}

#[test]
fn a_wrong_rule_is_an_error_that_says_what_to_write() {
    let place = Place::new(Kind::Unix);
    let file = |name: &str, text: &[u8]| place.file(name, text).display().to_string();
    let latin = file("latin", b"allow any\n# caf\xe9\n");
    let long = file("long", b"allow 10.0.0.0/8 10.1.0.0/16\n");
    let lacking = file("lacking", b"# x\n  deny  # nobody\n");
    let folder = place.directory().display().to_string();
    let fifo = place.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = fifo.display().to_string();
    for (options, parts) in [
        (
            ["--allow", "10.0.0.1/8"],
            &[
                "10.0.0.1 has bits after the first 8",
                "write 10.0.0.0/8, or 10.0.0.1",
            ][..],
        ),
        (
            ["--deny", "2001:db8::1/32"],
            &["write 2001:db8::/32, or 2001:db8::1"],
        ),
        (
            ["--deny", "::ffff:10.0.0.1/104"],
            &["write 10.0.0.0/8, or 10.0.0.1"],
        ),
        (["--allow", "10.0.0.0/33"], &["a number from 0 to 32"]),
        (["--allow", "::/129"], &["a number from 0 to 128"]),
        (["--allow", "10.0.0.0/-1"], &["a number from 0 to 32"]),
        (["--allow", "10.0.0.0/+8"], &["a number from 0 to 32"]),
        (["--allow", "10.0.0.0/"], &["a number from 0 to 32"]),
        (
            ["--allow", "10.0.0.0/255.0.0.0"],
            &["a number from 0 to 32"],
        ),
        (
            ["--allow", "10.0.0"],
            &[
                "\"10.0.0\" is no IP address",
                "a rule is an IP address, a prefix",
            ],
        ),
        (["--allow", "010.0.0.1"], &["is no IP address"]),
        (
            ["--allow", "localhost"],
            &["\"localhost\" is no IP address"],
        ),
        (["--allow", "fe80::1%eth0"], &["a rule has no interface"]),
        (["--allow", "[::1]"], &["is no IP address"]),
        (["--allow", ""], &["\"\" is no IP address"]),
        (["--allow", "ANY"], &["is no IP address"]),
        (["--allow", "uid:"], &["rule uid:: no user is given"]),
        (["--allow", "gid:"], &["no group is given"]),
        (
            ["--allow", "uid:no-such-user"],
            &["no such user: \"no-such-user\""],
        ),
        (
            ["--deny", "gid:no-such-group"],
            &["no such group: \"no-such-group\""],
        ),
        (
            ["--allow", "uid:4294967295"],
            &["the number of a user is at most 4294967294"],
        ),
        (
            ["--allow", "uid:99999999999999999999"],
            &["at most 4294967294"],
        ),
        (["--allow", "uid:-1"], &["no such user: \"-1\""]),
        (
            ["--rules", "/no/such/file"],
            &["rules /no/such/file: No such file"],
        ),
        (["--rules", &folder], &["it is not a regular file"]),
        (["--rules", &fifo], &["it is not a regular file"]),
        (["--rules", "/dev/null"], &["it is not a regular file"]),
        (["--rules", &latin], &["latin:2: the line is not UTF-8"]),
        (
            ["--rules", &long],
            &["long:1: \"10.1.0.0/16\" follows the rule", "one a line"],
        ),
        (["--rules", &lacking], &["lacking:2: no rule follows deny"]),
    ] {
        for command in [&["serve", "@a"][..], &["relay", "@a", "@b"]] {
            let done = sok(&[command, &options].concat());
            assert_eq!(done.code, 2, "{options:?}: {}", done.stderr);
            assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
            let has_all = parts.iter().all(|part| done.stderr.contains(part));
            assert!(has_all, "{options:?}: {}", done.stderr);
        }
    }
}

#[test]
fn only_a_dual_stack_socket_can_check_rules_of_both_families() {
    if !have(Kind::Inet) || !have(Kind::Inet6) {
        return;
    }
    for rules in ["+10.0.0.0/8 +::1", "-10.0.0.0/8 -fe80::/10"] {
        start("inet6:[::]:0", rules, &[]).terminate();
        start("localhost:0", rules, &[]).terminate();
        start("inet:127.0.0.1:0", rules, &["--accept-proxy"]).terminate();
        let words = ["serve", "inet6:[::]:0", "--v6only"].map(str::to_owned);
        let words: Vec<String> = words.into_iter().chain(options(rules)).collect();
        let done = sok(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(done.stderr.contains("no IPv4 address"), "{}", done.stderr);
    }
}

#[test]
fn one_file_of_rules_is_for_servers_of_both_families() {
    let place = Place::new(Kind::Unix);
    let file = place.file("rules", "deny 10.0.0.0/8\ndeny 2001:db8::/32\n");
    for (kind, word) in [
        (Kind::Inet, "inet:127.0.0.1:0"),
        (Kind::Inet6, "inet6:[::1]:0"),
    ] {
        if have(kind) {
            let server = Process::sok(&["serve", word, "--rules", file.to_str().unwrap()]);
            Server::of(server).terminate();
        }
    }
}

#[test]
fn a_file_of_rules_that_is_a_loop_of_links_is_a_usage_error() {
    let place = Place::new(Kind::Unix);
    let link = place.path("link");
    std::os::unix::fs::symlink("link", &link).unwrap();
    let done = sok(&["serve", &place.word(), "--rules", link.to_str().unwrap()]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    let cause = "Too many levels of symbolic links";
    assert!(done.stderr.contains(cause), "{}", done.stderr);
}
