//! Throughput without a connection: nothing says when all has arrived, so the client asks for the
//! number of bytes.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sok::address::Address;
use sok::error::{Error, ErrorKind, Result};
use sok::net::Socket;

use super::server::{STACK, filled};
use super::throughput::{Pushed, fault};

/// The pause before the number is asked for again: the request, or its answer, may be lost.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Sends datagrams of `size` bytes until `stop`, and asks our own server how much arrived, for at
/// most `limit`.
pub(super) fn push_counted(
    socket: &Socket,
    (address, limit): (&Address, Duration),
    size: usize,
    stop: &AtomicBool,
) -> Result<Pushed> {
    let mut pushed = send_until(socket, address, size, stop)?;
    let failed = |error| Error::new("receive", address, error);
    socket.set_blocking_within(ASK_AGAIN).map_err(failed)?;
    let began = Instant::now();
    while began.elapsed() < limit {
        let mut answer = [0; 8];
        let asked = socket.send_message(&[]);
        match asked.and_then(|_| socket.receive_message(&mut answer)) {
            Ok(_) => {
                pushed.received = u64::from_le_bytes(answer);
                return Ok(pushed);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let cause = format!("the server did not report how much it received within {limit:?}");
    Err(Error::because(
        "receive",
        address,
        ErrorKind::TimedOut,
        cause,
    ))
}

/// The same to a server that is not ours, on a family where a full receiver blocks its sender: all
/// that is sent arrives. The replies, as of an echo server, are received and discarded.
pub(super) fn push_uncounted(
    socket: &Socket,
    address: &Address,
    size: usize,
    stop: &AtomicBool,
) -> Result<Pushed> {
    let finished = AtomicBool::new(false);
    thread::scope(|scope| {
        let named = thread::Builder::new().stack_size(STACK);
        let discarding = named
            .spawn_scoped(scope, || discard(socket, &finished))
            .map_err(fault("start", address))?;
        let sent = send_until(socket, address, size, stop);
        finished.store(true, Ordering::Relaxed);
        // Ends the receive of the other thread.
        let _ = socket.shutdown(Shutdown::Both);
        let discarded = discarding.join();
        let mut pushed = sent?;
        discarded
            .unwrap_or_else(|_| Err(io::Error::other("the receiving thread failed")))
            .map_err(fault("receive", address))?;
        pushed.received = pushed.sent;
        Ok(pushed)
    })
}

fn send_until(
    socket: &Socket,
    address: &Address,
    size: usize,
    stop: &AtomicBool,
) -> Result<Pushed> {
    let message = filled(size, b'.').map_err(fault("send", address))?;
    let mut pushed = Pushed::default();
    while !stop.load(Ordering::Relaxed) {
        let sent = socket.send_message(&message);
        pushed.sent += sent.map_err(fault("send", address))? as u64;
        pushed.sends += 1;
    }
    Ok(pushed)
}

fn discard(socket: &Socket, finished: &AtomicBool) -> io::Result<()> {
    let longest = socket.longest_message()?.unwrap_or_default();
    let mut buffer = filled(longest, 0)?;
    while !finished.load(Ordering::Relaxed) {
        match socket.receive_message(&mut buffer) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
