//! `--allow`, `--deny`, `--rules` on every form of address: who is refused, and how.

use std::fs::{self, File};
use std::path::PathBuf;

use nix::sys::signal::Signal;
use nix::unistd::{Uid, geteuid};

use crate::support::{
    Client, Kind, LIMIT, Place, Process, RawListener, Server, open_descriptors, run, sok,
};

/// A rule that matches every client of a test on `place`.
pub(crate) fn ourselves(place: &Place) -> String {
    match place.kind() {
        Kind::Inet => "127.0.0.0/8".to_owned(),
        Kind::Inet6 => "::1".to_owned(),
        Kind::Unix | Kind::Abstract => format!("uid:{}", geteuid()),
    }
}

/// One that matches none of them.
pub(crate) fn others(place: &Place) -> String {
    match place.kind() {
        Kind::Inet => "10.0.0.0/8".to_owned(),
        Kind::Inet6 => "2001:db8::/32".to_owned(),
        Kind::Unix | Kind::Abstract => format!("uid:{}", geteuid().as_raw() + 1),
    }
}

/// A server with a file of rules.
struct Ruled {
    file: PathBuf,
    server: Server,
    reloads: usize,
}

impl Ruled {
    fn start(place: &Place, rules: &str, options: &[&str]) -> Self {
        let file = place.file("rules", rules);
        let path = file.to_str().unwrap().to_owned();
        let options = [&["-v", "--rules", &path], options].concat();
        let server = Server::start(place, &options);
        let reloads = 0;
        Self {
            file,
            server,
            reloads,
        }
    }

    /// Has it read other rules; returns once they decide.
    fn reload(&mut self, rules: &str) {
        fs::write(&self.file, rules).unwrap();
        self.server.signal(Signal::SIGHUP);
        self.reloads += 1;
        let log = self.server.stderr();
        log.wait_for_count("rules read again", self.reloads);
    }
}

/// Ends a server well, and returns what it said.
fn end(server: &Server) -> String {
    server.terminate();
    assert_eq!(server.wait(), 0, "{}", server.said());
    server.said()
}

forms!(
    a_denied_client_is_refused_before_anything_is_received,
    |place| {
        let rule = ourselves(place);
        let server = Server::start(place, &["-v", "--trace", "--deny", &rule]);
        Client::connect(server.address()).assert_refused();
        let log = server.stderr().wait_for(" refused ");
        let line = log.lines().find(|line| line.contains(" refused ")).unwrap();
        let peer = format!("sok: refused peer={}:", place.prefix());
        assert!(line.starts_with(&peer), "{line}");
        assert!(line.ends_with(&format!(" reason=deny {rule}")), "{line}");
        let names_the_user = line.contains(&format!(" uid={} ", geteuid()));
        assert_eq!(names_the_user, !place.is_network(), "{line}");
        server.signal(Signal::SIGUSR1);
        let totals = "totals connections=0 open=0 failed=0 refused=1 received=0 sent=0";
        server.stderr().wait_for(totals);
        let said = end(&server);
        assert!(!place.has_connection() || !said.contains(" recv"), "{said}");
        assert!(!said.contains(" connected "), "{said}");
    }
);

forms!(a_client_that_no_rule_allows_is_refused, |place| {
    let (own, other) = (ourselves(place), others(place));
    for (rules, is_served) in [
        (&["--allow", &*other][..], false),
        (&["--allow", &own], true),
        (&["--deny", &other], true),
        (&["--deny", &own], false),
        (&["--allow", &other, "--deny", &own], false),
        (&["--allow", &own, "--deny", "any"], true),
        (&["--deny", "any", "--allow", &own], false),
        (&["--deny", &other, "--allow", &own], true),
        (&["--deny", &other, "--allow", &other], false),
    ] {
        let server = Server::start(place, &[&["-v"], rules].concat());
        let client = Client::connect(server.address());
        assert_eq!(client.is_served(&server, 0), is_served, "{rules:?}");
        let reason = match rules[rules.len() - 2..] {
            ["--allow", rule] if rule == other => "reason=no rule allows it\n",
            _ => "reason=deny ",
        };
        if !is_served {
            server.stderr().wait_for(reason);
        }
    }
});

forms!(a_refused_client_counts_for_no_limit, |place| {
    let own = ourselves(place);
    let mut ruled = Ruled::start(place, "deny any", &["--once", "--max-connections", "1"]);
    for count in 1..=3 {
        Client::connect(ruled.server.address()).assert_refused();
        ruled.server.stderr().wait_for_count(" refused ", count);
    }
    ruled.reload(&format!("allow {own}\n"));
    let client = Client::connect(ruled.server.address());
    client.assert_echoed(b"hello");
    drop(client);
    if !place.has_connection() {
        // Nothing ends a session but time.
        return;
    }
    assert_eq!(ruled.server.wait(), 0, "{}", ruled.server.said());
});

forms!(
    sighup_reads_the_rules_again_and_open_connections_stay,
    |place| {
        let own = ourselves(place);
        let mut ruled = Ruled::start(place, "# everyone\n", &[]);
        let stays = Client::connect(ruled.server.address());
        stays.assert_echoed(b"before");
        ruled.reload(&format!("deny {own} # us\n\nallow any\n"));
        let log = ruled.server.stderr().text();
        assert!(log.contains("rules read again file="), "{log}");
        assert!(log.contains(" rules=2\n"), "{log}");
        stays.assert_echoed(b"after");
        Client::connect(ruled.server.address()).assert_refused();
        ruled
            .server
            .stderr()
            .wait_for(&format!("reason=deny {own}"));
        ruled.reload("allow any\n");
        Client::connect(ruled.server.address()).assert_echoed(b"again");
        stays.assert_echoed(b"still");
        drop(stays);
        end(&ruled.server);
    }
);

forms!(a_wrong_file_leaves_the_rules_as_they_were, |place| {
    let own = ourselves(place);
    let unfit = match place.is_network() {
        true => "deny uid:0",
        false => "deny 10.0.0.0/8",
    };
    let ruled = Ruled::start(place, &format!("deny {own}\n"), &[]);
    let path = ruled.file.display().to_string();
    let wrong = [
        (
            "allow any\nalow any\n",
            ":2: \"alow\" is neither allow nor deny",
        ),
        (
            "allow 10.0.0.1/8",
            ":1: 10.0.0.1/8: 10.0.0.1 has bits after the first 8",
        ),
        (
            "\n\nallow uid:no-such-user\n",
            ":3: uid:no-such-user: no such user",
        ),
        (unfit, ":1: deny "),
    ];
    for (count, (text, why)) in (1..).zip(wrong) {
        fs::write(&ruled.file, text).unwrap();
        ruled.server.signal(Signal::SIGHUP);
        let log = ruled.server.stderr();
        log.wait_for_count("warning: the rules stay as they were error=rules ", count);
        log.wait_for(&format!("{path}{why}"));
    }
    fs::remove_file(&ruled.file).unwrap();
    ruled.server.signal(Signal::SIGHUP);
    let missing = format!("error=rules {path}: No such file or directory");
    ruled.server.stderr().wait_for(&missing);
    Client::connect(ruled.server.address()).assert_refused();
    ruled
        .server
        .stderr()
        .wait_for(&format!("reason=deny {own}"));
});

forms!(
    the_rules_of_options_come_before_those_of_the_file,
    |place| {
        let own = ourselves(place);
        let file = place.file("rules", format!("deny {own}\n"));
        let path = file.to_str().unwrap();
        for (options, is_served) in [
            (["-v", "--allow", &*own, "--rules", path], true),
            (["-v", "--rules", path, "--allow", &own], true),
            (["-v", "--allow", &others(place), "--rules", path], false),
        ] {
            let server = Server::start(place, &options);
            let client = Client::connect(server.address());
            assert_eq!(client.is_served(&server, 0), is_served, "{options:?}");
        }
    }
);

forms!(a_relay_refuses_before_it_connects_to_its_target, |place| {
    let target = Server::start(place, &["-v"]);
    let own = ourselves(place);
    let far = Place::new(place.form());
    let file = far.file("rules", format!("deny {own}\n"));
    let arguments = ["relay", &*far.word(), target.address(), "-v", "--rules"];
    let arguments = [&arguments[..], &[file.to_str().unwrap()]].concat();
    let relay = Server::of(Process::sok(&arguments));
    Client::connect(relay.address()).assert_refused();
    relay.stderr().wait_for(" refused ");
    fs::write(&file, format!("allow {own}\n")).unwrap();
    relay.signal(Signal::SIGHUP);
    relay.stderr().wait_for("rules read again");
    Client::connect(relay.address()).assert_echoed(b"hello");
    let log = target.stderr().wait_for(" connected ");
    assert_eq!(log.matches(" connected ").count(), 1, "{log}");
});

families!(sighup_reads_the_rules_and_reopens_the_dump, |place| {
    let target = Server::start(place, &[]);
    let far = Place::new(place.kind());
    let (file, dump) = (far.file("rules", "deny any\n"), far.path("dump"));
    let words = [far.word(), target.address().to_owned(), "-v".to_owned()];
    let options = [
        "--rules",
        file.to_str().unwrap(),
        "--dump",
        dump.to_str().unwrap(),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let relay = Server::of(Process::sok(&[&["relay"], &words[..], &options].concat()));
    let moved = far.path("dump.1");
    fs::rename(&dump, &moved).unwrap();
    fs::write(&file, "allow any\n").unwrap();
    relay.signal(Signal::SIGHUP);
    relay.stderr().wait_for("rules read again");
    Client::connect(relay.address()).assert_echoed(b"hello");
    let said = end(&relay);
    let dumped = fs::read_to_string(&dump).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(dumped.contains("hello"), "{dumped}");
    assert_eq!(fs::read(&moved).unwrap(), b"");
});

families!(
    refused_clients_that_are_silent_take_few_descriptors,
    |place| {
        let mut ruled = Ruled::start(place, "deny any\n", &["--max-connections", "2"]);
        let before = open_descriptors(&ruled.server);
        let silent: Vec<Client> = (0..200)
            .map(|_| Client::connect(ruled.server.address()))
            .collect();
        // It accepts in turn, so all of these have been refused when it refuses another one.
        Client::connect(ruled.server.address()).assert_refused();
        ruled.reload(&format!("allow {}\n", ourselves(place)));
        let client = Client::connect(ruled.server.address());
        client.assert_echoed(b"hello");
        let now = open_descriptors(&ruled.server);
        assert!(now <= before + 1 + 32, "{before} and then {now}");
        ruled.server.signal(Signal::SIGUSR1);
        ruled.server.stderr().wait_for("totals connections=1 ");
        drop(silent);
    }
);

forms!(
    a_flood_of_refused_clients_is_counted_and_logged_in_part,
    |place| {
        let mut ruled = Ruled::start(place, "deny any\n", &[]);
        let flood = 300;
        for _ in 0..flood {
            Client::connect(ruled.server.address()).assert_refused();
        }
        ruled.reload("allow any\n");
        Client::connect(ruled.server.address()).assert_echoed(b"hello");
        ruled.server.signal(Signal::SIGUSR1);
        // UDP drops what the socket has no room for.
        let at_least = |log: &str| {
            let refused = log.split(" refused=").nth(1);
            let refused = refused.and_then(|rest| rest.split(' ').next()?.parse().ok());
            refused.is_some_and(|count: usize| count > 0 && count <= flood)
        };
        let log = ruled.server.stderr().wait_until("the totals", at_least);
        if place.has_connection() {
            assert!(log.contains(&format!(" refused={flood} ")), "{log}");
        }
        assert!(log.matches("sok: refused ").count() < flood, "{log}");
    }
);

#[test]
fn refused_datagrams_end_no_session_of_others() {
    for kind in [Kind::Inet, Kind::Inet6] {
        let form = kind.with_type(sok::address::SocketType::Datagram);
        run(form, |place| {
            let mut ruled = Ruled::start(place, "allow any\n", &["--max-connections", "2"]);
            let sessions = [(); 2].map(|()| Client::connect(ruled.server.address()));
            sessions.iter().for_each(|one| one.assert_echoed(b"begin"));
            ruled.reload("deny any\n");
            for _ in 0..20 {
                Client::connect(ruled.server.address()).assert_refused();
                sessions
                    .iter()
                    .for_each(|one| one.assert_echoed(b"goes on"));
            }
            let log = ruled.server.stderr().text();
            assert!(!log.contains(" ended "), "{log}");
        });
    }
}

families!(rules_that_change_under_load_lose_no_client, |place| {
    let own = ourselves(place);
    let lists = [
        format!("allow {own}\n"),
        format!("deny {}\nallow {own}\n", others(place)),
        "# none\n".to_owned(),
    ];
    let mut ruled = Ruled::start(place, &lists[0], &["--threads", "2"]);
    let address = ruled.server.address().to_owned();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..100 {
                        Client::connect(&address).assert_echoed(b"under load");
                    }
                })
            })
            .collect();
        let mut turn = 0;
        while !clients
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            turn += 1;
            ruled.reload(&lists[turn % lists.len()]);
        }
        assert!(turn > 1, "the rules changed only {turn} times");
    });
    let said = end(&ruled.server);
    assert!(
        !said.contains(" refused ") && !said.contains(" failed "),
        "{said}"
    );
});

#[test]
fn refused_clients_of_one_listener_do_not_delay_those_of_another() {
    run(Kind::Inet, a_listener_beside_a_refusing_one);
    run(Kind::Inet6, a_listener_beside_a_refusing_one);
}

fn a_listener_beside_a_refusing_one(place: &Place) {
    let (local, target) = (Place::new(Kind::Abstract).word(), Server::start(place, &[]));
    let listens = [&*place.word(), target.address(), "--listen", &local];
    // Local clients match no rule of an address.
    let options = ["-v", "--trace", "--deny", &ourselves(place)];
    let relay = Server::of(Process::sok(&[&["relay"], &listens[..], &options].concat()));
    relay.stderr().wait_for(&format!("listening on {local}"));
    relay.signal(Signal::SIGSTOP);
    let refused: Vec<Client> = (0..600).map(|_| Client::connect(relay.address())).collect();
    let other = Client::connect(&local);
    relay.signal(Signal::SIGCONT);
    other.assert_echoed(b"hello");
    let log = relay.stderr().wait_for(" connected ");
    let (before, _) = log.split_once(" connected ").unwrap();
    // The runtime looks at the sockets again after 128 operations of a task.
    let accepted = before.matches(" accept(").count();
    assert!(accepted < 300, "{accepted} were accepted before");
    drop(refused);
}

families!(a_refused_client_of_the_program_exits_with_6, |place| {
    let server = Server::start(place, &["--deny", "any"]);
    let done = sok(&["call", server.address(), "hello"]);
    assert_eq!(done.code, 6, "{}", done.stderr);
});

#[test]
fn rules_given_by_name_are_those_of_the_number() {
    run(Kind::Unix, |place| {
        let Ok(Some(user)) = nix::unistd::User::from_uid(Uid::effective()) else {
            crate::support::required("a name of the user", false);
            return;
        };
        let server = Server::start(place, &["-v", "--deny", &format!("uid:{}", user.name)]);
        Client::connect(server.address()).assert_refused();
        let reason = format!("reason=deny uid:{}", geteuid());
        server.stderr().wait_for(&reason);
        drop(RawListener::bind(place));
    });
}

families!(a_hangup_during_the_start_reads_the_rules_again, |place| {
    // A comment that takes a while to read.
    let rules = place.file("rules", "#");
    let file = File::options().append(true).open(&rules).unwrap();
    file.set_len(60 << 20).unwrap();
    let words = ["serve", &place.word(), "-v", "--rules"].map(PathBuf::from);
    let server = Process::sok(&[&words[..], &[rules]].concat());
    let path = format!("/proc/{}/status", server.pid());
    let holds_hangup = || {
        let status = fs::read_to_string(&path).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
        mask >> (Signal::SIGHUP as u32 - 1) & 1 == 1
    };
    let begun = std::time::Instant::now();
    while !holds_hangup() {
        assert!(begun.elapsed() < LIMIT, "SIGHUP would end it");
    }
    server.signal(Signal::SIGHUP);
    server.stderr().wait_for("rules read again");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), 0);
});
