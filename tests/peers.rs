//! Clients that people use today talk to `serve`.

use std::process::Command;

use crate::support::{Done, Kind, Place, Process, Server, assert_same, noise, require_peer};

/// Runs a client to its end, with `input` to read.
fn client(program: &str, arguments: &[&str], input: &[u8]) -> Done {
    let mut command = Command::new(program);
    command.args(arguments);
    let done = Process::spawn(command).feed(input);
    assert_eq!(done.code, 0, "{program} {arguments:?}: {}", done.stderr);
    done
}

/// What follows the prefix: a path, or `@` and a name.
fn name(server: &Server) -> &str {
    server.address().strip_prefix("unix:").unwrap()
}

fn netcat(place: &Place, server: &Server, input: &[u8]) -> Vec<u8> {
    let arguments = match place.kind() {
        Kind::Inet => vec!["-N", "127.0.0.1", server.port()],
        Kind::Inet6 => vec!["-N", "::1", server.port()],
        Kind::Unix | Kind::Abstract => vec!["-N", "-U", name(server)],
    };
    client("nc", &arguments, input).stdout
}

fn socat(place: &Place, server: &Server, input: &[u8]) -> Vec<u8> {
    let to = match place.kind() {
        Kind::Inet => format!("TCP4:127.0.0.1:{}", server.port()),
        Kind::Inet6 => format!("TCP6:[::1]:{}", server.port()),
        Kind::Unix => format!("UNIX-CONNECT:{}", name(server)),
        Kind::Abstract => format!("ABSTRACT-CONNECT:{}", &name(server)[1..]),
    };
    // Without -t it leaves half a second after its input ends.
    client("socat", &["-t", "60", "-", &to], input).stdout
}

/// Nothing for a kind of address that it does not know.
fn ncat(place: &Place, server: &Server, input: &[u8]) -> Option<Vec<u8>> {
    let arguments = match place.kind() {
        Kind::Inet => vec!["-4", "127.0.0.1", server.port()],
        Kind::Inet6 => vec!["-6", "::1", server.port()],
        Kind::Unix => vec!["-U", name(server)],
        Kind::Abstract => return None,
    };
    Some(client("ncat", &arguments, input).stdout)
}

/// Runs a Python program in which `s` is a connected socket.
fn python(place: &Place, server: &Server, program: &str) -> String {
    let connect = match place.kind() {
        Kind::Inet => format!(
            "s = socket.create_connection(('127.0.0.1', {}))",
            server.port()
        ),
        Kind::Inet6 => format!("s = socket.create_connection(('::1', {}))", server.port()),
        Kind::Unix | Kind::Abstract => {
            let path = match name(server).strip_prefix('@') {
                Some(name) => format!("\\0{name}"),
                None => name(server).to_owned(),
            };
            format!("s = socket.socket(socket.AF_UNIX); s.connect('{path}')")
        }
    };
    let program = format!("import socket, struct\n{connect}\ns.settimeout(60)\n{program}");
    client("python3", &["-c", &program], b"").text()
}

families!(nc_sends_and_receives_everything, |place| {
    if require_peer("nc") {
        let server = Server::start(place, &[]);
        let data = noise(1 << 20);
        assert_same(&netcat(place, &server, &data), &data);
    }
});

families!(nc_has_its_lines_answered, |place| {
    if require_peer("nc") {
        let server = Server::start(place, &["--framing", "line", "--suffix", "!"]);
        assert_eq!(
            netcat(place, &server, "one\n你好\n".as_bytes()),
            "one!\n你好!\n".as_bytes()
        );
    }
});

families!(socat_sends_and_receives_everything, |place| {
    if require_peer("socat") {
        let server = Server::start(place, &[]);
        let data = noise(1 << 20);
        assert_same(&socat(place, &server, &data), &data);
    }
});

families!(socat_is_served_a_file, |place| {
    if require_peer("socat") {
        let data = noise(1 << 20);
        let file = place.file("data", &data);
        let server = Server::start(place, &["--send", &file.to_string_lossy(), "--once"]);
        assert_same(&socat(place, &server, b""), &data);
        assert_eq!(server.wait(), 0);
    }
});

families!(ncat_sends_and_receives_everything, |place| {
    if require_peer("ncat") {
        let server = Server::start(place, &[]);
        let data = noise(1 << 20);
        if let Some(got) = ncat(place, &server, &data) {
            assert_same(&got, &data);
        }
    }
});

families!(curl_is_answered_by_a_shell_script, |place| {
    if require_peer("curl") {
        let script = r#"
            end=$(printf '\r')
            while IFS= read -r line && [ "$line" != "$end" ]; do
                case $line in GET*) set -- $line ;; esac
            done
            printf 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nyou asked for %s\n' "$2"
        "#;
        let server = Server::start(place, &["--exec", "sh", "-c", script]);
        let local = "http://localhost/fact".to_owned();
        let arguments = match place.kind() {
            Kind::Inet => vec![format!("http://127.0.0.1:{}/fact", server.port())],
            Kind::Inet6 => vec![format!("http://[::1]:{}/fact", server.port())],
            Kind::Unix => vec!["--unix-socket".to_owned(), name(&server).to_owned(), local],
            Kind::Abstract => {
                let name = name(&server)[1..].to_owned();
                vec!["--abstract-unix-socket".to_owned(), name, local]
            }
        };
        let mut all = vec!["--silent", "--show-error", "--fail", "--noproxy", "*"];
        all.extend(arguments.iter().map(String::as_str));
        assert_eq!(client("curl", &all, b"").text(), "you asked for /fact\n");
    }
});

families!(python_holds_a_conversation, |place| {
    if require_peer("python3") {
        let server = Server::start(place, &["--suffix", "!"]);
        let said = python(
            place,
            &server,
            "for word in ['one', '你好']:\n    s.sendall(word.encode())\n    \
             print(s.recv(100).decode())\ns.shutdown(socket.SHUT_WR)\nprint(s.recv(100))",
        );
        assert_eq!(said, "one!\n你好!\nb''\n");
    }
});

families!(python_sends_messages_by_length, |place| {
    if require_peer("python3") {
        let server = Server::start(place, &["--framing", "length", "--suffix", "!"]);
        let said = python(
            place,
            &server,
            "f = s.makefile('rwb')\nfor size in [0, 3, 100000]:\n    \
             f.write(struct.pack('>I', size) + b'x' * size)\n    f.flush()\n    \
             got, = struct.unpack('>I', f.read(4))\n    print(got, f.read(got)[-1:])",
        );
        assert_eq!(said, "1 b'!'\n4 b'!'\n100001 b'!'\n");
    }
});
