//! `--retry-for`: what is waited for, what is not, and what the waiting of many clients costs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{
    Kind, Place, Process, RawListener, RawStream, Server, in_own_mounts, in_own_network,
    require_peer, required, run, sok, sok_without_rights, spawn_in_own_mounts,
};

/// The watches on files that a process has, see `inotify(7)`.
fn watches(process: &Process) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", process.pid())).unwrap();
    let is_watch = |path: &Path| path == Path::new("anon_inode:inotify");
    descriptors
        // One may be closed meanwhile.
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter(|path| is_watch(path))
        .count()
}

/// A relay whose target is not there, and clients that wait for it.
struct Waiting {
    relay: Server,
    clients: Vec<RawStream>,
    failed: String,
}

impl Waiting {
    fn start(place: &Place, target: &str, clients: usize) -> Self {
        let words = [
            "relay",
            &place.word(),
            target,
            "--retry-for",
            "1h",
            "--trace",
        ];
        let relay = Server::of(Process::sok(&words));
        let connect = |_| {
            let mut client = RawStream::connect(relay.address());
            client.send(b"hello");
            client.finish();
            client
        };
        let clients = (0..clients).map(connect).collect();
        let failed = format!("{target}) = -1 ");
        Self {
            relay,
            clients,
            failed,
        }
    }

    /// Waits until this many attempts have failed.
    fn wait_for_tries(&self, count: usize) {
        self.relay.stderr().wait_for_count(&self.failed, count);
    }

    fn tries(&self) -> usize {
        self.relay.stderr().text().matches(&self.failed).count()
    }
}

families!(clients_that_wait_for_one_target_share_one_timer, |place| {
    const MANY: usize = 50;
    let nobody = place.nobody();
    let address = nobody.address.clone();
    let one = Waiting::start(place, &address, 1);
    let mut many = Waiting::start(place, &address, MANY);
    // Each has tried, and one of them again.
    many.wait_for_tries(MANY + 1);
    // A user may have few of them, and others may have them all.
    let most = usize::from(place.kind() == Kind::Unix);
    assert!(watches(&many.relay) <= most, "{}", watches(&many.relay));
    // Where each had a clock of its own, many would have tried as often as one, many times over.
    let (before, pauses) = (many.tries(), 15);
    one.wait_for_tries(one.tries() + pauses);
    let tries = many.tries() - before;
    assert!(tries < pauses * 10, "{tries} tries in {pauses} pauses");
    drop(nobody);
    let _server = Server::at(&address, &[]);
    for client in &mut many.clients {
        assert_eq!(client.rest(), b"hello");
    }
    assert_eq!(watches(&many.relay), 0);
});

families!(a_client_that_closes_passes_the_timer_to_the_next, |place| {
    let nobody = place.nobody();
    let address = nobody.address.clone();
    let mut waiting = Waiting::start(place, &address, 2);
    waiting.wait_for_tries(3);
    // It has the clock, as it failed first; on a family without a reset it stays.
    waiting.clients.remove(0).reset();
    waiting.wait_for_tries(waiting.tries() + 2);
    drop(nobody);
    let _server = Server::at(&address, &[]);
    assert_eq!(waiting.clients[0].rest(), b"hello");
});

#[test]
fn a_name_that_does_not_resolve_yet_is_retried() {
    run(Kind::Inet, |place| {
        let hosts = place.file("hosts", "");
        let file = hosts.to_str().unwrap();
        if in_own_mounts(file, "/etc/hosts", "exit 0", &[], &[]).is_none() {
            required("mount namespaces", false);
            return;
        }
        let server = Server::start(place, &[]);
        let script = r#"exec "$SOK" call -v "late.test:$1" hi --retry-for 1h"#;
        let call = spawn_in_own_mounts(file, "/etc/hosts", script, &[server.port()]);
        call.stderr().wait_for("waiting");
        // Written in place: the mount is of this very file.
        fs::write(&hosts, "127.0.0.1 late.test\n").unwrap();
        let done = call.done();
        assert_eq!(
            (done.code, done.text().as_str()),
            (0, "hi\n"),
            "{}",
            done.stderr
        );
    });
}

#[test]
fn a_network_that_is_not_up_yet_is_retried() {
    if !require_peer("ip") {
        return;
    }
    let script = r#"
        at=inet:127.0.0.1:8082
        "$SOK" call $at hi; echo "code $?"
        directory=$(mktemp -d) && cd "$directory" && mkfifo said || exit 1
        "$SOK" call -v $at hi --retry-for 1h 2> said &
        call=$!
        exec 3< said
        while read -r line <&3; do
            echo "$line"
            case $line in *waiting*) break ;; esac
        done
        ip link set lo up
        "$SOK" serve $at --once &
        wait $call; code=$?
        cat <&3; rm -r "$directory"; exit $code"#;
    let Some(done) = in_own_network(script) else {
        required("network namespaces", false);
        return;
    };
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.text().starts_with("code 1\n"), "{}", done.text());
    assert!(done.text().contains("hi\n"), "{}", done.text());
    assert!(
        done.text().contains("Network is unreachable"),
        "{}",
        done.text()
    );
}

#[test]
fn permanent_errors_are_not_retried() {
    let place = Place::new(Kind::Unix);
    let file = place.file("file", "content");
    let done = sok(&["call", file.to_str().unwrap(), "hi", "--retry-for", "1h"]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    let done = sok(&["call", "localhost:0", "hi", "--retry-for", "1h"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    let server = Server::start(&place, &[]);
    fs::set_permissions(server.path(), Permissions::from_mode(0o444)).unwrap();
    let words = ["call", server.address(), "hi", "--retry-for", "1h"];
    let done = sok_without_rights(&place, &words);
    assert_eq!(done.code, 4, "{}", done.stderr);
}

families!(verbose_reports_why_a_client_waits, |place| {
    let nobody = place.nobody();
    let address = nobody.address.clone();
    let words = ["call", &address, "hi", "--retry-for", "1h", "-v"];
    let call = Process::sok(&words);
    let said = call.stderr().wait_for("\n");
    assert!(said.starts_with("sok: waiting "), "{said}");
    assert!(said.contains(&address), "{said}");
    let listener = RawListener::of(nobody);
    let mut served = listener.accept();
    assert_eq!(served.line(), "hi\n");
    served.send(b"ho\n");
    assert_eq!(call.wait(), 0, "{}", call.stderr().text());
    // Once, however often it tried.
    assert_eq!(call.said().matches("waiting").count(), 1, "{}", call.said());
});
