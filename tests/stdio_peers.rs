//! nc, ncat and socat at the other end of the standard streams, in either role: what their own tests
//! ask for.

use std::process::Command;
use std::thread;

use crate::support::{Kind, Place, Process, RawStream, Server, assert_same, noise, require_peer};

/// What follows the prefix: a path, or `@` and a name.
fn name(address: &str) -> &str {
    address.split_once(':').unwrap().1
}

/// The host and the port of a network address.
fn host_and_port(address: &str) -> [&str; 2] {
    let (host, port) = name(address).rsplit_once(':').unwrap();
    [host.trim_matches(['[', ']']), port]
}

/// The words of a client, if the program knows the kind of address.
fn client_words(program: &str, place: &Place, address: &str) -> Option<Vec<String>> {
    let datagram = !place.has_connection();
    let words: Vec<&str> = match (program, place.kind()) {
        ("nc", Kind::Inet | Kind::Inet6) => {
            let [host, port] = host_and_port(address);
            vec![if datagram { "-u" } else { "-N" }, host, port]
        }
        ("nc", _) if !datagram => vec!["-N", "-U", name(address)],
        ("ncat", Kind::Inet | Kind::Inet6) => {
            let [host, port] = host_and_port(address);
            let mut words = vec![host, port];
            words.extend(datagram.then_some("-u"));
            words
        }
        ("ncat", Kind::Unix) if !datagram => vec!["-U", name(address)],
        ("socat", _) => {
            let to = match (place.kind(), datagram) {
                (Kind::Inet, false) => format!("TCP4:{}", name(address)),
                (Kind::Inet, true) => format!("UDP4:{}", name(address)),
                (Kind::Inet6, false) => format!("TCP6:{}", name(address)),
                (Kind::Inet6, true) => format!("UDP6:{}", name(address)),
                (Kind::Unix, false) => format!("UNIX-CONNECT:{}", name(address)),
                (Kind::Abstract, false) => format!("ABSTRACT-CONNECT:{}", &name(address)[1..]),
                _ => return None,
            };
            return Some(["-t", "60", "-", &to].map(str::to_owned).to_vec());
        }
        _ => return None,
    };
    Some(words.into_iter().map(str::to_owned).collect())
}

fn spawn(program: &str, words: &[String]) -> Process {
    let mut command = Command::new(program);
    command.args(words);
    Process::spawn(command)
}

/// Runs `body` with each program that knows the kind of address, and a server on the standard streams.
fn with_clients(place: &Place, options: &[&str], body: impl Fn(&str, Server, Process)) {
    for program in ["nc", "ncat", "socat"] {
        if !require_peer(program) {
            continue;
        }
        let server = Server::start(place, &[&["--stdio"], options].concat());
        if let Some(words) = client_words(program, place, server.address()) {
            let client = spawn(program, &words);
            body(program, server, client);
        }
    }
}

families!(a_client_sends_a_file_to_it, |place| {
    let data = noise(2 << 20);
    with_clients(place, &[], |program, server, client| {
        let sent = client.feed(&data);
        let done = server.into_process().done();
        assert_eq!((sent.code, done.code), (0, 0), "{program}: {}", done.stderr);
        assert_same(&done.stdout, &data);
    });
});

families!(it_sends_a_file_to_a_client, |place| {
    let data = noise(2 << 20);
    with_clients(place, &[], |program, server, client| {
        let receiving = thread::spawn(|| client.done());
        let done = server.into_process().feed(&data);
        let got = receiving.join().unwrap();
        assert_eq!((got.code, done.code), (0, 0), "{program}: {}", done.stderr);
        assert_same(&got.stdout, &data);
    });
});

families!(it_holds_a_dialogue_with_a_client, |place| {
    with_clients(place, &[], |_, mut server, mut client| {
        for round in 0..3 {
            let (there, back) = (format!("there {round}\n"), format!("back {round}\n"));
            client.write(there.as_bytes());
            server.stdout().wait_for(&there);
            server.write(back.as_bytes());
            client.stdout().wait_for(&back);
        }
        client.close_stdin();
        assert_eq!(server.wait(), 0);
        assert_eq!(client.wait(), 0);
    });
});

datagrams!(it_answers_a_client_that_sends_datagrams, |place| {
    with_clients(place, &[], |_, mut server, mut client| {
        for round in 0..3 {
            let (there, back) = (format!("there {round}\n"), format!("back {round}\n"));
            client.write(there.as_bytes());
            server.stdout().wait_for(&there);
            server.write(back.as_bytes());
            client.stdout().wait_for(back.trim_end());
        }
    });
});

/// A listener of another program, once it listens; its address is free before.
fn listening(program: &str, place: &Place, options: &[&str]) -> Option<(Process, String)> {
    let nobody = place.nobody();
    let address = nobody.address;
    let listener = match place.kind() {
        Kind::Inet | Kind::Inet6 => {
            let [host, port] = host_and_port(&address);
            match program {
                "nc" => ["-l", host, port].map(str::to_owned).to_vec(),
                "ncat" => ["-l", host, port].map(str::to_owned).to_vec(),
                _ => {
                    let number = if place.kind() == Kind::Inet { 4 } else { 6 };
                    let host = name(&address).rsplit_once(':').unwrap().0;
                    let at = format!("TCP{number}-LISTEN:{port},bind={host},reuseaddr");
                    ["-t", "60", "-", &at].map(str::to_owned).to_vec()
                }
            }
        }
        Kind::Unix => match program {
            "socat" => {
                let at = format!("UNIX-LISTEN:{}", name(&address));
                ["-t", "60", "-", &at].map(str::to_owned).to_vec()
            }
            _ => ["-l", "-U", name(&address)].map(str::to_owned).to_vec(),
        },
        Kind::Abstract => match program {
            "socat" => {
                let at = format!("ABSTRACT-LISTEN:{}", &name(&address)[1..]);
                ["-t", "60", "-", &at].map(str::to_owned).to_vec()
            }
            _ => return None,
        },
    };
    let words = [
        &options
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>(),
        &listener[..],
    ]
    .concat();
    Some((spawn(program, &words), address))
}

families!(it_is_a_client_of_another_listener, |place| {
    let data = noise(2 << 20);
    for (program, options) in [("nc", &["-N"][..]), ("ncat", &[]), ("socat", &[])] {
        if !require_peer(program) {
            continue;
        }
        let listener = || listening(program, place, options);
        let client = |address: &str| Process::sok(&["connect", address, "--retry-for", "60s"]);
        // To it: the peer stays until its input ends.
        let Some((mut peer, address)) = listener() else {
            continue;
        };
        let mut sender = client(&address);
        sender.write(&data);
        sender.close_stdin();
        assert_same(&peer.stdout().wait_for_bytes(data.len()), &data);
        peer.close_stdin();
        assert_eq!(sender.wait(), 0, "{program}: {}", sender.stderr().text());
        // From it: nc ends when its peer half-closes, so that one waits for its end.
        let (peer, address) = listener().unwrap();
        let receiver = client(&address);
        peer.feed(&data);
        assert_eq!(
            receiver.wait(),
            0,
            "{program}: {}",
            receiver.stderr().text()
        );
        assert_same(&receiver.stdout().wait_closed(), &data);
    }
});

families!(
    a_second_client_of_nc_is_refused_as_one_of_its_own,
    |place| {
        with_clients(place, &[], |program, mut server, mut client| {
            client.write(b"first\n");
            server.stdout().wait_for("first\n");
            let words = client_words(program, place, server.address()).unwrap();
            let second = spawn(program, &words).done();
            assert_ne!(second.code, 0, "{program}: {}", second.stderr);
            server.write(b"reply\n");
            client.stdout().wait_for("reply\n");
        });
    }
);

families!(a_client_of_each_program_writes_to_a_log, |place| {
    let options = ["--keep-open", "--receive-only"];
    let server = Server::start(place, &[&["--stdio"], &options[..]].concat());
    let mut log = String::new();
    for program in ["nc", "ncat", "socat"] {
        if !require_peer(program) {
            continue;
        }
        let Some(words) = client_words(program, place, server.address()) else {
            continue;
        };
        let line = format!("from {program}\n");
        let done = spawn(program, &words).feed(line.as_bytes());
        assert_eq!(done.code, 0, "{program}: {}", done.stderr);
        log += &line;
        server.stdout().wait_for(&log);
    }
    server.terminate();
    assert_eq!(server.wait(), 0);
    assert_eq!(server.stdout().text(), log);
});

families!(what_tar_reads_ends_with_the_client, |place| {
    // As in `nc -l | tar x`.
    let script = r#""$SOK" serve "$1" --stdio | cat; echo "code $?""#;
    let mut process = Process::sh(script, &[&place.word()]);
    let mut client = RawStream::connect(&Server::address_of(&process));
    client.send(b"archive\n");
    client.finish();
    process.stdout().wait_for("archive\ncode 0\n");
    process.stdin();
});
