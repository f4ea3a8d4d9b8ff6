//! Throughput: sends at full speed; the receiver counts the bytes.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sok::address::Address;
use sok::error::{Error, ErrorKind, Result};
use sok::net::Socket;

use super::server::{STACK, filled};

/// The traffic of one connection.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Pushed {
    /// The number of sends.
    pub(super) sends: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// The reply until the server ended.
struct Returned {
    total: u64,
    /// Whether the server ended while there was more to send.
    early: bool,
    /// The first bytes of the reply: the count, if the server is ours.
    first: [u8; 8],
}

/// Sends messages of `size` bytes until `stop`, then half-closes and waits for the server to end,
/// which has then received everything.
///
/// Our own server reports the number of bytes. Another server counts as complete if it closes after
/// us without an error, since a server that closes with unread data resets the connection. Its
/// reply, as of an echo server, is received and discarded.
pub(super) fn push(
    socket: &Socket,
    address: &Address,
    size: usize,
    own: bool,
    stop: &AtomicBool,
) -> Result<Pushed> {
    let failed = |operation| fault(operation, address);
    let message = vec![b'.'; size];
    let finished = AtomicBool::new(false);
    thread::scope(|scope| {
        let named = thread::Builder::new().stack_size(STACK);
        let receiving = named
            .spawn_scoped(scope, || receive_all(socket, &finished))
            .map_err(failed("start"))?;
        let mut pushed = Pushed::default();
        let mut sending = Ok(());
        while !stop.load(Ordering::Relaxed) {
            match (&mut &*socket).write(&message) {
                Ok(count) => {
                    pushed.sent += count as u64;
                    pushed.sends += 1;
                }
                Err(error) => {
                    sending = Err(error);
                    break;
                }
            }
        }
        finished.store(true, Ordering::Relaxed);
        let _ = socket.shutdown(match sending {
            Ok(()) => Shutdown::Write,
            // The other thread would wait for ever.
            Err(_) => Shutdown::Both,
        });
        let returned = receiving.join();
        sending.map_err(failed("send"))?;
        let returned = returned
            .unwrap_or_else(|_| Err(io::Error::other("the receiving thread failed")))
            .map_err(failed("receive"))?;
        pushed.received = match (own, returned.total) {
            (false, _) if returned.early => {
                let cause = "the server closed first: the number of bytes it received is unknown";
                return Err(Error::because("receive", address, ErrorKind::Broken, cause));
            }
            (false, _) => pushed.sent,
            (true, 8) => u64::from_le_bytes(returned.first),
            (true, _) => {
                let cause = "the server did not report how much it received";
                return Err(Error::because("receive", address, ErrorKind::Broken, cause));
            }
        };
        Ok(pushed)
    })
}

/// What an error of a call means.
pub(super) fn fault(operation: &'static str, address: &Address) -> impl Fn(io::Error) -> Error {
    move |error| {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Error::new(operation, address, error);
        }
        let cause = "the server did not read, or did not close, within the time limit";
        Error::because(operation, address, ErrorKind::TimedOut, cause).with_hint(
            "measure a server that reads to end of file, such as 'sok serve ADDRESS --discard'",
        )
    }
}

/// Receives to end of file; while there is more to send, a reply may take any time.
fn receive_all(socket: &Socket, finished: &AtomicBool) -> io::Result<Returned> {
    let mut returned = Returned {
        total: 0,
        early: false,
        first: [0; 8],
    };
    let longest = socket.longest_message()?.unwrap_or_default();
    let mut buffer = filled(longest.max(64 * 1024), 0)?;
    loop {
        let was_finished = finished.load(Ordering::Relaxed);
        match (&mut &*socket).read(&mut buffer) {
            Ok(0) => {
                returned.early = !finished.load(Ordering::Relaxed);
                return Ok(returned);
            }
            Ok(count) => {
                let at = usize::try_from(returned.total).unwrap_or(usize::MAX);
                let missing = returned.first.len().saturating_sub(at).min(count);
                if missing > 0 {
                    returned.first[at..at + missing].copy_from_slice(&buffer[..missing]);
                }
                returned.total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !was_finished => {}
            Err(error) => return Err(error),
        }
    }
}
