//! Socket files in directories of another user, who replaces what is there at every moment.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, UnlinkatFlags, setfsgid, setfsuid, unlinkat};

use crate::support::{Kind, Place, Process, Server, can_inject, is_root, required, sok_with_fault};

/// Who may change the directory.
const OTHER: u32 = 65534;

/// A directory of another user, and files of ours that he would like to have.
struct Trap {
    place: Place,
    directory: PathBuf,
    /// The same, wherever its name leads.
    opened: File,
    /// A directory of ours with a file `s`, and one that has the name of the socket file.
    ours: PathBuf,
}

/// Ends the other thread, by a panic too.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What must stay as it is of a file of ours.
type Rights = (u32, u32, u32);

impl Trap {
    fn new() -> Self {
        let place = Place::new(Kind::Unix);
        let (directory, ours) = (place.path("his/d"), place.path("ours"));
        fs::set_permissions(place.directory(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(&directory).unwrap();
        for his in [&place.path("his"), &directory] {
            chown(his, Some(OTHER), Some(OTHER)).unwrap();
        }
        fs::create_dir_all(ours.join(".sok-s.sock")).unwrap();
        for file in ["s", "s.sock", ".sok-s.sock/s"] {
            fs::write(ours.join(file), "ours").unwrap();
            fs::set_permissions(ours.join(file), fs::Permissions::from_mode(0o640)).unwrap();
        }
        Self {
            place,
            opened: File::open(&directory).unwrap(),
            directory,
            ours,
        }
    }

    fn rights(&self) -> Vec<Rights> {
        let names = ["", "s", "s.sock", ".sok-s.sock", ".sok-s.sock/s"];
        let rights = names.map(|name| {
            let found = fs::symlink_metadata(self.ours.join(name)).unwrap();
            (found.mode(), found.uid(), found.gid())
        });
        rights.to_vec()
    }

    /// Does `ours` while another user does `his` again and again; gives how often he did.
    fn against(&self, his: impl Fn() -> bool + Sync, ours: impl FnOnce()) -> u32 {
        let (ended, done) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                // Of this thread only, with all that root may do to files.
                setfsgid(Gid::from_raw(OTHER));
                setfsuid(Uid::from_raw(OTHER));
                while !ended.load(Ordering::Relaxed) {
                    done.fetch_add(his().into(), Ordering::Relaxed);
                }
            });
            let _end = End(&ended);
            ours();
        });
        done.into_inner()
    }

    /// Starts a program `count` times with each list of arguments, and sees that nothing of ours
    /// changes by that. It may fail, as long as it says why.
    fn starts(&self, count: usize, lists: &[&[&str]], start: fn(&[&str]) -> Process) {
        let before = self.rights();
        for round in 0..count {
            for arguments in lists {
                let process = start(arguments);
                if arguments[0] == "serve" {
                    process.stderr().wait_for("\n");
                    process.signal(Signal::SIGTERM);
                }
                process.wait();
                assert_eq!(self.rights(), before, "start {round}: {}", process.said());
                self.clear();
            }
        }
    }

    /// Removes what he left, as that is in the way of each other start.
    fn clear(&self) {
        let path = format!("/proc/self/fd/{}", self.opened.as_raw_fd());
        for entry in fs::read_dir(path).unwrap().flatten() {
            for how in [UnlinkatFlags::NoRemoveDir, UnlinkatFlags::RemoveDir] {
                let _ = unlinkat(&self.opened, entry.file_name().as_os_str(), how);
            }
        }
    }
}

fn quickly(arguments: &[&str]) -> Process {
    Process::sok(arguments)
}

/// The program, which gives others time before each system call that makes a file or changes one.
fn slowly(arguments: &[&str]) -> Process {
    let calls = "/bind|listen|ch(mod|own)|rename|link|mkdir|rmdir";
    sok_with_fault(&format!("{calls}:delay_enter=3000"), arguments)
}

/// Puts a link to a file of ours, or to a directory, in the place of each new name.
fn swap(directory: &Path, ours: &Path) -> bool {
    let mut swapped = false;
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_socket() && entry.file_name().as_bytes().starts_with(b".sok-") {
            swapped |= fs::remove_file(&path).is_ok() && symlink(ours.join("s"), &path).is_ok();
        } else if kind.is_dir() && entry.metadata().is_ok_and(|found| found.uid() != OTHER) {
            let away = directory.join("away");
            let _ = fs::remove_dir(&away);
            if fs::rename(&path, &away).is_err() {
                continue;
            }
            swapped = true;
            // A directory of his own first, then one of ours.
            if fs::create_dir(&path).is_ok() {
                let link = path.join("s");
                let _ = symlink(ours.join("s"), &link).and_then(|()| fs::remove_file(link));
                let _ = fs::remove_dir(&path);
            }
            let _ = symlink(ours, &path);
        }
    }
    swapped
}

/// Puts a link to a directory of ours in the place of the one where the file is to be.
fn swap_all(directory: &Path, ours: &Path) -> bool {
    let away = directory.with_file_name("away");
    fs::rename(directory, &away).unwrap();
    symlink(ours, directory).unwrap();
    fs::remove_file(directory).unwrap();
    fs::rename(away, directory).unwrap();
    true
}

#[test]
fn a_swapped_name_changes_the_mode_of_no_other_file() {
    if !required("root", is_root()) {
        return;
    }
    let trap = Trap::new();
    let word = format!("unix:{}/s.sock", trap.directory.display());
    let owned = ["serve", &word, "--mode", "666", "--owner", "65534:65534"];
    let swapped = trap.against(
        || swap(&trap.directory, &trap.ours),
        || {
            trap.starts(125, &[&["serve", &word], &owned], quickly);
            if can_inject() {
                trap.starts(5, &[&["serve", &word], &owned], slowly);
            }
        },
    );
    assert_ne!(swapped, 0);
}

#[test]
fn a_swapped_directory_changes_the_mode_of_no_other_file() {
    if !required("root", is_root()) {
        return;
    }
    let trap = Trap::new();
    let word = format!("unix:{}/s.sock", trap.directory.display());
    let owned = ["serve", &word, "--mode", "666", "--owner", "65534:65534"];
    let swapped = trap.against(
        || swap_all(&trap.directory, &trap.ours),
        || trap.starts(25, &[&["serve", &word], &owned], quickly),
    );
    assert_ne!(swapped, 0);
}

#[test]
fn a_client_whose_socket_file_is_swapped_changes_no_other_file() {
    if !required("root", is_root()) {
        return;
    }
    let trap = Trap::new();
    let server = Server::start(&trap.place, &[]);
    let own = format!("unix:{}/s.sock", trap.directory.display());
    let call = ["call", "--bind", &own, server.address(), "hello"];
    let swapped = trap.against(
        || swap_all(&trap.directory, &trap.ours),
        || trap.starts(60, &[&call], quickly),
    );
    assert_ne!(swapped, 0);
}

#[test]
fn a_client_whose_directory_is_swapped_leaves_no_socket_file_behind_a_link() {
    if !required("root", is_root()) {
        return;
    }
    let trap = Trap::new();
    let server = Server::start(&trap.place, &[]);
    let own = format!("unix:{}/new.sock", trap.directory.display());
    let call = ["call", "--bind", &own, server.address(), "hello"];
    let link = trap.place.path("his/link");
    symlink(&trap.ours, &link).unwrap();
    let exchange = || {
        let (one, other) = (&trap.directory, &link);
        renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).is_ok()
    };
    let call_once = |start| {
        trap.starts(1, &[&call], start);
        let left = fs::symlink_metadata(trap.ours.join("new.sock"));
        assert!(left.is_err(), "{left:?}");
    };
    let swapped = trap.against(exchange, || {
        (0..20).for_each(|_| call_once(quickly));
        if can_inject() {
            (0..40).for_each(|_| call_once(slowly));
        }
    });
    assert_ne!(swapped, 0);
}
