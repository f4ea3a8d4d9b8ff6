//! The directory in which a socket file is made ready: what is left of it, and what is in its way.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{
    Done, Kind, Place, Process, RawListener, RawStream, Server, can_inject, in_own_mounts, is_root,
    required, sok, sok_with_fault, sok_without_rights,
};

fn place() -> Place {
    Place::new(Kind::Unix)
}

/// The private directory of `1.sock`, with its mode.
fn private(place: &Place, mode: u32) -> PathBuf {
    let path = place.path(".sok-1.sock");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

/// A stale socket file at `path`.
fn leave_dead(place: &Place, path: &Path) {
    let dead = RawListener::bind(place);
    let made = dead.address().strip_prefix("unix:").unwrap().to_owned();
    drop(dead);
    fs::rename(made, path).unwrap();
}

#[test]
fn a_start_removes_what_a_killed_one_left() {
    let place = place();
    for left in [
        "nothing",
        "a directory",
        "a socket",
        "a socket and a dead file",
    ] {
        let file = place.path("1.sock");
        if left != "nothing" {
            let directory = private(&place, 0o700);
            if left != "a directory" {
                leave_dead(&place, &directory.join("s"));
            }
            if left == "a socket and a dead file" {
                leave_dead(&place, &file);
            }
        }
        let server = Server::at(file.to_str().unwrap(), &[]);
        assert_eq!(place.listing(), ["1.sock"], "{left}");
        server.terminate();
        assert_eq!(server.wait(), 0);
        assert!(place.listing().is_empty(), "{left}");
    }
}

#[test]
fn a_start_after_a_killed_one_succeeds() {
    if !can_inject() {
        return;
    }
    let place = place();
    let word = place.word();
    for call in ["bind", "/chmod", "listen", "renameat2"] {
        let inject = format!("{call}:signal=KILL:when=1");
        let killed = sok_with_fault(&inject, &["serve", &word]);
        assert_eq!(killed.wait(), 128 + 9, "{call}: {}", killed.said());
        assert_eq!(place.listing()[0], ".sok-1.sock", "{call}");
        let server = Server::at(&word, &[]);
        assert_eq!(place.listing(), ["1.sock"], "{call}");
        server.signal(Signal::SIGKILL);
        server.wait();
    }
}

#[test]
fn a_second_start_is_refused_during_the_first() {
    let place = place();
    let word = place.word();
    leave_dead(&place, &place.path("1.sock"));
    let started = File::open(private(&place, 0o700)).unwrap();
    started.lock().unwrap();
    let server = Server::start(&place, &[]);
    for arguments in [
        &["serve", &word][..],
        &["call", "--bind", &word, server.address(), "hello"],
    ] {
        let done = sok(arguments);
        assert_eq!(done.code, 5, "{}", done.stderr);
        assert!(done.stderr.contains(&word), "{}", done.stderr);
        assert!(
            done.stderr.contains("is binding this address"),
            "{}",
            done.stderr
        );
    }
    // A child of another test may hold a copy of the descriptor for a moment.
    started.unlock().unwrap();
    assert_eq!(Server::at(&word, &[]).address(), word.as_str());
}

#[test]
fn a_locked_directory_does_not_delay_a_start() {
    if !can_inject() {
        return;
    }
    let place = place();
    let file = place.path("1.sock");
    leave_dead(&place, &file);
    let directory = File::open(place.directory()).unwrap();
    directory.lock().unwrap();
    let word = format!("unix:{}", file.display());
    // Neither waits, which it would do by a sleep.
    let no_sleep = "clock_nanosleep:signal=KILL";
    let server = Server::of(sok_with_fault(no_sleep, &["serve", &word]));
    let own = format!("unix:{}", place.path("own.sock").display());
    let call = ["call", "--bind", &own, server.address(), "hello"];
    let done = sok_with_fault(no_sleep, &call).done();
    assert_eq!((done.code, done.text().as_str()), (0, "hello\n"));
}

#[test]
fn a_fifo_in_the_path_is_not_a_directory() {
    let place = place();
    let pipe = place.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let server = Server::start(&place, &[]);
    let long = "n".repeat(100);
    for name in ["s.sock", &long] {
        let word = format!("unix:{}/{name}", pipe.display());
        for arguments in [
            &["serve", &word][..],
            &["call", "--bind", &word, server.address(), "hello"],
            &["call", &word, "hello"],
        ] {
            let done = sok(arguments);
            assert_eq!(done.code, 1, "{}", done.stderr);
            assert!(done.stderr.contains("Not a directory"), "{}", done.stderr);
        }
    }
}

#[test]
fn an_obstacle_to_the_private_directory_is_refused_and_stays() {
    let place = place();
    let word = place.word();
    let path = place.path(".sok-1.sock");
    let refused = |what: &str| {
        let before = fs::symlink_metadata(&path).unwrap().mode();
        let done = sok(&["serve", &word]);
        assert_eq!(done.code, 4, "{what}: {}", done.stderr);
        assert!(
            done.stderr.contains(".sok-1.sock"),
            "{what}: {}",
            done.stderr
        );
        assert_eq!(
            fs::symlink_metadata(&path).unwrap().mode(),
            before,
            "{what}"
        );
        assert_eq!(place.listing(), [".sok-1.sock"], "{what}");
    };
    place.file(".sok-1.sock", "");
    refused("a file");
    fs::remove_file(&path).unwrap();
    symlink(
        private(&place, 0o700).with_file_name("elsewhere"),
        place.path("link"),
    )
    .unwrap();
    fs::rename(&path, place.path("elsewhere")).unwrap();
    fs::rename(place.path("link"), &path).unwrap();
    let done = sok(&["serve", &word]);
    assert_eq!(done.code, 4, "{}", done.stderr);
    fs::remove_file(&path).unwrap();
    fs::remove_dir(place.path("elsewhere")).unwrap();
    for mode in [0o755, 0o770, 0o1700] {
        private(&place, mode);
        refused("another mode");
        fs::remove_dir(&path).unwrap();
    }
    fs::write(private(&place, 0o700).join("s"), "precious").unwrap();
    refused("a file in it");
    fs::remove_file(path.join("s")).unwrap();
    if is_root() {
        chown(&path, Some(65534), None).unwrap();
        refused("belongs to another user");
    }
}

#[test]
fn a_socket_file_appears_even_if_its_system_calls_are_refused() {
    if !can_inject() {
        return;
    }
    let place = place();
    for error in ["EPERM", "ENOSYS", "EINVAL"] {
        for calls in ["renameat2", "renameat2,linkat"] {
            for dead in [false, true] {
                let word = place.word();
                if dead {
                    leave_dead(&place, Path::new(word.strip_prefix("unix:").unwrap()));
                }
                let refused = format!("{calls}:error={error}");
                let server = Server::of(sok_with_fault(&refused, &["serve", &word]));
                assert_eq!(RawStream::connect(&word).exchange(b"hello"), b"hello");
                assert_eq!(place.listing().len(), 1, "{refused} {:?}", place.listing());
                let second = sok_with_fault(&refused, &["serve", &word]);
                assert_eq!(second.wait(), 5, "{}", second.said());
                server.terminate();
                assert_eq!(server.wait(), 0);
                assert!(place.listing().is_empty());
            }
        }
    }
}

/// Runs a script where `/proc` is not mounted.
pub(crate) fn without_proc(place: &Place, script: &str) -> Option<Done> {
    let script = format!("mount -t tmpfs none /proc || exit 99; {script}");
    let nothing = place.file("nothing", "");
    let directory = place.directory().to_str().unwrap();
    let done = in_own_mounts(
        nothing.to_str().unwrap(),
        nothing.to_str().unwrap(),
        &script,
        &[directory],
        &[],
    );
    required("mount namespaces", done.is_some()).then(|| done.unwrap())
}

#[test]
fn without_proc_a_socket_file_is_served_or_the_error_names_what_is_missing() {
    // In another user namespace, the owner of the parent directories is unknown.
    if !required("root", is_root()) {
        return;
    }
    let place = place();
    let serve = r#""$SOK" serve --once "$1/s.sock" 2> "$1/said" &
        "$SOK" call --retry-for 60s "$1/s.sock" hello && wait $! && ! test -e "$1/s.sock""#;
    let Some(done) = without_proc(&place, serve) else {
        return;
    };
    assert_eq!(
        (done.code, done.text().as_str()),
        (0, "hello\n"),
        "{}",
        done.stderr
    );
    fs::create_dir(place.path("open")).unwrap();
    fs::set_permissions(place.path("open"), Permissions::from_mode(0o777)).unwrap();
    let long = "d".repeat(100);
    fs::create_dir(place.path(&long)).unwrap();
    for directory in ["open", &long] {
        let script = format!(r#"exec "$SOK" serve "$1/{directory}/s.sock""#);
        let done = without_proc(&place, &script).unwrap();
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(
            done.stderr.contains("/proc, which is not mounted"),
            "{}",
            done.stderr
        );
        assert_eq!(fs::read_dir(place.path(directory)).unwrap().count(), 0);
    }
}

#[test]
fn another_users_stale_file_in_a_sticky_directory_stays() {
    if !required("root", is_root()) {
        return;
    }
    let place = place();
    let sticky = place.path("sticky");
    fs::create_dir(&sticky).unwrap();
    fs::set_permissions(&sticky, Permissions::from_mode(0o1777)).unwrap();
    let file = sticky.join("s.sock");
    leave_dead(&place, &file);
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    let word = format!("unix:{}", file.display());
    let server = Server::start(&place, &[]);
    fs::set_permissions(server.path(), Permissions::from_mode(0o666)).unwrap();
    for arguments in [
        &["serve", &word][..],
        &["call", "--bind", &word, server.address(), "hello"],
    ] {
        let done = sok_without_rights(&place, arguments);
        assert_eq!(done.code, 4, "{}", done.stderr);
        assert!(
            done.stderr.contains("belongs to another user"),
            "{}",
            done.stderr
        );
        assert_eq!(fs::read_dir(&sticky).unwrap().count(), 1);
    }
}

#[test]
fn a_read_only_file_system_is_reported() {
    let place = place();
    let nothing = place.file("nothing", "");
    let script = r#"mount -t tmpfs -o ro none "$1" || exit 99; exec "$SOK" serve "$1/s.sock""#;
    let nothing = nothing.to_str().unwrap();
    let directory = place.directory().to_str().unwrap();
    let done = in_own_mounts(nothing, nothing, script, &[directory], &[]);
    if !required("mount namespaces", done.is_some()) {
        return;
    }
    let done = done.unwrap();
    assert_eq!(done.code, 1, "{}", done.stderr);
    let expected = "Read-only file system; choose a writable directory";
    assert!(done.stderr.contains(expected), "{}", done.stderr);
}

#[test]
fn a_directory_is_the_same_by_each_of_its_paths() {
    let place = place();
    fs::create_dir(place.path("real")).unwrap();
    symlink("real", place.path("link")).unwrap();
    let top = place.directory().to_str().unwrap();
    for path in ["link/s.sock", "real/../link/./s.sock", "real//s.sock"] {
        // At the end nothing is looked up from where it started.
        let script = r#"cd "$1" && exec "$SOK" serve "unix:$2" --mode 666"#;
        let server = Server::of(Process::sh(script, &[top, path]));
        assert_eq!(server.address(), format!("unix:{path}"));
        let real = format!("unix:{top}/real/s.sock");
        assert_eq!(RawStream::connect(&real).exchange(b"hello"), b"hello");
        fs::rename(place.path("real"), place.path("moved")).unwrap();
        server.terminate();
        assert_eq!(server.wait(), 0);
        fs::rename(place.path("moved"), place.path("real")).unwrap();
        assert_eq!(
            fs::read_dir(place.path("real")).unwrap().count(),
            0,
            "{path}"
        );
    }
}

#[test]
fn a_directory_is_not_a_socket() {
    let place = place();
    let top = place.directory().to_str().unwrap();
    let server = Server::start(&place, &[]);
    for path in [".", "..", "new/", "new/.", "./"] {
        let word = format!("unix:{top}/{path}");
        for arguments in [
            &["serve", &word][..],
            &["call", "--bind", &word, server.address(), "hello"],
        ] {
            let done = sok(arguments);
            assert_eq!(done.code, 1, "{}", done.stderr);
            assert!(
                done.stderr.contains("this is a directory"),
                "{}",
                done.stderr
            );
        }
    }
    assert_eq!(place.listing(), ["1.sock"]);
}
