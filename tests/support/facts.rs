//! What the kernel reports about a process, and data to send.

use std::time::Duration;

use nix::unistd::Pid;

/// The resident memory of a process, in KiB.
pub(crate) fn resident_kib(pid: Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The ports of the UDP sockets of a process.
pub(crate) fn udp_ports(pid: Pid) -> Vec<u16> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = descriptors.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let sockets: Vec<String> = links
        .filter_map(|link| {
            let number = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(number.to_owned())
        })
        .collect();
    let tables = ["udp", "udp6"].map(|name| format!("/proc/{pid}/net/{name}"));
    let tables = tables.map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    rows.filter_map(|row| {
        // Fields 1 and 9 are the address, with the port in hex, and the number of the socket.
        let fields: Vec<&str> = row.split_whitespace().collect();
        let (_, port) = fields[1].rsplit_once(':').unwrap();
        let is_own = sockets.iter().any(|socket| socket == fields[9]);
        is_own.then(|| u16::from_str_radix(port, 16).unwrap())
    })
    .collect()
}

/// The processor time of a process.
pub(crate) fn processor_time(pid: Pid) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The fields after the name, which may have spaces; utime and stime are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    // USER_HZ is 100 on all architectures that Linux supports.
    Duration::from_millis(ticks * 10)
}

/// Bytes of every value in random order, the same in every run.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// Whether this process can access files regardless of their mode.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Reports where two long values differ; `assert_eq!` would print them completely.
pub(crate) fn assert_same(got: &[u8], want: &[u8]) {
    if got == want {
        return;
    }
    // Compare bytes only now: without optimisation that takes most of the time of a test.
    let differs = got.iter().zip(want).position(|(a, b)| a != b);
    panic!(
        "got {} bytes, want {}; they differ at {:?}",
        got.len(),
        want.len(),
        differs
    );
}
