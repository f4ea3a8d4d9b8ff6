//! `sok relay LISTEN TARGET…`: the targets in order, and what happens when one fails.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::support::{
    Form, Kind, LIMIT, Place, Process, RawListener, RawMessages, RawStream, Server, run, sok,
};

/// A relay from a fresh address of `place` to `targets`.
fn relay(place: &Place, targets: &[&str], options: &[&str]) -> Server {
    let word = place.word();
    Server::of(Process::sok(
        &[&["relay", &word], targets, options].concat(),
    ))
}

/// A server that adds its `name` to each message.
fn named(place: &Place, name: &str) -> Server {
    Server::start(place, &["--suffix", name])
}

/// A client that has sent a message.
enum Asking {
    Bytes(RawStream),
    Messages(RawMessages),
}

impl Asking {
    fn begin(place: &Place, address: &str) -> io::Result<Self> {
        if place.keeps_messages() {
            let client = RawMessages::try_connect(address)?;
            client.try_send(b"hello")?;
            return Ok(Self::Messages(client));
        }
        let client = RawStream::try_connect(address)?;
        client.socket().send(b"hello")?;
        // It may have been reset.
        let _ = client.socket().shutdown(Shutdown::Write);
        Ok(Self::Bytes(client))
    }

    fn answer(self) -> io::Result<String> {
        let answer = match self {
            Self::Bytes(mut client) => client.try_rest()?,
            Self::Messages(client) => {
                let answer = client.try_receive()?;
                answer.ok_or(io::ErrorKind::UnexpectedEof)?
            }
        };
        Ok(String::from_utf8(answer).unwrap())
    }
}

/// What a fresh client of a relay on `place` is answered.
fn ask(place: &Place, relay: &Server) -> io::Result<String> {
    Asking::begin(place, relay.address())?.answer()
}

/// Asks until the first target answers; meanwhile the second does.
fn ask_until_the_first_answers(place: &Place, relay: &Server) {
    let end = Instant::now() + LIMIT;
    loop {
        match &*ask(place, relay).unwrap() {
            "hello1" => return,
            "hello2" => assert!(Instant::now() < end, "{}", relay.stderr().text()),
            other => panic!("{other:?}"),
        }
    }
}

/// Whether a connect of this form shows that no server is there. UDP shows it only when a datagram
/// has been refused.
fn connect_tells(place: &Place) -> bool {
    place.has_connection() || !place.is_network()
}

/// Lets one session of UDP fail at a target that is not there.
fn lose_one(place: &Place, relay: &Server, failures: usize) {
    if !connect_tells(place) {
        RawMessages::connect(relay.address()).send(b"lost");
        relay.stderr().wait_for_count(" failed ", failures);
    }
}

forms!(
    a_client_gets_the_second_target_if_the_first_is_dead,
    |place| {
        let (first, second) = (place.nobody(), named(place, "2"));
        let targets = [&*first.address, second.address()];
        let relay = relay(place, &targets, &["--retry-after", "1h", "-v"]);
        lose_one(place, &relay, 1);
        for _ in 0..10 {
            assert_eq!(ask(place, &relay).unwrap(), "hello2");
        }
        relay.terminate();
        // Reported once, however many clients it could not serve.
        let said = relay.said();
        assert_eq!(
            said.matches("warning: target left out").count(),
            1,
            "{said}"
        );
        let line = said.lines().find(|line| line.contains("left out")).unwrap();
        assert!(line.contains(&first.address), "{line}");
        assert_eq!(relay.wait(), 0);
    }
);

forms!(the_first_target_is_used_while_it_accepts, |place| {
    let (first, second) = (named(place, "1"), named(place, "2"));
    let relay = relay(place, &[first.address(), second.address()], &[]);
    for _ in 0..10 {
        assert_eq!(ask(place, &relay).unwrap(), "hello1");
    }
});

forms!(a_first_target_that_comes_back_is_used_again, |place| {
    let (first, second) = (place.nobody(), named(place, "2"));
    let (target, nobody) = (first.address.clone(), first);
    let options = ["--retry-after", "10ms", "-v"];
    let relay = relay(place, &[&target, second.address()], &options);
    lose_one(place, &relay, 1);
    if connect_tells(place) {
        // Each try of UDP loses a datagram.
        assert_eq!(ask(place, &relay).unwrap(), "hello2");
    }
    drop(nobody);
    let _first = Server::at(&target, &["--suffix", "1"]);
    ask_until_the_first_answers(place, &relay);
    if connect_tells(place) {
        relay.stderr().wait_for("target accepts again target=");
    }
    // It stays the first.
    for _ in 0..10 {
        assert_eq!(ask(place, &relay).unwrap(), "hello1");
    }
});

families!(the_targets_may_be_of_any_families, |place| {
    for (first, second) in Kind::ALL
        .iter()
        .flat_map(|one| Kind::ALL.map(|other| (*one, other)))
    {
        run(first, |far| {
            run(second, |backup| {
                let (nobody, second) = (far.nobody(), named(backup, "2"));
                let relay = relay(place, &[&nobody.address, second.address()], &[]);
                assert_eq!(ask(place, &relay).unwrap(), "hello2");
            });
        });
    }
});

families!(the_targets_may_be_of_any_types, |place| {
    for form in Form::all() {
        run(form, |far| {
            if far.keeps_messages() != place.keeps_messages() {
                let (nobody, second) = (place.nobody(), named(far, "2"));
                let options = ["--framing", "line", "--half-close-timeout", "100ms"];
                let relay = relay(place, &[&nobody.address, second.address()], &options);
                let mut client = RawStream::connect(relay.address());
                client.send(b"hello\n");
                assert_eq!(client.line(), "hello2\n");
            }
        });
    }
});

families!(a_silent_first_target_delays_one_client, |place| {
    let full = RawListener::with_backlog(place, 0);
    let _waiting = RawStream::connect(full.address());
    let second = named(place, "2");
    let options = ["--connect-timeout", "100ms", "--retry-after", "1h"];
    let options = [&options[..], &["--trace"]].concat();
    let relay = relay(place, &[full.address(), second.address()], &options);
    for _ in 0..10 {
        assert_eq!(ask(place, &relay).unwrap(), "hello2");
    }
    let said = relay.stderr().text();
    // A full backlog of AF_UNIX is one line more.
    let failed = format!("{}) = -1 ", full.address());
    let timed_out = said.lines().filter(|line| line.contains(&failed));
    let timed_out = timed_out.filter(|line| !line.contains("EAGAIN"));
    assert_eq!(timed_out.count(), 1, "{said}");
    assert!(said.contains("target left out"), "{said}");
});

families!(a_silent_target_has_a_limit_by_default, |place| {
    let full = RawListener::with_backlog(place, 0);
    let _waiting = RawStream::connect(full.address());
    let second = named(place, "2");
    let relay = relay(place, &[full.address(), second.address()], &[]);
    assert_eq!(ask(place, &relay).unwrap(), "hello2");
});

/// Forms whose connect tells that no server is there.
macro_rules! told {
    ($fact:ident, |$place:ident| $body:block) => {
        forms!($fact, |$place| {
            if connect_tells($place) {
                $body
            }
        });
    };
}

told!(a_client_fails_only_when_each_target_has, |place| {
    let (first, second) = (place.nobody(), place.nobody());
    let targets = [&*first.address, &*second.address];
    let relay = relay(
        place,
        &targets,
        &["--exit-after", "2", "--retry-after", "1h"],
    );
    for count in 1..=2 {
        let client = Asking::begin(place, relay.address());
        if place.has_connection() {
            // Where the family has no reset, the bytes that were left unread make it an error.
            assert!(client.and_then(Asking::answer).is_err());
        }
        let said = relay.stderr().wait_for_count(" failed connection=", count);
        let line = said
            .lines()
            .rfind(|line| line.contains(" failed "))
            .unwrap();
        // The second client too tries both, though both are left out.
        let both = format!("connect {} {}: ", first.address, second.address);
        for part in [
            &both,
            &format!("{}: ", first.address),
            &format!(", {}: ", second.address),
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    assert_eq!(relay.wait(), 3, "{}", relay.said());
});

told!(a_client_waits_until_one_of_the_targets_comes, |place| {
    for late in [0, 1] {
        let nobodies = [place.nobody(), place.nobody()];
        let addresses = nobodies.each_ref().map(|nobody| nobody.address.clone());
        let options = ["--retry-for", "1h", "--trace"];
        let relay = relay(place, &[&addresses[0], &addresses[1]], &options);
        let client = Asking::begin(place, relay.address()).unwrap();
        for nobody in &addresses {
            relay.stderr().wait_for(&format!("{nobody}) = -1 "));
        }
        drop(nobodies);
        let _server = Server::at(&addresses[late], &["--suffix", "!"]);
        assert_eq!(client.answer().unwrap(), "hello!");
    }
});

families!(
    a_target_that_dies_under_load_loses_only_its_own_clients,
    |place| {
        let (first, second) = (named(place, "1"), named(place, "2"));
        let options = ["--json", "-v", "--retry-after", "10ms"];
        let relay = relay(place, &[first.address(), second.address()], &options);
        let (address, served) = (relay.address(), AtomicUsize::new(0));
        let has_reset = place.is_network();
        let serve = |count: usize| {
            let client = || RawStream::try_connect(address)?.try_exchange(b"hello");
            (0..count)
                .filter(|_| match client() {
                    // The end of a process that is killed: a family without a reset has no other.
                    Ok(answer) if answer.is_empty() && !has_reset => true,
                    Ok(answer) => {
                        served.fetch_add(1, Ordering::Relaxed);
                        assert!(
                            [&b"hello1"[..], b"hello2"].contains(&&*answer),
                            "{answer:?}"
                        );
                        false
                    }
                    Err(error) => {
                        assert!(RawStream::is_broken(&error), "{error}");
                        true
                    }
                })
                .count()
        };
        let lost: usize = thread::scope(|scope| {
            let clients = [(); 4].map(|()| scope.spawn(|| serve(200)));
            while served.load(Ordering::Relaxed) < 100 {
                thread::yield_now();
            }
            first.signal(Signal::SIGKILL);
            first.wait();
            // From now on, each client finds that nobody has the address.
            assert_eq!(serve(200), 0);
            clients
                .into_iter()
                .map(|client| client.join().unwrap())
                .sum()
        });
        relay.terminate();
        assert_eq!(relay.wait(), 0);
        // Those that were lost had been connected to the first target.
        let said = relay.said();
        let failed = said.lines().filter(|line| line.contains("\"failed\""));
        let failed: Vec<serde_json::Value> = failed
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(!has_reset || lost <= failed.len(), "{lost} lost\n{said}");
        for event in failed {
            assert_eq!(event["forwarded_to"], first.address(), "{event}");
        }
    }
);

#[test]
fn targets_that_no_client_can_get_are_refused_at_the_start() {
    run(Kind::Unix, |place| {
        let word = place.word();
        let own = ["--source", "./own.sock"];
        for (targets, options, why) in [
            (&["@one", "@one"][..], &[][..], "given twice"),
            (
                &["@one"],
                &["--retry-after", "1s"],
                "--retry-after applies only",
            ),
            (&["@one", "@two"], &["--retry-after", "0s"], "--retry-after"),
            (
                &["@one", "@two"],
                &["--retry-after", "soon"],
                "--retry-after",
            ),
            (&["@one", &word], &[], "the relay would connect to itself"),
            (&["@one", ":1"], &[], "the host is empty"),
            (&["@one", "inet:127.0.0.1:0"], &[], "port 0"),
            (&["@one", "tpc:x:1"], &[], "tpc"),
            (
                &["@one", "inet:127.0.0.1:1"],
                &own,
                "--source unix:./own.sock",
            ),
            (&["@one", "./own.sock"], &own, "the target's own address"),
            (&["@one", "unixpacket:@two"], &[], "--framing line"),
            (
                &["@one", "@two"],
                &["--framing", "line"],
                "--framing applies only",
            ),
            (
                &["@one", "localhost", "80"],
                &[],
                "one word: tcp:localhost:80",
            ),
            (&[], &[], "TARGET"),
        ] {
            let done = sok(&[&["relay", &word], targets, options].concat());
            assert_eq!(done.code, 2, "{targets:?}: {}", done.stderr);
            assert!(done.stderr.contains(why), "{targets:?}: {}", done.stderr);
            assert_eq!(place.listing(), [""; 0]);
        }
    });
}

#[test]
fn one_limit_of_time_is_shared_by_the_targets() {
    run(Kind::Unix, |place| {
        let full = RawListener::with_backlog(place, 0);
        let _waiting = RawStream::connect(full.address());
        let second = named(place, "2");
        // The first target would use it up.
        let options = ["--retry-for", "1s", "--connect-timeout", "1h"];
        let relay = relay(place, &[full.address(), second.address()], &options);
        assert_eq!(ask(place, &relay).unwrap(), "hello2");
    });
}
