//! The protocols of daemons that speak datagrams: syslog, sd_notify, wpa_supplicant, DNS, iperf3.

use std::process::Command;

use sok::address::SocketType;

use crate::support::{
    Done, Form, Kind, Place, Process, RawListener, RawMessageListener, Server, in_own_network,
    require_peer, required, run, sok,
};

/// Runs a program to its end, which must be a good one.
fn run_well(program: &str, arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Done {
    let mut command = Command::new(program);
    command.args(arguments).envs(environment.iter().copied());
    let done = Process::spawn(command).feed(input.as_bytes());
    let said = (done.text(), &done.stderr);
    assert_eq!(done.code, 0, "{program} {arguments:?}: {said:?}");
    done
}

/// A relay from `listen` to `target`.
fn relay(listen: &str, target: &str, options: &[&str]) -> Server {
    let arguments = [&["relay", listen, target], options].concat();
    Server::of(Process::sok(&arguments))
}

/// What follows the prefix: a path, or `@` and a name.
fn name(address: &str) -> &str {
    address.split_once(':').unwrap().1
}

/// A server that writes each message to its standard error, with a NUL at its end.
fn listing(word: &str) -> Server {
    let service = ["--framing", "null", "--exec", "sh", "-c", "cat >&2"];
    Server::at(word, &service)
}

/// The options with which logger reaches a server; it has no abstract names.
fn logger_words(place: &Place, address: &str) -> Option<Vec<String>> {
    let (host, port) = name(address).rsplit_once(':').unwrap_or_default();
    let words = match place.kind() {
        Kind::Inet | Kind::Inet6 => vec!["-n", host.trim_matches(['[', ']']), "-P", port, "-d"],
        Kind::Unix => vec!["-u", name(address), "--socket-errors=on", "-d"],
        Kind::Abstract => return None,
    };
    Some(words.into_iter().map(str::to_owned).collect())
}

/// Logs each line of `input` as a message.
fn log(words: &[String], input: &str) {
    let mut all: Vec<&str> = words.iter().map(String::as_str).collect();
    all.extend(["-t", "app"]);
    run_well("logger", &all, &[], input);
}

datagrams!(logger_writes_to_a_service, |place| {
    if !require_peer("logger") {
        return;
    }
    let server = listing(&place.word());
    if let Some(words) = logger_words(place, server.address()) {
        log(&words, "one\ntwo\n");
        let said = server.stderr().wait_for("two\0");
        assert!(said.contains("one\0<"), "{said}");
    }
});

datagrams!(logger_writes_through_a_relay_to_a_collector, |place| {
    if !require_peer("logger") {
        return;
    }
    for (framing, end) in [("line", '\n'), ("null", '\0')] {
        let collector = RawListener::bind(&Place::new(Kind::Inet));
        let target = collector.address().replacen("inet", "tcp", 1);
        let relay = relay(&place.word(), &target, &["--framing", framing]);
        if let Some(words) = logger_words(place, relay.address()) {
            log(&words, "one\ntwo\n");
            let mut collected = collector.accept();
            relay.terminate();
            let text = String::from_utf8(collected.rest()).unwrap();
            let messages: Vec<&str> = text.split_terminator(end).collect();
            let [one, two] = messages[..] else {
                panic!("two messages, not {messages:?}")
            };
            for (message, word) in [(one, "one"), (two, "two")] {
                let is_whole = message.starts_with('<') && message.ends_with(word);
                assert!(is_whole && message.contains("app"), "{message:?}");
            }
            drop(collected);
            assert_eq!(relay.wait(), 0, "{}", relay.said());
        }
    }
});

const UNIX: [Form; 2] = [
    Kind::Unix.with_type(SocketType::Datagram),
    Kind::Abstract.with_type(SocketType::Datagram),
];

#[test]
fn systemd_notify_tells_a_service_its_state() {
    for form in UNIX {
        run(form, |place| {
            if !require_peer("systemd-notify") {
                return;
            }
            let server = listing(&place.word());
            let socket = [("NOTIFY_SOCKET", name(server.address()))];
            // Until the descriptor that it sends with its last message is closed, it waits.
            run_well("systemd-notify", &["--ready", "--status=up"], &socket, "");
            server.stderr().wait_for("READY=1\nSTATUS=up\0BARRIER=1\0");
        });
    }
}

#[test]
fn a_call_without_a_reply_is_a_notification() {
    for form in UNIX {
        run(form, |place| {
            let manager = RawMessageListener::bind(place);
            let script = r#""$SOK" call --no-reply unixgram:"$NOTIFY_SOCKET" READY=1"#;
            let arguments = ["-c", script];
            let socket = [
                ("NOTIFY_SOCKET", name(manager.address())),
                ("SOK", Process::PROGRAM),
            ];
            run_well("sh", &arguments, &socket, "");
            assert_eq!(manager.accept().receive(), b"READY=1");
        });
    }
}

/// The control socket of wpa_supplicant at `argv[1]`: it answers to the name of its client.
const SUPPLICANT: &str = r#"
import socket, sys

s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace("@", "\0"))
print("ready", flush=True)
while True:
    command, client = s.recvfrom(4096)
    answers = {b"PING": b"PONG\n", b"STATUS": b"wpa_state=COMPLETED\nip_address=192.0.2.7\n"}
    s.sendto(answers.get(command, b"UNKNOWN COMMAND\n"), client)
"#;

#[test]
fn a_call_speaks_the_control_protocol_of_wpa_supplicant() {
    for form in UNIX {
        run(form, |place| {
            if !require_peer("python3") {
                return;
            }
            let word = place.word();
            let mut command = Command::new("python3");
            command.args(["-c", SUPPLICANT, name(&word)]);
            let daemon = Process::spawn(command);
            daemon.stdout().wait_for("ready");
            for (command, reply) in [
                ("PING", "PONG\n"),
                ("STATUS", "wpa_state=COMPLETED\nip_address=192.0.2.7\n"),
                ("other", "UNKNOWN COMMAND\n"),
            ] {
                let done = sok(&["call", &word, command]);
                assert_eq!((done.code, &*done.text()), (0, reply), "{}", done.stderr);
            }
        });
    }
}

/// A DNS server that knows the address of one name; it answers each query, whatever asks.
const NAME_SERVER: &str = r#"
import socket, struct

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print("udp4:127.0.0.1:%d" % s.getsockname()[1], flush=True)
while True:
    query, client = s.recvfrom(4096)
    # The question: the labels of a name, an empty one, the type A, the class IN.
    end = query.index(0, 12) + 5
    question = query[12:end]
    known = question.lower() == b"\3sok\4test\0\0\1\0\1"
    code, count = (0x8580, 1) if known else (0x8583, 0)
    answer = query[:2] + struct.pack(">HHHHH", code, 1, count, 0, 0) + question
    if known:
        answer += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 7])
    s.sendto(answer, client)
"#;

/// What dig prints about a name.
fn dig(relay: &Server, words: &[&str]) -> String {
    let (host, port) = name(relay.address()).rsplit_once(':').unwrap();
    let server = format!("@{}", host.trim_matches(['[', ']']));
    // One try: nothing is lost on the way.
    let options = ["-p", port, &server, "+tries=1", "+time=30", "+nocookie"];
    run_well("dig", &[&options[..], words].concat(), &[], "").text()
}

forms!(dig_is_answered_through_relays, |place| {
    if !require_peer("dig") || !require_peer("python3") {
        return;
    }
    let mut command = Command::new("python3");
    command.args(["-c", NAME_SERVER]);
    let daemon = Process::spawn(command);
    let server = daemon.stdout().wait_for("\n");
    let server = server.trim_end();
    let framing = match place.keeps_messages() {
        true => &[][..],
        false => &["--framing", "length"],
    };
    let second = relay(&place.word(), server, framing);
    let first = relay("udp4:127.0.0.1:0", second.address(), framing);
    assert_eq!(dig(&first, &["+short", "sok.test"]), "192.0.2.7\n");
    let unknown = dig(&first, &["other.test"]);
    assert!(unknown.contains("status: NXDOMAIN"), "{unknown}");
    if place.prefix().starts_with("udp") {
        assert_eq!(dig(&second, &["+short", "sok.test"]), "192.0.2.7\n");
    }
});

/// Its control connection and its datagrams have the same port, which only a network of its own
/// surely has free.
#[test]
fn iperf3_measures_udp_through_two_relays() {
    if !["iperf3", "ip", "mkfifo"]
        .map(require_peer)
        .contains(&false)
    {
        let script = r#"
            ip link set lo up || exit 99
            directory=$(mktemp -d) && cd "$directory" && trap 'rm -r "$directory"' EXIT
            mkfifo server tcp udp
            until_it_listens() {
                while read -r line; do case $line in *istening\ on*) return ;; esac; done
                exit 1
            }
            iperf3 -s -B 127.0.0.1 --forceflush > server & all=$!
            exec 3< server; until_it_listens <&3
            "$SOK" relay tcp4:127.0.0.2:5201 tcp4:127.0.0.1:5201 2> tcp & all="$all $!"
            exec 4< tcp; until_it_listens <&4
            "$SOK" relay udp4:127.0.0.2:5201 udp4:127.0.0.1:5201 2> udp & all="$all $!"
            exec 5< udp; until_it_listens <&5
            iperf3 -u -c 127.0.0.2 -n 200K -l 1000 -b 20M --json
            code=$?
            kill $all
            exit $code
        "#;
        let done = in_own_network(script);
        required("network namespaces", done.is_some());
        if let Some(done) = done {
            let said = done.text();
            assert_eq!(done.code, 0, "{said}{}", done.stderr);
            let report: serde_json::Value = serde_json::from_str(&said).unwrap();
            let sum = &report["end"]["sum"];
            let sent = sum["packets"].as_u64().unwrap();
            let lost = sum["lost_packets"].as_u64().unwrap();
            assert!(sent > 200 && lost == 0, "{sum}");
        }
    }
}
