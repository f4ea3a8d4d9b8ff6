//! Connections a second: each client connects, sends a message, receives its echo, resets, repeats. A
//! header may come before the message, which is not echoed.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Result, address, say};

const MESSAGE: usize = 64;
/// A server that is silent for this time is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn dial(text: &str, clients: &str, seconds: &str, header: &str) -> Result<()> {
    let clients = clients.parse::<u8>()?;
    let began = Instant::now();
    let end = began + Duration::from_secs_f64(seconds.parse()?);
    let all: Vec<std::result::Result<u64, String>> = thread::scope(|scope| {
        let one = |client| {
            move || until(text, client, end, header).map_err(|error| error.to_string())
        };
        let running: Vec<_> = (0..clients)
            .map(|client| scope.spawn(one(client)))
            .collect();
        running
            .into_iter()
            .map(|client| {
                client
                    .join()
                    .unwrap_or_else(|_| Err("a client panicked".into()))
            })
            .collect()
    });
    let mut count = 0;
    for one in all {
        count += one?;
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(say(&format!(
        r#"{{"connections": {count}, "per_second": {:.0}}}"#,
        count as f64 / seconds
    ))?)
}

/// The number of connections that a client made until `end`.
fn until(text: &str, client: u8, end: Instant, header: &str) -> Result<u64> {
    let message = [client; MESSAGE];
    // As a proxy does with what its client has sent by then.
    let first = [header.as_bytes(), &message].concat();
    let mut count = 0;
    while Instant::now() < end {
        let mut socket = address::connect_plain(text)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // A reset leaves no port behind that rests for a minute (`TIME-WAIT`, see RFC 9293).
        socket.set_linger(Some(Duration::ZERO))?;
        socket.write_all(&first)?;
        let mut echo = [0; MESSAGE];
        socket.read_exact(&mut echo)?;
        if echo != message {
            return Err("the echo differs from the message".into());
        }
        count += 1;
    }
    Ok(count)
}
