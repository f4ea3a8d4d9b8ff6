//! Which process listens, as far as `/proc` lets us see: `proc_net_tcp.rst` of the kernel, `proc(5)`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;
use sok::net::{Credentials, processes_with};

/// A process, by its number and its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Process {
    /// The process id.
    pub(crate) pid: i32,
    /// The name of its program, at most 15 bytes, see `/proc/pid/comm` in `proc(5)`; `None` for one
    /// that has ended.
    pub(crate) name: Option<String>,
}

/// Who listens, or why that cannot be told.
pub(super) type Seen = Result<Vec<Process>, String>;

/// One end of a network connection.
type End = (IpAddr, u16);

/// One line of `/proc/net/tcp` or `/proc/net/tcp6`.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    local: End,
    remote: End,
    listens: bool,
    uid: u32,
    inode: u64,
}

/// The process that called `listen(2)` on a local name.
pub(super) fn by_credentials(server: Credentials) -> Seen {
    match server.pid {
        0 => Err("its process is in another pid namespace".to_owned()),
        pid => Ok(vec![named(pid)]),
    }
}

/// The processes that listen at `server`, which a connection from `client` is open to.
pub(super) fn by_connection(server: End, client: End) -> Seen {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    let rows: Vec<Row> = texts.iter().flat_map(|text| rows(text)).collect();
    let listening = listening(&rows, server, client)?;
    let inodes: Vec<u64> = listening.iter().map(|row| row.inode).collect();
    let found: Vec<Process> = processes_with(&inodes).into_iter().map(named).collect();
    match (found.is_empty(), listening.first()) {
        (true, Some(row)) => Err(format!(
            "its process is hidden: ask as the owner, uid {}, or as root",
            row.uid
        )),
        _ => Ok(found),
    }
}

/// The rows of who listens at `server`: several share one port where they ask for it.
fn listening(rows: &[Row], server: End, client: End) -> Result<Vec<&Row>, String> {
    // An address of ours may yet lead elsewhere: the connection's other end is in our tables only
    // if it is here.
    let here = |row: &Row| !row.listens && row.local == server && row.remote == client;
    if !rows.iter().any(here) {
        return Err("it is on another host, or in another network namespace".to_owned());
    }
    let fits = |row: &&Row| row.listens && row.local.1 == server.1;
    // As the kernel chooses: the very address, then every address of the family, then of both.
    let v4 = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let everywhere = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    let wanted = [
        Some(server.0),
        server.0.is_ipv4().then_some(v4),
        Some(everywhere),
    ];
    for ip in wanted.into_iter().flatten() {
        let found: Vec<&Row> = rows
            .iter()
            .filter(fits)
            .filter(|row| row.local.0 == ip)
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err("nobody listens there any more".to_owned())
}

fn rows(table: &str) -> impl Iterator<Item = Row> {
    // The first line has the names of the columns.
    table.lines().skip(1).filter_map(row)
}

fn row(line: &str) -> Option<Row> {
    /// `TCP_LISTEN` of the kernel's `net/tcp_states.h`.
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    Some(Row {
        local: end(fields.get(1)?)?,
        remote: end(fields.get(2)?)?,
        listens: *fields.get(3)? == LISTEN,
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// Reads `0100007F:1F92`: the address as words in the byte order of this machine, and the port.
fn end(text: &str) -> Option<End> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for at in (0..ip.len()).step_by(8) {
        let word = u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let ip = match <[u8; 16]>::try_from(bytes.as_slice()) {
        Ok(v6) => IpAddr::from(v6),
        Err(_) => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
    };
    Some((ip.to_canonical(), port))
}

fn named(pid: i32) -> Process {
    let name = fs::read(format!("/proc/{pid}/comm")).ok();
    Process {
        pid,
        name: name.map(|name| String::from_utf8_lossy(name.trim_ascii_end()).into_owned()),
    }
}

/// Reads a table of connections: see `fuzzing.rs`.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(table: &str) {
    let written = |(ip, port): End| {
        let words = |bytes: &[u8]| -> String {
            let words = bytes.chunks_exact(4).map(|word| word.try_into());
            words
                .map(|word| format!("{:08X}", u32::from_ne_bytes(word.unwrap_or_default())))
                .collect()
        };
        match ip {
            IpAddr::V4(v4) => format!("{}:{port:04X}", words(&v4.octets())),
            IpAddr::V6(v6) => format!("{}:{port:04X}", words(&v6.octets())),
        }
    };
    let rows: Vec<Row> = rows(table).collect();
    for row in &rows {
        assert_eq!(end(&written(row.local)), Some(row.local));
        let found = listening(&rows, row.local, row.remote).unwrap_or_default();
        assert!(
            found
                .iter()
                .all(|one| one.listens && one.local.1 == row.local.1)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str, port: u16) -> End {
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
    #[cfg(target_endian = "little")]
    fn the_kernels_tables_are_read() {
        let v4 = "   0: 0100007F:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 641 1 00000000aa7dffc4 100 0 0 10 0";
        let v6 = "   1: 00000000000000000000000001000000:1F92 00000000000000000000000001000000:ABCD 01 00000000:00000000 00:00000000 00000000     0        0 77 1 0";
        let table = format!("  sl  local_address rem_address   st\n{v4}\n{v6}\n");
        let want = [
            Row {
                local: at("127.0.0.1", 8082),
                remote: at("0.0.0.0", 0),
                listens: true,
                uid: 1000,
                inode: 641,
            },
            Row {
                local: at("::1", 8082),
                remote: at("::1", 0xabcd),
                listens: false,
                uid: 0,
                inode: 77,
            },
        ];
        assert_eq!(rows(&table).collect::<Vec<Row>>(), want);
        for cut in [
            "",
            "0:",
            "0: 0100007F",
            "0: 01:1F92 00000000:0000 0A",
            "0: é:1 é:1 0A",
        ] {
            assert_eq!(row(cut), None, "{cut}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let [a, b, c, d] = [0_u32, 0, u32::from_be(0xffff), u32::from_be(0x7f00_0001)]
            .map(|word| format!("{word:08X}"));
        assert_eq!(
            end(&format!("{a}{b}{c}{d}:0050")),
            Some(at("127.0.0.1", 80))
        );
    }

    #[test]
    fn the_most_exact_listener_is_the_one() {
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
        // A listener of ours on the same port of another host's address is not asked.
        assert!(listening(&all[1..], server, client).is_err());
    }

    #[test]
    fn every_ipv4_address_is_not_one_of_ipv6() {
        let rows = [connection("::1"), listener("0.0.0.0", 1), listener("::", 2)];
        let found = listening(&rows, at("::1", 80), at("::1", 5000)).unwrap();
        assert_eq!(found[0].inode, 2);
    }

    #[test]
    fn this_process_has_a_name() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(named(own).name.is_some_and(|name| !name.is_empty()));
        assert_eq!(named(i32::MAX).name, None);
    }
}
