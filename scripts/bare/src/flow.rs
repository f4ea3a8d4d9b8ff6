//! Messages one way: numbered, so that their receiver knows which did not arrive.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::sys::socket::{MsgFlags, recv};

use crate::{Result, address, say};

/// The number of the message after the last one, which is sent several times: datagrams may be lost.
const END: u64 = u64::MAX;
const ENDS: usize = 50;

/// Sends `count` messages of `size` bytes by blocking calls.
pub fn flow(text: &str, count: &str, size: &str) -> Result<()> {
    let (count, size) = (count.parse::<u64>()?, size.parse::<usize>()?);
    if size < 8 {
        return Err("a message has at least 8 bytes".into());
    }
    let mut socket = address::connect_as(text, 0)?;
    // The receiver closes a connection after the first.
    let ends = if address::is_datagram(text)? { ENDS } else { 1 };
    let mut message = vec![b'm'; size];
    for number in (0..count).chain(std::iter::repeat_n(END, ends)) {
        message[..8].copy_from_slice(&number.to_le_bytes());
        if socket.write(&message)? != size {
            return Err("a message was not taken whole".into());
        }
        if number == END {
            // Not lost with those before it.
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    Ok(())
}

/// Receives flows, one after another, and prints for each how many messages came, how many of them
/// in order, and in how many seconds.
pub fn tally(text: &str) -> Result<()> {
    let bound = address::listen(text)?;
    let is_datagram = address::is_datagram(text)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let accepted = match is_datagram {
            true => None,
            false => Some(bound.accept()?.0),
        };
        let fd = accepted.as_ref().unwrap_or(&bound).as_raw_fd();
        let (mut came, mut in_order, mut next) = (0_u64, 0_u64, 0_u64);
        let mut began: Option<Instant> = None;
        let mut last = Instant::now();
        loop {
            let length = recv(fd, &mut buffer, MsgFlags::empty())?;
            let Some(number) = buffer[..length].first_chunk() else {
                break;
            };
            let number = u64::from_le_bytes(*number);
            if number == END {
                // The rest of the last flow's ends.
                if began.is_none() {
                    continue;
                }
                break;
            }
            began.get_or_insert_with(Instant::now);
            last = Instant::now();
            came += 1;
            in_order += u64::from(number == next);
            next = number + 1;
        }
        let seconds = began.map_or(0.0, |began| (last - began).as_secs_f64());
        say(&format!("{came} {in_order} {seconds:.6}"))?;
    }
}
