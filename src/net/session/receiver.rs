//! The receiver of a datagram socket: gives each datagram to the session of its peer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{Session, Shared};
use crate::net::datagram::Ends;
use crate::net::family;

/// The datagrams of one turn, before the services of the sessions get theirs.
const TURN: usize = 64;
/// The pause when the machine is out of memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Receives for ever, or until the socket fails. A datagram above `max_message` is counted for its
/// session, and dropped.
pub(super) async fn receive(shared: Arc<Shared>, max_message: usize) {
    // One byte more shows that a datagram is too large.
    let room = family::of(shared.local.family())
        .longest_datagram()
        .min(max_message);
    let mut buffer = vec![0; room.saturating_add(1)];
    loop {
        let due = expiry(&shared);
        let received = tokio::select! {
            biased;
            () = sleep_until_or_forever(due) => continue,
            received = shared.io.readable() => received.map(|mut ready| {
                receive_turn(&shared, &mut buffer).inspect_err(|error| {
                    if error.kind() == io::ErrorKind::WouldBlock {
                        ready.clear_ready();
                    }
                })
            }),
        };
        match received.flatten() {
            Ok(None) => tokio::task::yield_now().await,
            Ok(Some(full)) => wait_for_room(&shared, &full).await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if is_exhausted(&error) => sleep(EXHAUSTED_PAUSE).await,
            Err(error) => return shared.table().fail(&error),
        }
    }
}

/// Receives some datagrams; returns a session that takes no more, if receiving must wait for it.
fn receive_turn(shared: &Shared, buffer: &mut [u8]) -> io::Result<Option<Arc<Session>>> {
    for _ in 0..TURN {
        let received = shared
            .io
            .get_ref()
            .receive_from(buffer, shared.is_everywhere);
        let (count, ends) = match received {
            Ok(received) => received,
            // An earlier send met no socket: its session is not known.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(error),
        };
        let full = deliver(shared, ends, &buffer[..count], buffer.len());
        if full.is_some() {
            return Ok(full);
        }
    }
    Ok(None)
}

/// Gives a datagram to the session of its peer; returns the session if it takes no more and
/// receiving must wait.
fn deliver(shared: &Shared, ends: Ends, datagram: &[u8], room: usize) -> Option<Arc<Session>> {
    let session = shared.table().session(ends, shared.now(), shared.backlog)?;
    let mut queue = session.queue();
    if datagram.len() == room {
        let limit = room - 1;
        let cause = format!("a message is larger than the limit of {limit} bytes");
        session.losses.add(&io::Error::other(cause));
        return None;
    }
    if queue.is_full() {
        session
            .losses
            .add(&io::Error::other("the queue of the session was full"));
        return None;
    }
    queue.push(datagram);
    let must_wait = queue.is_full() && !queue.is_blocked() && shared.waits_for_receivers();
    drop(queue);
    must_wait.then_some(session)
}

impl Shared {
    /// Whether a sender waits while its receiver takes nothing, so that nothing is lost if the
    /// datagrams stay in the kernel.
    fn waits_for_receivers(&self) -> bool {
        self.local.family().facts().full_receiver_blocks
    }
}

/// Waits until `full` takes more, or its peer is at fault. Meanwhile sessions may end.
async fn wait_for_room(shared: &Shared, full: &Session) {
    loop {
        let room = shared.room.notified();
        let is_waiting = {
            let queue = full.queue();
            queue.is_full() && !queue.is_blocked() && !queue.has_ended()
        };
        if !is_waiting {
            return;
        }
        let due = expiry(shared);
        tokio::select! {
            () = room => {}
            () = sleep_until_or_forever(due) => {}
        }
    }
}

/// Ends the sessions that have been idle too long; returns when the next one may be.
fn expiry(shared: &Shared) -> Option<Instant> {
    let idle = u64::try_from(shared.idle.as_millis()).unwrap_or(u64::MAX);
    let mut table = shared.table();
    let limit = shared.now().checked_sub(idle);
    let oldest = match limit {
        Some(limit) => table.expire(limit),
        None => table.oldest(),
    };
    oldest.map(|last| {
        let due = Duration::from_millis(last.saturating_add(idle).saturating_add(1));
        (shared.began + due).into()
    })
}

async fn sleep_until_or_forever(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Whether memory is short, which may pass.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(nix::Error::from_raw),
        Some(nix::Error::ENOMEM | nix::Error::ENOBUFS)
    )
}
