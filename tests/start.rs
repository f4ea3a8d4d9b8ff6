//! What the start of a call costs, in what can be counted: libraries, page faults, system calls.
//!
//! It is counted of the release program, which `SOK_RELEASE` names, as another build has other
//! libraries and other pages.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::resource::{UsageWho, getrusage};

use crate::support::{Kind, Server, require_peer, required, run};

/// The C library that the numbers below were counted with: glibc 2.41 has 15 page faults more.
const COUNTED_WITH: &str = "2.36";
/// The most page faults of `sok call` on a socket file. It took 101 to 105 on x86-64 with glibc 2.36
/// before there were socket types; their options and a larger program, whose parts lie further apart,
/// cost 8 more; activation, rules and status made it larger by another fifth, for 5 more. What loads libm takes about 14 more, a position-independent program 17, one that unwinds
/// 7, and each page that the start touches first is one.
const PAGE_FAULTS: i64 = 118;
/// The most system calls of it, those of the dynamic linker and the standard library's start included.
const SYSTEM_CALLS: usize = 82;

/// The additional search path for libraries, which cargo sets for tests: each folder costs calls.
const SEARCHED: &str = "LD_LIBRARY_PATH";

fn release() -> Option<PathBuf> {
    let program = std::env::var_os("SOK_RELEASE").map(PathBuf::from);
    required("release", program.is_some());
    program
}

/// Whether the C library is the one that the numbers are of.
fn has_counted_library() -> bool {
    let said = Command::new("ldd").arg("--version").output();
    let said = said.map_or_else(|_| Vec::new(), |done| done.stdout);
    let first = said.split(|byte| *byte == b'\n').next();
    let version = first.is_some_and(|line| line.ends_with(COUNTED_WITH.as_bytes()));
    required("glibc 2.36", version)
}

#[test]
fn the_program_links_only_the_c_library() {
    let Some(program) = release() else { return };
    if !require_peer("readelf") {
        return;
    }
    let read = Command::new("readelf").arg("-d").arg(program).output();
    let read = String::from_utf8(read.unwrap().stdout).unwrap();
    let needed: Vec<&str> = read
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split(['[', ']']).nth(1))
        .collect();
    let is_libc = |name: &str| name.starts_with("libc.") || name.starts_with("ld-linux");
    assert!(needed.iter().all(|name| is_libc(name)), "{needed:?}");
}

#[test]
fn a_call_touches_few_pages() {
    let Some(program) = release() else { return };
    if !has_counted_library() {
        return;
    }
    run(Kind::Unix, |place| {
        let server = Server::start(place, &[]);
        // As an installation copies it: of a file that the linker wrote piece by piece, the kernel maps
        // fewer pages at once.
        let copy = place.path("copy");
        std::fs::copy(&program, &copy).unwrap();
        let faults = || {
            getrusage(UsageWho::RUSAGE_CHILDREN)
                .unwrap()
                .minor_page_faults()
        };
        let once = || {
            let before = faults();
            let mut call = Command::new(&copy);
            call.args(["call", server.address(), "hello"]);
            call.env_remove(SEARCHED);
            let done = call.stdout(Stdio::null()).status();
            assert!(done.unwrap().success());
            faults() - before
        };
        // The least: another test of this process may have waited for a child meanwhile.
        let least = (0..20).map(|_| once()).min().unwrap();
        assert!(least <= PAGE_FAULTS, "{least} page faults");
    });
}

#[test]
fn a_call_makes_few_system_calls() {
    let Some(program) = release() else { return };
    if !(has_counted_library() && require_peer("strace")) {
        return;
    }
    run(Kind::Unix, |place| {
        let server = Server::start(place, &[]);
        let trace = place.path("trace");
        let mut strace = Command::new("strace");
        strace.arg("-f").arg("-o").arg(&trace).arg(program);
        strace.args(["call", server.address(), "hello"]);
        strace.env_remove(SEARCHED);
        let done = strace.output().unwrap();
        if !required("ptrace", done.status.success()) {
            return;
        }
        assert_eq!(done.stdout, b"hello\n");
        let calls = std::fs::read_to_string(&trace).unwrap();
        let count = calls.lines().filter(|line| line.contains('(')).count();
        assert!(count <= SYSTEM_CALLS, "{count} system calls:\n{calls}");
    });
}
