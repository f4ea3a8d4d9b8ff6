//! The addresses of a test, and what this machine supports.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The kinds of address that every test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Inet,
    Inet6,
    /// A socket file.
    Unix,
    /// A name in the abstract namespace.
    Abstract,
}

impl Kind {
    /// The name in the list of `SOK_REQUIRE`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Inet6 => "inet6",
            Self::Unix => "unix",
            Self::Abstract => "abstract",
        }
    }

    fn is_there(self) -> bool {
        match self {
            Self::Inet => TcpListener::bind("127.0.0.1:0").is_ok(),
            Self::Inet6 => TcpListener::bind("[::1]:0").is_ok(),
            Self::Unix => true,
            Self::Abstract => cfg!(target_os = "linux"),
        }
    }
}

/// Runs a test on a fresh place of one kind, if this machine has that kind.
pub(crate) fn run(kind: Kind, body: impl FnOnce(&Place)) {
    if have(kind) {
        body(&Place::new(kind));
    }
}

/// Whether this machine has a kind of address; its test is skipped if not.
pub(crate) fn have(kind: Kind) -> bool {
    required(kind.name(), kind.is_there())
}

/// Whether an external program is installed; its test is skipped if not.
pub(crate) fn require_peer(program: &str) -> bool {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&search).any(|folder| folder.join(program).is_file());
    required(program, there)
}

/// The one place that decides what happens if the machine lacks something: the test is skipped with
/// a message, or fails if `SOK_REQUIRE` (a list with commas) names it.
pub(crate) fn required(name: &str, there: bool) -> bool {
    if !there {
        let wanted = std::env::var("SOK_REQUIRE").unwrap_or_default();
        assert!(
            !wanted.split(',').any(|wanted| wanted.trim() == name),
            "SOK_REQUIRE names {name}, and this machine lacks it"
        );
        skipped(name);
    }
    there
}

/// Reports a skipped test: in its output, and in the file that `scripts/test` lists.
pub(crate) fn skipped(what: &str) {
    println!("skipped: {what}");
    if let Some(list) = std::env::var_os("SOK_SKIPPED") {
        let list = File::options().append(true).open(list);
        list.unwrap()
            .write_all(format!("{what}\n").as_bytes())
            .unwrap();
    }
}

/// A kind of address, with a temporary directory.
#[derive(Debug)]
pub(crate) struct Place {
    kind: Kind,
    directory: TempDir,
    count: Cell<u32>,
}

impl Place {
    pub(crate) fn new(kind: Kind) -> Self {
        let directory = tempfile::Builder::new().prefix("sok-t").tempdir_in("/tmp");
        Self {
            kind,
            directory: directory.unwrap(),
            count: Cell::new(0),
        }
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The family as the program prints it.
    pub(crate) const fn family(&self) -> &'static str {
        match self.kind {
            Kind::Inet => "inet",
            Kind::Inet6 => "inet6",
            Kind::Unix | Kind::Abstract => "unix",
        }
    }

    pub(crate) const fn is_network(&self) -> bool {
        matches!(self.kind, Kind::Inet | Kind::Inet6)
    }

    /// The address to listen on: port 0, or a name that was never used before.
    pub(crate) fn word(&self) -> String {
        self.count.set(self.count.get() + 1);
        let count = self.count.get();
        match self.kind {
            Kind::Inet => "inet:127.0.0.1:0".to_owned(),
            Kind::Inet6 => "inet6:[::1]:0".to_owned(),
            Kind::Unix => format!("unix:{}/{count}.sock", self.directory().display()),
            Kind::Abstract => {
                let unique = self.directory().file_name().unwrap().to_string_lossy();
                format!("unix:@{unique}-{count}")
            }
        }
    }

    /// A free address of this kind. While the value lives, no other process gets its port, but a
    /// server that reuses addresses can listen on it.
    pub(crate) fn nobody(&self) -> Nobody {
        let word = self.word();
        match self.kind {
            Kind::Inet | Kind::Inet6 => {
                let bound = super::raw::bound(&word);
                let address = super::raw::name_of(&bound);
                Nobody {
                    address,
                    keep: Some(bound),
                }
            }
            Kind::Unix | Kind::Abstract => Nobody {
                address: word,
                keep: None,
            },
        }
    }

    /// The directory of this place.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path in this place's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// A new file in this place's directory.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The names in this place's directory, sorted.
    pub(crate) fn listing(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// An address without a server.
#[derive(Debug)]
pub(crate) struct Nobody {
    pub(crate) address: String,
    pub(super) keep: Option<socket2::Socket>,
}

/// The IP addresses that a host name resolves to here, in the resolver's order.
pub(crate) fn resolved(host: &str) -> Vec<std::net::IpAddr> {
    let mut found = Vec::new();
    for address in (host, 0).to_socket_addrs().unwrap() {
        if !found.contains(&address.ip()) {
            found.push(address.ip());
        }
    }
    found
}
