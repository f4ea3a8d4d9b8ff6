//! The bare blocking pair: one writes and reads, the other reads and writes.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Result, address, say};

/// Echoes each connection on a thread of its own, but for one bit: the messages of sockperf say in
/// the lowest bit of their 10th byte that they are a client's, and it counts only those that do
/// not. Who has no such bit gets its own message back.
pub fn mirror(text: &str) -> Result<()> {
    let listener = address::listen(text)?;
    loop {
        let (mut socket, _) = listener.accept()?;
        address::no_delay(&socket)?;
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count) = socket.read(&mut buffer) {
                if count > 9 {
                    buffer[9] &= !1;
                }
                if count == 0 || socket.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
        });
    }
}

/// Reads everything from each connection, on a separate thread.
pub fn devour(text: &str) -> Result<()> {
    let listener = address::listen(text)?;
    loop {
        let (mut socket, _) = listener.accept()?;
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while socket.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
    }
}

/// Round trips on one connection, the first tenth of the time not counted.
pub fn pair(text: &str, seconds: &str, size: &str) -> Result<()> {
    let size = size.parse::<usize>()?;
    let mut socket = address::connect_plain(text)?;
    address::no_delay(&socket)?;
    let message = vec![b'.'; size];
    let mut reply = vec![0; size];
    let mut nanos: Vec<u32> = Vec::with_capacity(1 << 21);
    let length = Duration::from_secs_f64(seconds.parse()?);
    let begin = Instant::now();
    let (counted, end) = (begin + length / 10, begin + length + length / 10);
    let mut sent = begin;
    while sent < end {
        socket.write_all(&message)?;
        socket.read_exact(&mut reply)?;
        let now = Instant::now();
        if sent >= counted {
            nanos.push(u32::try_from((now - sent).as_nanos()).unwrap_or(u32::MAX));
        }
        sent = now;
    }
    let took = (sent - counted).as_secs_f64();
    nanos.sort_unstable();
    let at = |share: f64| f64::from(nanos[(nanos.len() as f64 * share) as usize]) / 1000.0;
    if nanos.is_empty() {
        return Err("no round trip was done".into());
    }
    Ok(say(&format!(
        r#"{{"trips": {}, "per_second": {:.0}, "p50_us": {:.2}, "p99_us": {:.2}}}"#,
        nanos.len(),
        nanos.len() as f64 / took,
        at(0.5),
        at(0.99),
    ))?)
}

/// Sends for a while what is devoured, and waits for the end of it.
pub fn pour(text: &str, seconds: &str, size: &str) -> Result<()> {
    let mut socket = address::connect_plain(text)?;
    address::no_delay(&socket)?;
    let message = vec![b'.'; size.parse()?];
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds.parse()?);
    let mut total = 0;
    while Instant::now() < end {
        total += socket.write(&message)?;
    }
    socket.shutdown(std::net::Shutdown::Write)?;
    if socket.read(&mut [0])? != 0 {
        return Err("the sink answered".into());
    }
    let rate = total as f64 / begin.elapsed().as_secs_f64();
    Ok(say(&format!(
        r#"{{"bytes": {total}, "per_second": {rate:.0}}}"#
    ))?)
}
