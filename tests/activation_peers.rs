//! Programs that pass sockets: systemd, Python, and super-servers in the ways of inetd and s6.

use std::process::Command;

use sok::address::SocketType;

use crate::support::{
    Kind, Passed, Place, Process, Server, assert_answers, have, require_peer, sok_with,
};

/// Starts `systemd-socket-activate` with a socket of `place`, and the program with `words` at its first
/// client; returns the address to connect to, once the socket is there.
fn activated(place: &Place, options: &[&str], words: &[&str]) -> (Process, String) {
    let word = place.word();
    let (_, name) = word.split_once(':').unwrap();
    // A port that is free: the activator does not print the one that the kernel chooses.
    let (name, address) = match place.is_network() {
        true => {
            let nobody = place.nobody();
            let (_, name) = nobody.address.split_once(':').unwrap();
            (name.to_owned(), nobody.address.clone())
        }
        false => (name.to_owned(), word.clone()),
    };
    let kind = match place.socket_type() {
        SocketType::SeqPacket => &["--seqpacket"][..],
        SocketType::Datagram => &["--datagram"],
        _ => &[],
    };
    let mut command = Command::new("systemd-socket-activate");
    command.args(kind).args(options).arg("-l").arg(&name);
    command.arg(Process::PROGRAM).args(words);
    let activator = Process::spawn(command);
    let said = activator.stderr();
    said.wait_until("its socket", |text| text.contains("Listening on "));
    (activator, address)
}

fn have_systemd() -> bool {
    require_peer("systemd-socket-activate")
}

forms!(systemd_passes_a_socket_by_number_and_by_name, |place| {
    if !have_systemd() {
        return;
    }
    for (options, word) in [(&[][..], "fd:3"), (&["--fdname=web"], "fd:web")] {
        let words = [&["serve", word, "--suffix=!"], place.line_framing()].concat();
        let (activator, address) = activated(place, options, &words);
        for message in ["one", "two"] {
            assert_answers(&address, message, &format!("{message}!"));
        }
        let ready = format!("listening on {address} ({word})\n");
        activator.stderr().wait_for(&ready);
    }
});

forms!(systemd_passes_the_socket_of_a_relay, |place| {
    if !have_systemd() {
        return;
    }
    let server = Server::start(place, place.line_framing());
    let (_activator, address) = activated(place, &[], &["relay", "fd:3", server.address()]);
    for message in ["one", "two"] {
        assert_answers(&address, message, message);
    }
});

connections!(
    systemd_passes_each_connection_to_a_server_of_its_own,
    |place| {
        if !have_systemd() {
            return;
        }
        // As LISTEN_FDS has it, and as the standard input and output.
        for (options, word) in [
            (&["--accept"][..], "fd:3"),
            (&["--accept", "--inetd"], "fd:0"),
        ] {
            if place.socket_type() == SocketType::SeqPacket && options.len() > 1 {
                // It accepts with --inetd on stream sockets only.
                continue;
            }
            let words = [&["serve", word, "--suffix=!"], place.line_framing()].concat();
            let (activator, address) = activated(place, options, &words);
            for message in ["one", "two", "three"] {
                assert_answers(&address, message, &format!("{message}!"));
            }
            let ends = |text: &str| text.matches("died with code 0").count() == 3;
            activator.stderr().wait_until("three ends", ends);
        }
    }
);

families!(systemd_passes_a_listening_standard_input, |place| {
    if !have_systemd() {
        return;
    }
    let words = ["serve", "fd:0", "--suffix=!", "--framing", "line"];
    let (_activator, address) = activated(place, &["--inetd"], &words);
    for message in ["one", "two"] {
        assert_answers(&address, message, &format!("{message}!"));
    }
});

// As s6-ipcserver-socketbinder and s6-tcpserver-socketbinder do: fd 0 listens, the log is fd 2, and fd 3
// wants a newline.
connections!(a_listening_standard_input_is_served, |place| {
    for polled in [false, true] {
        let socket = Passed::listening(place).polled(polled);
        let told = place.path("told");
        let script = r#"exec 0<&3 3>"$1"; exec "$SOK" serve fd:0 --ready-fd 3"#;
        let path = told.to_str().unwrap();
        let server = Server::of(Process::sh_with(socket.descriptor(), script, &[path]));
        assert_eq!(server.address(), socket.address());
        assert_answers(socket.address(), "hello", "hello");
        assert_eq!(std::fs::read(told).unwrap(), b"\n");
    }
});

#[test]
fn python_passes_a_socket_and_gets_it_back() {
    if !have(Kind::Inet) || !require_peer("python3") {
        return;
    }
    let script = r#"
import os, socket, subprocess, sys
program = sys.argv[1]
# A server that Python has made; a timeout makes it non-blocking.
for timeout in None, 5:
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(timeout)
    number = server.fileno()
    sok = subprocess.Popen([program, "serve", f"fd:{number}"], pass_fds=[number],
                           stderr=subprocess.PIPE)
    assert b"listening on" in sok.stderr.readline()
    client = socket.create_connection(server.getsockname())
    client.settimeout(timeout)
    # A client that Python has connected.
    number = client.fileno()
    for message in "one", "two":
        said = subprocess.run([program, "call", f"fd:{number}", message], pass_fds=[number],
                              capture_output=True, check=True)
        assert said.stdout.decode() == message + "\n", said
    client.sendall(b"three")
    assert client.recv(100) == b"three"
    sok.terminate()
    client.close()
    assert sok.wait() == 0
    # The socket still listens, and is as it was.
    own = socket.fromfd(server.fileno(), server.family, server.type)
    own.settimeout(timeout)
    other = socket.create_connection(server.getsockname())
    accepted, _ = own.accept()
    accepted.sendall(b"four")
    assert other.recv(100) == b"four"
print("done")
"#;
    let mut command = Command::new("python3");
    command.args(["-c", script, Process::PROGRAM]);
    let done = Process::spawn(command).done();
    assert_eq!(done.text(), "done\n", "{}", done.stderr);
}

/// A shell that has opened a connection uses it for several calls.
#[test]
fn a_connection_of_bash_is_used_by_several_calls() {
    if !have(Kind::Inet) || !require_peer("bash") {
        return;
    }
    let server = Server::start(&Place::new(Kind::Inet), &["--framing", "line"]);
    let script = r#"
        exec 5<>"/dev/tcp/127.0.0.1/$1"
        "$SOK" call fd:5 one
        printf 'two\n' >&5; IFS= read -r line <&5; echo "$line"
        "$SOK" call fd:5 three"#;
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash", server.port()]);
    command.env("SOK", Process::PROGRAM);
    let done = Process::spawn(command).done();
    assert_eq!(done.text(), "one\ntwo\nthree\n", "{}", done.stderr);
}

/// Its option `nofork` makes the connection itself the standard input and output.
#[test]
fn socat_passes_a_connection_as_inetd_does() {
    for kind in [Kind::Inet, Kind::Inet6, Kind::Unix] {
        if !have(kind) || !require_peer("socat") {
            continue;
        }
        let place = Place::new(kind);
        let nobody = place.nobody();
        let (_, name) = nobody.address.split_once(':').unwrap();
        let port = name.rsplit_once(':').map_or("", |(_, port)| port);
        let listen = match kind {
            Kind::Inet => format!("TCP4-LISTEN:{port},reuseaddr"),
            Kind::Inet6 => format!("TCP6-LISTEN:{port},reuseaddr"),
            Kind::Unix | Kind::Abstract => format!("UNIX-LISTEN:{name}"),
        };
        let words = "serve fd\\:0 --suffix X --framing line";
        let program = format!("EXEC:{} {words},nofork", Process::PROGRAM);
        let mut command = Command::new("socat");
        command.args(["-d", "-d", &listen, &program]);
        let socat = Process::spawn(command);
        let said = socat.stderr();
        said.wait_until("its socket", |text| text.contains("listening on"));
        let done = sok_with(&["connect", &nobody.address], b"one\ntwo\n");
        assert_eq!(
            done.text(),
            "oneX\ntwoX\n",
            "{}{}",
            done.stderr,
            said.text()
        );
        assert_eq!(socat.wait(), 0, "{}", socat.said());
    }
}
