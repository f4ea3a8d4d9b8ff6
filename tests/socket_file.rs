//! The life of a socket file: published, guarded, removed.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{
    Kind, Place, Process, RawListener, RawStream, Server, assert_echoes, is_root, sok,
    sok_without_rights,
};

fn place() -> Place {
    Place::new(Kind::Unix)
}

fn mode_of(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A socket file whose server has died.
fn dead_file(place: &Place) -> String {
    let address = RawListener::bind(place).address().to_owned();
    assert!(Path::new(path_of(&address)).exists());
    address
}

fn path_of(address: &str) -> &str {
    address.strip_prefix("unix:").unwrap()
}

/// Looks at the path from before the server starts: at the first sight of the new file there, it
/// must have its rights.
fn assert_has_its_rights_at_first_sight(word: &str) {
    let inode = |metadata: fs::Metadata| (metadata.ino(), metadata.permissions().mode() & 0o777);
    let look = || fs::symlink_metadata(path_of(word)).ok().map(inode);
    let before = look();
    let process = Process::sok(&["serve", word, "--mode", "640"]);
    let (_, mode) = loop {
        match look() {
            Some(found) if Some(found) != before => break found,
            _ => assert!(!process.has_ended(), "{}", process.said()),
        }
    };
    assert_eq!(mode, 0o640);
    Server::of(process).terminate();
}

#[test]
fn a_socket_file_appears_with_its_mode() {
    let place = place();
    for _ in 0..20 {
        assert_has_its_rights_at_first_sight(&place.word());
    }
}

#[test]
fn a_file_that_replaces_a_stale_one_has_its_mode() {
    let place = place();
    for _ in 0..20 {
        assert_has_its_rights_at_first_sight(&dead_file(&place));
    }
}

#[test]
fn a_file_that_appears_accepts() {
    let place = place();
    for _ in 0..50 {
        let word = place.word();
        let process = Process::sok(&["serve", &word]);
        let connected = RawStream::connect_at_first_sight(&word, || {
            assert!(!process.has_ended(), "{}", process.said());
        });
        connected.expect("a file that is there accepts");
        process.signal(Signal::SIGTERM);
    }
}

#[test]
fn a_socket_file_has_mode_600_by_default() {
    let place = place();
    let server = Server::start(&place, &[]);
    assert_eq!(mode_of(server.path()), 0o600);
}

#[test]
fn the_mode_is_as_given_whatever_the_umask() {
    let place = place();
    for (mode, want) in [("666", 0o666), ("0640", 0o640), ("600", 0o600)] {
        let script = r#"umask 077; exec "$SOK" serve "$1" --mode "$2""#;
        let server = Server::of(Process::sh(script, &[&place.word(), mode]));
        assert_eq!(mode_of(server.path()), want);
    }
}

#[test]
fn an_invalid_mode_is_refused() {
    for mode in ["999", "1000", "rw"] {
        let done = sok(&["serve", "/tmp/unused.sock", "--mode", mode]);
        assert_eq!(done.code, 2, "{}", done.stderr);
    }
}

#[test]
fn the_owner_is_as_given() {
    let place = place();
    let gid = nix::unistd::getegid().to_string();
    let mut wanted = vec![(format!(":{gid}"), None, Some(gid.parse().unwrap()))];
    if is_root() {
        wanted.push(("65534:65533".to_owned(), Some(65534), Some(65533)));
        wanted.push(("nobody".to_owned(), Some(65534), None));
    }
    for (owner, user, group) in wanted {
        let server = Server::start(&place, &["--owner", &owner]);
        let metadata = fs::metadata(server.path()).unwrap();
        assert_eq!(
            metadata.uid(),
            user.unwrap_or_else(|| nix::unistd::geteuid().as_raw()),
            "{owner}"
        );
        assert_eq!(
            metadata.gid(),
            group.unwrap_or_else(|| nix::unistd::getegid().as_raw()),
            "{owner}"
        );
    }
}

#[test]
fn an_unknown_owner_is_refused() {
    let place = place();
    for owner in ["no-such-user", ":no-such-group", "", ":", "4294967295"] {
        let done = sok(&["serve", &place.word(), "--owner", owner]);
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(done.stderr.contains(owner), "{}", done.stderr);
    }
    assert_eq!(place.listing(), Vec::<String>::new());
}

#[test]
fn a_protecting_option_without_effect_is_refused() {
    for (words, expected) in [
        (
            &["serve", "@s", "--mode", "600"][..],
            "apply only to a socket file",
        ),
        (
            &["serve", "inet:127.0.0.1:0", "--owner", "0"],
            "apply only to a socket file",
        ),
        (
            &["relay", "@s", "@t", "--listen", ":0", "--mode", "600"],
            "apply only to a socket file",
        ),
        (
            &["serve", "./s", "--v6only"],
            "--v6only applies only to IPv6",
        ),
        (
            &["serve", "inet:127.0.0.1:0", "--v6only"],
            "--v6only applies only to IPv6",
        ),
    ] {
        let done = sok(words);
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(done.stderr.contains(expected), "{}", done.stderr);
    }
}

families!(a_live_address_is_never_replaced, |place| {
    let server = Server::start(place, &[]);
    let second = sok(&["serve", server.address()]);
    assert_eq!(second.code, 5, "{}", second.stderr);
    assert!(
        second.stderr.contains(server.address()),
        "{}",
        second.stderr
    );
    if !place.is_network() {
        let pid = format!("(pid {})", server.pid());
        assert!(second.stderr.contains(&pid), "{}", second.stderr);
    }
    assert_eq!(second.stderr.lines().count(), 1, "{}", second.stderr);
    assert_echoes(server.address());
    server.terminate();
    assert_eq!(server.wait(), 0);
});

families!(a_full_backlog_is_a_live_address, |place| {
    let holder = RawListener::with_backlog(place, 0);
    let _waiting = RawStream::connect(holder.address());
    let second = sok(&["serve", holder.address()]);
    assert_eq!(second.code, 5, "{}", second.stderr);
    assert!(
        second.stderr.contains(holder.address()),
        "{}",
        second.stderr
    );
});

families!(an_address_is_free_again_after_a_server, |place| {
    let reserved = place.nobody();
    let first = Server::at(&reserved.address, &["--grace", "0s"]);
    let address = first.address().to_owned();
    // A connection that the server closes first: its port stays in TIME_WAIT.
    let mut client = RawStream::connect(&address);
    client.send(b"hello");
    assert_eq!(client.take(5), b"hello");
    first.terminate();
    assert_eq!(first.wait(), 6);
    let second = Server::at(&address, &[]);
    assert_eq!(second.address(), address);
    assert_echoes(&address);
});

families!(
    an_address_is_free_again_after_a_server_was_killed,
    |place| {
        let reserved = place.nobody();
        let first = Server::at(&reserved.address, &[]);
        let address = first.address().to_owned();
        first.signal(Signal::SIGKILL);
        assert_eq!(first.wait(), 128 + 9);
        assert_eq!(
            Path::new(path_or_nothing(&address)).exists(),
            place.kind() == Kind::Unix
        );
        assert_echoes(Server::at(&address, &[]).address());
    }
);

fn path_or_nothing(address: &str) -> &str {
    address.strip_prefix("unix:").unwrap_or_default()
}

#[test]
fn a_stale_file_is_replaced_and_its_mode_is_not_inherited() {
    let place = place();
    let address = dead_file(&place);
    fs::set_permissions(path_of(&address), fs::Permissions::from_mode(0o777)).unwrap();
    let server = Server::at(&address, &[]);
    assert_eq!(mode_of(path_of(&address)), 0o600);
    assert_echoes(&address);
    assert_eq!(place.listing(), ["1.sock"]);
    server.terminate();
    assert_eq!(server.wait(), 0);
    assert_eq!(place.listing(), Vec::<String>::new());
}

#[test]
fn a_file_that_is_not_a_socket_is_refused_and_stays() {
    let place = place();
    let file = place.file("file", "precious");
    fs::create_dir(place.path("directory")).unwrap();
    symlink(&file, place.path("link")).unwrap();
    symlink(place.path("nothing"), place.path("dangling")).unwrap();
    symlink(path_of(&dead_file(&place)), place.path("link-to-dead")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(place.path("pipe"))
            .status()
            .unwrap()
            .success()
    );
    let before = place.listing();
    for (name, what) in [
        ("file", "a regular file"),
        ("directory", "a directory"),
        ("link", "a symbolic link"),
        ("dangling", "a symbolic link"),
        ("link-to-dead", "a symbolic link"),
        ("pipe", "a device or a pipe"),
    ] {
        let address = format!("unix:{}", place.path(name).display());
        let done = sok(&["serve", &address]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(done.stderr.contains(&address), "{}", done.stderr);
        assert!(done.stderr.contains(what), "{}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
        assert_eq!(place.listing(), before);
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn a_missing_directory_is_reported_and_not_created() {
    let place = place();
    let address = format!("unix:{}/none/s.sock", place.directory().display());
    let done = sok(&["serve", &address]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(
        done.stderr.contains(&address) && done.stderr.contains("directory"),
        "{}",
        done.stderr
    );
    assert_eq!(place.listing(), Vec::<String>::new());
}

#[test]
fn a_directory_without_write_permission_is_exit_4() {
    let place = place();
    let locked = place.path("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    let address = format!("unix:{}/s.sock", locked.display());
    let done = sok_without_rights(&place, &["serve", &address]);
    assert_eq!(done.code, 4, "{}", done.stderr);
    assert!(done.stderr.contains(&address), "{}", done.stderr);
    assert_eq!(fs::read_dir(&locked).unwrap().count(), 0);
}

#[test]
fn a_file_whose_owner_cannot_be_set_is_removed() {
    let place = place();
    let address = place.word();
    let done = sok_without_rights(&place, &["serve", &address, "--owner", "0:0"]);
    assert_eq!(done.code, 4, "{}", done.stderr);
    assert!(done.stderr.contains(&address), "{}", done.stderr);
    assert_eq!(place.listing(), Vec::<String>::new());
}

#[test]
fn a_socket_of_another_user_that_cannot_be_probed_stays() {
    let place = place();
    let server = Server::start(&place, &[]);
    if is_root() {
        let done = sok_without_rights(&place, &["serve", server.address()]);
        assert_eq!(done.code, 4, "{}", done.stderr);
        assert!(done.stderr.contains(server.address()), "{}", done.stderr);
    }
    assert_echoes(server.address());
}

#[test]
fn the_socket_file_is_removed_when_the_server_ends() {
    let place = place();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let server = Server::start(&place, &[]);
        assert!(fs::metadata(server.path()).unwrap().file_type().is_socket());
        server.signal(signal);
        assert_eq!(server.wait(), 0);
        assert_eq!(place.listing(), Vec::<String>::new());
    }
    let server = Server::start(&place, &["--once"]);
    assert_echoes(server.address());
    assert_eq!(server.wait(), 0);
    assert_eq!(place.listing(), Vec::<String>::new());
}

#[test]
fn a_file_of_another_process_stays() {
    let place = place();
    for how in ["removed first", "renamed over"] {
        let server = Server::start(&place, &[]);
        let successor = RawListener::bind(&place);
        if how == "removed first" {
            fs::remove_file(server.path()).unwrap();
        }
        fs::rename(path_of(successor.address()), server.path()).unwrap();
        let theirs = fs::metadata(server.path()).unwrap().ino();
        server.terminate();
        assert_eq!(server.wait(), 0);
        assert_eq!(fs::metadata(server.path()).unwrap().ino(), theirs, "{how}");
    }
}

#[test]
fn a_relative_path_is_the_same_file_at_the_end() {
    let place = place();
    let script = r#"cd "$1" && exec "$SOK" serve ./s.sock"#;
    let server = Server::of(Process::sh(script, &[&place.directory().to_string_lossy()]));
    assert_eq!(server.address(), "unix:./s.sock");
    assert_echoes(&format!("unix:{}/s.sock", place.directory().display()));
    server.terminate();
    assert_eq!(server.wait(), 0);
    assert_eq!(place.listing(), Vec::<String>::new());
}

/// Starts `count` servers at once, and gives the one that listens and what the others said.
fn race(address: &str, count: usize) -> Process {
    let racers: Vec<Process> = (0..count)
        .map(|_| Process::sok(&["serve", address]))
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        let said = racer.stderr().wait_for("\n");
        if said.starts_with("listening on ") {
            winners.push(racer);
        } else {
            assert_eq!(racer.wait(), 5, "{said}");
            assert!(said.contains(address), "{said}");
        }
    }
    assert_eq!(winners.len(), 1, "of {count} servers one gets the name");
    winners.remove(0)
}

#[test]
fn one_of_several_servers_replaces_a_stale_file() {
    let place = place();
    for round in 0..20 {
        let address = dead_file(&place);
        let winner = race(&address, 2 + round % 3);
        assert_echoes(&address);
        winner.signal(Signal::SIGTERM);
        assert_eq!(winner.wait(), 0);
        assert_eq!(place.listing(), Vec::<String>::new());
    }
}

#[test]
fn one_of_several_servers_binds_a_free_path() {
    let place = place();
    for round in 0..20 {
        let address = place.word();
        let winner = race(&address, 2 + round % 3);
        assert_echoes(&address);
        winner.signal(Signal::SIGTERM);
        assert_eq!(winner.wait(), 0);
        assert_eq!(place.listing(), Vec::<String>::new());
    }
}

/// A directory whose path has `length` bytes.
fn long_directory(place: &Place, length: usize) -> String {
    let mut path = place.directory().to_string_lossy().into_owned();
    while path.len() < length {
        path.push('/');
        let left = length - path.len();
        path.push_str(&"d".repeat(if left > 101 { 100 } else { left.max(1) }));
    }
    fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn a_path_of_300_bytes_works_through_its_directory() {
    let place = place();
    let directory = long_directory(&place, 293);
    let path = format!("{directory}/s.sock");
    assert_eq!(path.len(), 300);
    for attempt in ["free", "dead"] {
        let server = Server::at(&path, &["--mode", "660"]);
        assert_eq!(server.address(), format!("unix:{path}"), "{attempt}");
        assert_eq!(mode_of(&path), 0o660);
        assert_eq!(sok(&["call", &path, "hello"]).text(), "hello\n");
        let second = sok(&["serve", &path]);
        assert_eq!(second.code, 5, "{}", second.stderr);
        if attempt == "dead" {
            server.terminate();
            assert_eq!(server.wait(), 0);
        } else {
            server.signal(Signal::SIGKILL);
            server.wait();
            assert!(Path::new(&path).exists());
        }
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn a_file_name_too_long_for_a_socket_is_refused_with_the_limit() {
    let place = place();
    for length in [100, 200, 255, 300] {
        let path = format!("{}/{}", long_directory(&place, 150), "n".repeat(length));
        let done = sok(&["serve", &path]);
        assert_eq!(done.code, 2, "{length}: {}", done.stderr);
        assert!(
            done.stderr.contains(&format!("unix:{path}")),
            "{}",
            done.stderr
        );
        assert!(done.stderr.contains("107"), "{}", done.stderr);
        let directory = Path::new(&path).parent().unwrap();
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
    }
}

#[test]
fn a_path_of_107_bytes_is_the_longest_that_any_client_can_connect_to() {
    let place = place();
    for length in [107, 108] {
        let directory = long_directory(&place, 80);
        let path = format!("{directory}/{}", "n".repeat(length - directory.len() - 1));
        assert_eq!(path.len(), length);
        let server = Server::at(&path, &[]);
        assert_eq!(sok(&["call", &path, "hello"]).text(), "hello\n");
        let plain = std::os::unix::net::UnixStream::connect(&path).is_ok();
        assert_eq!(plain, length == 107);
        server.terminate();
        assert_eq!(server.wait(), 0);
    }
}

#[test]
fn the_socket_file_of_a_live_client_is_not_replaced() {
    let place = Place::new(Kind::Unix);
    let server = Server::start(&place, &[]);
    let own = format!("unix:{}", place.path("own.sock").display());
    let mut client = Process::sok(&["connect", "--bind", &own, server.address()]);
    client.write(b"hello");
    client.stdout().wait_for("hello");
    for arguments in [
        vec!["serve", &own],
        vec!["connect", "--bind", &own, server.address()],
    ] {
        let done = sok(&arguments);
        assert_eq!(done.code, 5, "{}", done.stderr);
        assert!(done.stderr.contains(&own), "{}", done.stderr);
        assert!(place.path("own.sock").exists());
    }
    client.write(b" again");
    client.stdout().wait_for("hello again");
}

#[test]
fn sighup_removes_the_socket_file() {
    let place = Place::new(Kind::Unix);
    let server = Server::start(&place, &[]);
    server.signal(Signal::SIGHUP);
    assert_eq!(server.wait(), 0);
    assert!(!Path::new(server.path()).exists());
}

#[test]
fn a_socket_file_without_permission_gets_a_hint() {
    let place = Place::new(Kind::Unix);
    let word = place.word();
    let done = sok_without_rights(&place, &["serve", &word, "--owner", "root"]);
    assert_eq!(done.code, 4, "{}", done.stderr);
    assert!(done.stderr.contains("only root may"), "{}", done.stderr);
    let done = sok_without_rights(&place, &["serve", "unix:/usr/s.sock"]);
    assert_eq!(done.code, 4, "{}", done.stderr);
    assert!(done.stderr.contains("may write to"), "{}", done.stderr);
    assert_eq!(place.listing(), [""; 0]);
}

#[test]
fn a_socket_file_that_cannot_be_probed_stays_and_gets_a_hint() {
    let place = place();
    let server = Server::start(&place, &[]);
    // As another user's file is.
    fs::set_permissions(server.path(), fs::Permissions::from_mode(0o444)).unwrap();
    let second = sok_without_rights(&place, &["serve", server.address()]);
    assert_eq!(second.code, 4, "{}", second.stderr);
    let hint = "belongs to another user, and may be live; choose another path";
    assert!(second.stderr.contains(hint), "{}", second.stderr);
    fs::set_permissions(server.path(), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(sok(&["call", server.address(), "hello"]).code, 0);
}

#[test]
fn a_directory_without_search_permission_is_reported() {
    let place = place();
    let closed = place.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let file = closed.join("s.sock");
    let done = sok_without_rights(&place, &["serve", file.to_str().unwrap()]);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(done.code, 4, "{}", done.stderr);
    assert!(
        done.stderr.contains("needs search permission"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_name_that_is_too_long_for_a_shared_directory_is_refused_with_its_limit() {
    let place = place();
    let server = Server::start(&place, &[]);
    let shared = place.path("s");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
    // It would fit an address, but not behind the descriptor of the directory.
    let bind = format!("./s/{}", "n".repeat(100));
    let mut call = Command::new(Process::PROGRAM);
    call.current_dir(shared.parent().unwrap());
    call.args(["call", "--bind", &bind, server.address(), "hi"]);
    let done = call.output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("has 100 bytes; the limit is "), "{said}");
}

forms!(an_address_that_is_given_twice_is_a_usage_error, |place| {
    let nobody = place.nobody();
    let word = &*nobody.address;
    let refused_for = |words: &[&str], cause: &str| {
        let done = sok(words);
        assert_eq!(done.code, 2, "{words:?}: {}", done.stderr);
        let cause = format!("{cause}; give each socket an address of its own");
        assert!(done.stderr.contains(&cause), "{}", done.stderr);
    };
    let refused = |words: &[&str]| refused_for(words, "this address is given twice");
    refused(&["activate", word, word, "--", "true"]);
    refused(&["relay", word, &place.word(), "--listen", word]);
    if place.has_connection() && !place.keeps_messages() {
        refused(&["serve", word, "--status", word]);
    }
    if place.kind() == Kind::Unix {
        let other = word.replacen('/', "/proc/../", 1);
        let same = format!("it is the same address as {word}");
        refused_for(&["activate", word, &other, "--", "true"], &same);
    }
    if place.kind() == Kind::Inet {
        let all = word.replace("127.0.0.1", "0.0.0.0");
        let same = |word: &str| format!("it is the same address as {word}");
        refused_for(&["activate", word, &all, "--", "true"], &same(word));
        let listens = ["relay", &all, &place.word(), "--listen", word];
        refused_for(&listens, &same(&all));
    }
});
