//! Finds the process that listens, or receives datagrams, in `/proc`: `proc_net_tcp.rst` of the kernel, `proc(5)`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use procfs::net::{TcpNetEntry, TcpState, UdpNetEntry, tcp, tcp6, udp, udp6};
use procfs::{ProcError, ProcResult};
use serde::Serialize;
use sok::address::Address;
use sok::net::{Credentials, processes_at, processes_with};

/// A process: its id and its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Process {
    /// The process id.
    pub(crate) pid: i32,
    /// The name of its program, at most 15 bytes, see `/proc/pid/comm` in `proc(5)`; `None` for one
    /// that has ended.
    pub(crate) name: Option<String>,
}

/// The listening processes, or why they are unknown.
pub(super) type Seen = Result<Vec<Process>, String>;

/// One end of a network connection.
type Endpoint = (IpAddr, u16);

/// One line of `/proc/net/tcp` or `/proc/net/udp`, or of those of IPv6.
#[derive(Debug)]
struct Row {
    local: Endpoint,
    remote: Endpoint,
    /// Whether it takes connections, or datagrams, of every peer.
    listens: bool,
    uid: u32,
    inode: u64,
}

impl From<TcpNetEntry> for Row {
    fn from(entry: TcpNetEntry) -> Self {
        Self {
            local: end(entry.local_address),
            remote: end(entry.remote_address),
            listens: entry.state == TcpState::Listen,
            uid: entry.uid,
            inode: entry.inode,
        }
    }
}

impl From<UdpNetEntry> for Row {
    fn from(entry: UdpNetEntry) -> Self {
        let remote = end(entry.remote_address);
        Self {
            local: end(entry.local_address),
            remote,
            listens: remote.1 == 0,
            uid: entry.uid,
            inode: entry.inode,
        }
    }
}

fn end(address: SocketAddr) -> Endpoint {
    (address.ip().to_canonical(), address.port())
}

/// The process that called `listen(2)` on a local name.
pub(super) fn by_credentials(server: Credentials) -> Seen {
    match server.pid {
        0 => Err("its process is in another pid namespace".to_owned()),
        pid => Ok(vec![named(pid)]),
    }
}

/// The processes that receive datagrams at a local name.
pub(super) fn by_name(address: &Address) -> Seen {
    match processes_at(address) {
        pids if pids.is_empty() => Err(format!("{HIDDEN}, or as root")),
        pids => Ok(pids.into_iter().map(named).collect()),
    }
}

/// The processes that receive UDP datagrams to `server`, an address of this host; `None` if no socket
/// does.
pub(super) fn by_port(server: Endpoint) -> Option<Seen> {
    let rows = match table(udp, udp6) {
        Ok(rows) => rows,
        Err(reason) => return Some(Err(reason)),
    };
    let receiving = most_specific(&rows, server);
    (!receiving.is_empty()).then(|| holders(&receiving))
}

/// The processes that listen on `server`; `client` is the local end of an open connection to it.
pub(super) fn by_connection(server: Endpoint, client: Endpoint) -> Seen {
    let rows = table(tcp, tcp6)?;
    holders(&listening(&rows, server, client)?)
}

const HIDDEN: &str = "the process is hidden: run as its owner";

/// The lines of the tables of both versions.
fn table<E: Into<Row>>(
    v4: fn() -> ProcResult<Vec<E>>,
    v6: fn() -> ProcResult<Vec<E>>,
) -> Result<Vec<Row>, String> {
    let unread = |error: ProcError| format!("the sockets of this host cannot be read: {error}");
    let v6 = match v6() {
        // A host without IPv6 has no table for it.
        Err(ProcError::NotFound(_)) => Vec::new(),
        read => read.map_err(unread)?,
    };
    let tables = [v4().map_err(unread)?, v6];
    Ok(tables.into_iter().flatten().map(Into::into).collect())
}

/// The processes that have the sockets of `rows`.
fn holders(rows: &[&Row]) -> Seen {
    let inodes: Vec<u64> = rows.iter().map(|row| row.inode).collect();
    let found: Vec<Process> = processes_with(&inodes).into_iter().map(named).collect();
    match (found.is_empty(), rows.first()) {
        (true, Some(row)) => Err(format!("{HIDDEN}, uid {}, or as root", row.uid)),
        _ => Ok(found),
    }
}

/// The rows of the listeners on `server`.
fn listening(rows: &[Row], server: Endpoint, client: Endpoint) -> Result<Vec<&Row>, String> {
    // A local address may still lead to another host: the other end of the connection is in our
    // tables only if it is here.
    let here = |row: &Row| !row.listens && row.local == server && row.remote == client;
    if !rows.iter().any(here) {
        return Err("the server is on another host, or in another network namespace".to_owned());
    }
    let found = most_specific(rows, server);
    match found.is_empty() {
        true => Err("the server no longer listens".to_owned()),
        false => Ok(found),
    }
}

/// The rows of the sockets that get what is sent to `server`: several can share one port.
fn most_specific(rows: &[Row], server: Endpoint) -> Vec<&Row> {
    let fits = |row: &&Row| row.listens && row.local.1 == server.1;
    // In the order of the kernel: the exact address, then every address of the family, then of
    // both.
    let v4 = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let everywhere = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    let wanted = [
        Some(server.0),
        server.0.is_ipv4().then_some(v4),
        Some(everywhere),
    ];
    let at = |ip: IpAddr| {
        rows.iter()
            .filter(fits)
            .filter(move |row| row.local.0 == ip)
    };
    let found = wanted.into_iter().flatten().map(|ip| at(ip).collect());
    found
        .into_iter()
        .find(|rows: &Vec<&Row>| !rows.is_empty())
        .unwrap_or_default()
}

fn named(pid: i32) -> Process {
    let name = fs::read(format!("/proc/{pid}/comm")).ok();
    Process {
        pid,
        name: name.map(|name| String::from_utf8_lossy(name.trim_ascii_end()).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str, port: u16) -> Endpoint {
        (ip.parse().unwrap(), port)
    }

    fn listener(ip: &str, inode: u64) -> Row {
        Row {
            local: at(ip, 80),
            remote: at(ip, 0),
            listens: true,
            uid: 0,
            inode,
        }
    }

    fn connection(server: &str) -> Row {
        Row {
            local: at(server, 80),
            remote: at(server, 5000),
            listens: false,
            uid: 0,
            inode: 9,
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let mapped = at("::ffff:127.0.0.1", 80);
        assert_eq!(end(mapped.into()), at("127.0.0.1", 80));
    }

    #[test]
    fn the_most_specific_listener_is_found() {
        let all = vec![
            connection("127.0.0.1"),
            listener("::", 1),
            listener("0.0.0.0", 2),
            listener("127.0.0.1", 3),
            listener("127.0.0.1", 4),
        ];
        let (server, client) = (at("127.0.0.1", 80), at("127.0.0.1", 5000));
        let found = |rows: &[Row]| {
            let found = listening(rows, server, client).unwrap();
            found.iter().map(|row| row.inode).collect::<Vec<u64>>()
        };
        assert_eq!(found(&all), [3, 4]);
        assert_eq!(found(&all[..3]), [2]);
        assert_eq!(found(&all[..2]), [1]);
        assert!(listening(&all[..1], server, client).is_err());
        // A listener on the same port of another address does not count.
        assert!(listening(&all[1..], server, client).is_err());
    }

    #[test]
    fn every_ipv4_address_is_not_one_of_ipv6() {
        let rows = [connection("::1"), listener("0.0.0.0", 1), listener("::", 2)];
        let found = listening(&rows, at("::1", 80), at("::1", 5000)).unwrap();
        assert_eq!(found[0].inode, 2);
    }

    #[test]
    fn the_name_of_this_process_is_found() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(named(own).name.is_some_and(|name| !name.is_empty()));
        assert_eq!(named(i32::MAX).name, None);
    }
}
