//! The addresses of a test, and what this machine supports.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};

use sok::address::SocketType;
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
    pub(crate) const ALL: [Self; 4] = [Self::Inet, Self::Inet6, Self::Unix, Self::Abstract];

    /// The name in the list of `SOK_REQUIRE`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Inet6 => "inet6",
            Self::Unix => "unix",
            Self::Abstract => "abstract",
        }
    }

    /// Sockets of another type than stream with this kind of name.
    pub(crate) const fn with_type(self, socket_type: SocketType) -> Form {
        let kind = self;
        Form { kind, socket_type }
    }
}

/// A kind of address and a socket type; a kind without one means stream sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) kind: Kind,
    pub(crate) socket_type: SocketType,
}

impl From<Kind> for Form {
    fn from(kind: Kind) -> Self {
        kind.with_type(SocketType::Stream)
    }
}

impl Form {
    /// Every form, those of streams first.
    pub(crate) fn all() -> Vec<Self> {
        let all = SocketType::ALL.into_iter().flat_map(|socket_type| {
            let forms = Kind::ALL.map(|kind| kind.with_type(socket_type));
            forms.into_iter().filter(|form| form.prefix() != "")
        });
        all.collect()
    }

    /// The prefix of an address of this form, empty if there is none.
    pub(crate) const fn prefix(self) -> &'static str {
        match (self.kind, self.socket_type) {
            (Kind::Inet, SocketType::Stream) => "inet",
            (Kind::Inet6, SocketType::Stream) => "inet6",
            (Kind::Unix | Kind::Abstract, SocketType::Stream) => "unix",
            (Kind::Unix | Kind::Abstract, SocketType::SeqPacket) => "unixpacket",
            (Kind::Inet, SocketType::Datagram) => "udp4",
            (Kind::Inet6, SocketType::Datagram) => "udp6",
            (Kind::Unix | Kind::Abstract, SocketType::Datagram) => "unixgram",
            _ => "",
        }
    }

    fn is_there(self) -> bool {
        let host = match self.kind {
            Kind::Inet => "127.0.0.1:0",
            Kind::Inet6 => "[::1]:0",
            Kind::Unix => return true,
            Kind::Abstract => return cfg!(target_os = "linux"),
        };
        match self.socket_type {
            SocketType::Datagram => UdpSocket::bind(host).is_ok(),
            _ => TcpListener::bind(host).is_ok(),
        }
    }
}

/// Runs a test on a fresh place of one form, if this machine has that.
pub(crate) fn run(form: impl Into<Form>, body: impl FnOnce(&Place)) {
    let form = form.into();
    if have(form) {
        body(&Place::new(form));
    }
}

/// Whether this machine has a form of address; its test is skipped if not.
pub(crate) fn have(form: impl Into<Form>) -> bool {
    let form = form.into();
    required(form.kind.name(), form.is_there())
}

/// Whether an external program is installed; its test is skipped if not.
pub(crate) fn require_peer(program: &str) -> bool {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&search).any(|folder| folder.join(program).is_file());
    required(program, there)
}

/// `scripts/test`, whose lists name everything that a test may need of the machine.
const LISTS: &str = include_str!("../../scripts/test");

/// The programs that the tests talk to, as `scripts/test` installs them.
pub(crate) fn peers() -> Vec<&'static str> {
    let entries = list("peers");
    let names = entries.iter().map(|entry| entry.split_once(':').unwrap().0);
    names.collect()
}

/// Every name that a test may give to [`required`].
pub(crate) fn listed_needs() -> Vec<&'static str> {
    let names = ["always", "as_root", "if_allowed", "with_all", "seldom"];
    names.into_iter().flat_map(list).chain(peers()).collect()
}

/// The entries of an array of the script.
fn list(name: &str) -> Vec<&'static str> {
    let (_, rest) = LISTS.split_once(&format!("\n{name}=(")).unwrap();
    let (body, _) = rest.split_once(')').unwrap();
    // What is between apostrophes is one entry.
    let parts = body.split('\'').enumerate();
    parts
        .flat_map(|(place, part)| match place % 2 {
            0 => part.split_whitespace().collect(),
            _ => vec![part],
        })
        .collect()
}

/// The one place that decides what happens if the machine lacks something: the test is skipped with
/// a message, or fails if `SOK_REQUIRE` (a list with commas) names it. A name that `scripts/test` does not
/// list is an error, as nothing would ever require it.
pub(crate) fn required(name: &str, there: bool) -> bool {
    assert!(
        listed_needs().contains(&name),
        "scripts/test lists no {name}"
    );
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
fn skipped(what: &str) {
    println!("skipped: {what}");
    if let Some(list) = std::env::var_os("SOK_SKIPPED") {
        let list = File::options().append(true).open(list);
        list.unwrap()
            .write_all(format!("{what}\n").as_bytes())
            .unwrap();
    }
}

/// A form of address, with a temporary directory.
#[derive(Debug)]
pub(crate) struct Place {
    form: Form,
    directory: TempDir,
    count: Cell<u32>,
}

impl Place {
    pub(crate) fn new(form: impl Into<Form>) -> Self {
        let directory = tempfile::Builder::new().prefix("sok-t").tempdir_in("/tmp");
        Self {
            form: form.into(),
            directory: directory.unwrap(),
            count: Cell::new(0),
        }
    }

    /// The form, for another place of the same one.
    pub(crate) const fn form(&self) -> Form {
        self.form
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.form.kind
    }

    pub(crate) const fn socket_type(&self) -> SocketType {
        self.form.socket_type
    }

    /// The options of a server that answers lines, or messages.
    pub(crate) fn line_framing(&self) -> &'static [&'static str] {
        match self.keeps_messages() {
            true => &[],
            false => &["--framing", "line"],
        }
    }

    /// Whether each receive returns what one send sent.
    pub(crate) fn keeps_messages(&self) -> bool {
        self.socket_type() != SocketType::Stream
    }

    /// Whether a server accepts connections: all but datagrams.
    pub(crate) fn has_connection(&self) -> bool {
        self.socket_type() != SocketType::Datagram
    }

    /// The family as the program prints it.
    pub(crate) const fn family(&self) -> &'static str {
        match self.kind() {
            Kind::Inet => "inet",
            Kind::Inet6 => "inet6",
            Kind::Unix | Kind::Abstract => "unix",
        }
    }

    /// The prefix of its addresses as the program prints it.
    pub(crate) const fn prefix(&self) -> &'static str {
        self.form.prefix()
    }

    pub(crate) const fn is_network(&self) -> bool {
        matches!(self.kind(), Kind::Inet | Kind::Inet6)
    }

    /// The address to listen on: port 0, or a name that was never used before.
    pub(crate) fn word(&self) -> String {
        self.count.set(self.count.get() + 1);
        let (prefix, count) = (self.prefix(), self.count.get());
        match self.kind() {
            Kind::Inet => format!("{prefix}:127.0.0.1:0"),
            Kind::Inet6 => format!("{prefix}:[::1]:0"),
            Kind::Unix => format!("{prefix}:{}/{count}.sock", self.directory().display()),
            Kind::Abstract => {
                let unique = self.directory().file_name().unwrap().to_string_lossy();
                format!("{prefix}:@{unique}-{count}")
            }
        }
    }

    /// A free address of this form. While the value lives, no other process gets its port, but a
    /// TCP server that reuses addresses can listen on it; a UDP server can once the value is dropped.
    pub(crate) fn nobody(&self) -> Nobody {
        let word = self.word();
        if !self.is_network() {
            return Nobody {
                address: word,
                keep: None,
            };
        }
        let bound = super::raw::bound(&word);
        if !self.has_connection() {
            // A socket connected to itself holds the port, and refuses datagrams of all others.
            bound.connect(&bound.local_addr().unwrap()).unwrap();
        }
        Nobody {
            address: super::raw::name_of(&bound),
            keep: Some(bound),
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
