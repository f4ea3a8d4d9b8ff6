//! Programs that people use today send messages to `serve`, and answer `call` and `connect`.

use std::process::Command;

use crate::support::{
    Kind, Place, Process, Server, assert_same, noise, require_peer, sok, sok_with, udp_ports,
};

/// The sizes of messages, around the size of the buffer that most programs have.
const SIZES: [usize; 5] = [0, 1, 8191, 8192, 20_000];

/// A program with its arguments, running.
fn start(program: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new(program);
    command.args(arguments);
    Process::spawn(command)
}

/// Runs a program to its end, which must be a good one.
fn client(program: &str, arguments: &[&str]) -> Vec<u8> {
    let done = start(program, arguments).done();
    assert_eq!(done.code, 0, "{program} {arguments:?}: {}", done.stderr);
    done.stdout
}

/// What follows the prefix and the `@` of an address.
fn name(address: &str) -> &str {
    let (_, name) = address.split_once(':').unwrap();
    name.strip_prefix('@').unwrap_or(name)
}

/// The address of a UDP server that was told to listen on port 0, or of another one at `word`.
fn address(place: &Place, word: &str, server: &Process) -> String {
    if !place.is_network() {
        return word.to_owned();
    }
    let ports = udp_ports(server.pid());
    let [port] = ports[..] else {
        panic!("one port, not {ports:?}")
    };
    format!("{}{port}", word.strip_suffix('0').unwrap())
}

/// Without it, socat receives at most 8192 bytes of a message, and drops the others.
const SOCAT_ROOM: [&str; 2] = ["-b", "65536"];

/// The words of socat for a client of a server at `address`, which has a name to be answered to.
fn socat_clients(place: &Place, address: &str) -> Vec<String> {
    let to = name(address);
    let scheme = match place.kind() {
        Kind::Inet => return vec![format!("UDP4-SENDTO:{to}"), format!("UDP4-CONNECT:{to}")],
        Kind::Inet6 => return vec![format!("UDP6-SENDTO:{to}"), format!("UDP6-CONNECT:{to}")],
        Kind::Unix => "UNIX",
        Kind::Abstract => "ABSTRACT",
    };
    if place.has_connection() {
        return vec![format!("{scheme}-CONNECT:{to},type=5")];
    }
    let with_own = |word: String| format!("{word},bind={}", name(&place.word()));
    vec![
        with_own(format!("{scheme}-SENDTO:{to}")),
        with_own(format!("{scheme}-CONNECT:{to},type=2")),
    ]
}

messages!(socat_sends_messages_and_gets_the_answers, |place| {
    if !require_peer("socat") {
        return;
    }
    let echo = Server::start(place, &[]);
    let suffix = Server::start(place, &["--suffix", "!"]);
    for size in SIZES {
        let data = noise(size);
        let file = place.file("data", &data);
        let from = format!("OPEN:{},rdonly!!STDOUT", file.display());
        // At the end of its input it sends an empty message, and it ends with an empty one.
        for to in socat_clients(place, echo.address()) {
            let to = format!("{to},shut-null,null-eof");
            let arguments = [&SOCAT_ROOM[..], &["-t", "60", &from, &to]].concat();
            assert_same(&client("socat", &arguments), &data);
        }
        // It sends no other empty message.
        for to in socat_clients(place, suffix.address()) {
            if size > 0 {
                let arguments = [&SOCAT_ROOM[..], &["-t", "60", &from, &to]].concat();
                let socat = start("socat", &arguments);
                let got = socat.stdout().wait_for_bytes(size + 1);
                assert_same(&got, &[&data[..], b"!"].concat());
            }
        }
    }
});

/// The words of socat for servers of a place, each with the address to listen on.
fn socat_servers(place: &Place) -> Vec<(String, String)> {
    let word = place.word();
    let scheme = match place.kind() {
        Kind::Inet => "UDP4",
        Kind::Inet6 => "UDP6",
        Kind::Unix => "UNIX",
        Kind::Abstract => "ABSTRACT",
    };
    if place.is_network() {
        let host = name(&word).strip_suffix(":0").unwrap();
        let listen = |how| format!("{scheme}-{how}:0,bind={host}");
        return vec![
            (listen("RECVFROM") + ",fork", word.clone()),
            (listen("LISTEN"), word.clone()),
        ];
    }
    let server = match place.has_connection() {
        true => format!("{scheme}-LISTEN:{},type=5,fork", name(&word)),
        false => format!("{scheme}-RECVFROM:{},fork", name(&word)),
    };
    vec![(server, word)]
}

messages!(socat_answers_call_and_connect, |place| {
    if !require_peer("socat") {
        return;
    }
    for (listen, word) in socat_servers(place) {
        // Two -d: it reports when it listens.
        let options = ["-d", "-d", "-t", "60", &listen, "PIPE"];
        let socat = start("socat", &[&SOCAT_ROOM[..], &options].concat());
        socat.stderr().wait_for("ing on ");
        let address = address(place, &word, &socat);
        if listen.ends_with(",fork") {
            // It takes an empty message for the end.
            for size in &SIZES[1..] {
                let data = noise(*size);
                let done = sok_with(&["call", &address], &data);
                assert_eq!(done.code, 0, "{}", done.stderr);
                assert_same(&done.stdout, &[&data[..], b"\n"].concat());
            }
        }
        let mut client = Process::sok(&["connect", &address]);
        for line in ["one\n", "two\n", "three\n"] {
            client.write(line.as_bytes());
            client.stdout().wait_for(line);
        }
        client.close_stdin();
        if place.has_connection() {
            assert_eq!(client.wait(), 0, "{}", client.said());
        }
    }
});

/// The options of ncat for a place; it has no abstract names.
fn ncat_words(place: &Place, address: &str) -> Option<Vec<String>> {
    let (host, port) = name(address).rsplit_once(':').unwrap_or_default();
    let words = match place.kind() {
        Kind::Inet => vec!["-u", "-4", host, port],
        Kind::Inet6 => vec!["-u", "-6", host.trim_matches(['[', ']']), port],
        Kind::Unix => vec!["-u", "-U", name(address)],
        Kind::Abstract => return None,
    };
    Some(words.into_iter().map(str::to_owned).collect())
}

datagrams!(ncat_sends_datagrams_and_gets_the_answers, |place| {
    if !require_peer("ncat") {
        return;
    }
    let server = Server::start(place, &["--suffix", "!"]);
    if let Some(words) = ncat_words(place, server.address()) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut ncat = start("ncat", &words);
        for line in ["one\n", "two\n"] {
            ncat.write(line.as_bytes());
            ncat.stdout().wait_for(&format!("{line}!"));
        }
    }
});

datagrams!(ncat_answers_a_call, |place| {
    if !require_peer("ncat") {
        return;
    }
    let word = place.word();
    if let Some(words) = ncat_words(place, &word) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let options = ["-v", "-l", "-e", "/bin/cat"];
        let ncat = start("ncat", &[&options[..], &words].concat());
        ncat.stderr().wait_for("Listening on ");
        let done = sok(&["call", &address(place, &word, &ncat), "hello"]);
        assert_eq!(
            (done.code, &*done.text()),
            (0, "hello\n"),
            "{}",
            done.stderr
        );
    }
});

/// An address as a Python expression.
fn python_address(place: &Place, address: &str) -> String {
    let name = name(address);
    match place.kind() {
        Kind::Inet | Kind::Inet6 => {
            let (host, port) = name.rsplit_once(':').unwrap();
            format!("('{}', {port})", host.trim_matches(['[', ']']))
        }
        Kind::Unix => format!("'{name}'"),
        Kind::Abstract => format!("'\\0{name}'"),
    }
}

messages!(python_sends_messages_and_gets_the_answers, |place| {
    if !require_peer("python3") {
        return;
    }
    let server = Server::start(place, &["--suffix", "!"]);
    let family = match place.kind() {
        Kind::Inet => "AF_INET",
        Kind::Inet6 => "AF_INET6",
        Kind::Unix | Kind::Abstract => "AF_UNIX",
    };
    let (kind, bind) = match place.has_connection() {
        true => ("SOCK_SEQPACKET", ""),
        // The kernel chooses a name, which the answer needs.
        false if !place.is_network() => ("SOCK_DGRAM", "s.bind('')"),
        false => ("SOCK_DGRAM", ""),
    };
    let program = format!(
        "import socket
s = socket.socket(socket.{family}, socket.{kind})
s.settimeout(60)
{bind}
s.connect({})
for size in {SIZES:?}:
    s.send(b'x' * size)
    print(s.recv(1 << 20) == b'x' * size + b'!')",
        python_address(place, server.address())
    );
    let said = client("python3", &["-c", &program]);
    assert_eq!(String::from_utf8_lossy(&said), "True\n".repeat(SIZES.len()));
});

datagrams!(a_socketserver_of_python_answers_call_and_connect, |place| {
    if !require_peer("python3") {
        return;
    }
    let word = place.word();
    let class = match place.is_network() {
        true => "ThreadingUDPServer",
        false => "UnixDatagramServer",
    };
    // Its default of max_packet_size cuts a message at 8192 bytes.
    let program = format!(
        "import socket, socketserver
class Upper(socketserver.BaseRequestHandler):
    def handle(self):
        message, sock = self.request
        sock.sendto(message.upper(), self.client_address)
class Server(socketserver.{class}):
    max_packet_size = 1 << 20
if {}:
    Server.address_family = socket.AF_INET6
server = Server({}, Upper)
print('ready', flush=True)
server.serve_forever()",
        if place.kind() == Kind::Inet6 {
            "True"
        } else {
            "False"
        },
        python_address(place, &word)
    );
    let python = start("python3", &["-c", &program]);
    python.stdout().wait_for("ready");
    let address = address(place, &word, &python);
    for size in SIZES {
        let done = sok_with(&["call", &address], "x".repeat(size).as_bytes());
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_same(&done.stdout, format!("{}\n", "X".repeat(size)).as_bytes());
    }
    let mut client = Process::sok(&["connect", &address]);
    for (line, answer) in [("one\n", "ONE\n"), ("two\n", "TWO\n")] {
        client.write(line.as_bytes());
        client.stdout().wait_for(answer);
    }
});
