//! The receiver of a datagram socket: gives each datagram to the session of its peer.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::{Session, Shared, clock, millis, moment};
use crate::net::datagram::{Batch, Ends};
use crate::net::family;
use crate::net::peer::Credentials;
use crate::net::received::above_limit;

/// The maximum of datagrams in one turn, before the services of the sessions get theirs.
const TURN: usize = 32;
/// The turns of one datagram, before others get more: the answer to the first need not wait until the
/// socket is known to be empty, and the second tells that by the cheapest call.
const SHORT_TURNS: usize = 2;
/// The turns after which the sessions end although more arrives.
const LAST_TURNS: usize = 128;
/// How long a service has to take something, where a full queue drops datagrams.
const SERVICE_TURN: Duration = Duration::from_millis(5);
/// The pause when the machine is out of memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// A time that is not reached.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Receives for ever, or until the socket fails. A datagram above `max_message` is counted for its
/// session, and dropped.
pub(super) async fn receive(shared: Arc<Shared>, max_message: usize) {
    let longest = family::of(shared.local.family()).longest_datagram();
    // One byte more shows that a datagram is too large.
    let room = longest.min(max_message).saturating_add(1);
    let mut batch = Batch::new(
        room,
        shared.is_everywhere,
        shared.takes_files,
        shared.takes_credentials,
    );
    let mut expiry = pin!(sleep(NEVER));
    let mut is_set = false;
    let mut ending = pin!(shared.ending.notified());
    let mut short_turns = SHORT_TURNS;
    loop {
        let received = tokio::select! {
            biased;
            () = ending.as_mut() => {
                ending.set(shared.ending.notified());
                receive_last(&shared, &mut batch);
                shared.table().end_all();
                continue;
            }
            received = poll_fn(|cx| {
                if shared.is_left() {
                    return Poll::Pending;
                }
                // Only this task waits for it: that costs less than `readable`.
                let mut ready = ready!(shared.io.poll_read_ready(cx))?;
                let turn = if short_turns > 0 { 1 } else { TURN };
                let received = receive_turn(&shared, &mut batch, turn);
                if matches!(received, Ok(Turn::Emptied)) {
                    ready.clear_ready();
                }
                Poll::Ready(received)
            }) => received,
            () = expiry.as_mut() => {
                is_set = set(expiry.as_mut(), expire(&shared));
                continue;
            }
        };
        match received {
            Ok(Turn::Emptied) => short_turns = SHORT_TURNS,
            Ok(Turn::Over) => {
                short_turns = short_turns.saturating_sub(1);
                let_others_run().await;
                // While more and more arrives, nothing waits for the timer.
                if expiry.deadline() <= Instant::now() {
                    is_set = set(expiry.as_mut(), expire(&shared));
                }
            }
            Ok(Turn::Full(session)) if shared.waits_for_receivers() => {
                wait_for_room(&shared, &session, ending.as_mut()).await;
            }
            Ok(Turn::Full(session)) => {
                // A full queue drops what comes next, so its service gets its turn first.
                let waiting = wait_for_room(&shared, &session, ending.as_mut());
                let _ = timeout(SERVICE_TURN, waiting).await;
                session.queue().note_awaited();
            }
            Err(error) if is_exhausted(&error) => sleep(EXHAUSTED_PAUSE).await,
            Err(error) => return shared.table().fail(&error),
        }
        if !is_set {
            is_set = set(expiry.as_mut(), expire(&shared));
        }
    }
}

/// How a turn of receives ended.
enum Turn {
    /// The socket was emptied.
    Emptied,
    /// More may be available.
    Over,
    /// This session takes no more, and receiving must wait for it.
    Full(Arc<Session>),
}

/// Receives up to `turn` datagrams, and gives each to its session.
fn receive_turn(shared: &Shared, batch: &mut Batch, turn: usize) -> io::Result<Turn> {
    let mut left = turn;
    while left > 0 {
        let is_emptied = match batch.receive(shared.io.get_ref(), left) {
            Ok(is_emptied) => is_emptied,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Turn::Emptied),
            // An earlier send met no socket: its session is not known.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                left -= 1;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut files = batch.take_files();
        let credentials = batch.credentials();
        let mut full = None;
        for (datagram, ends) in batch.datagrams() {
            left = left.saturating_sub(1);
            let files = mem::replace(&mut files, Ok(Vec::new()));
            // Each datagram is delivered, whichever session is full first.
            let delivered = deliver(shared, ends, credentials, datagram, files, batch.room());
            full = full.or(delivered);
        }
        if let Some(session) = full {
            return Ok(Turn::Full(session));
        }
        if is_emptied {
            return Ok(Turn::Emptied);
        }
    }
    Ok(Turn::Over)
}

/// Receives what has arrived at the socket, before its sessions end.
fn receive_last(shared: &Shared, batch: &mut Batch) {
    if shared.is_left() {
        return;
    }
    // The peers may continue to send.
    for _ in 0..LAST_TURNS {
        if !matches!(
            receive_turn(shared, batch, TURN),
            Ok(Turn::Over | Turn::Full(_))
        ) {
            return;
        }
    }
}

/// Lets the tasks run that are ready now. `yield_now` of the runtime would poll all sockets first.
async fn let_others_run() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Gives a datagram to the session of its peer, with the descriptors that came with it; returns the
/// session if it takes no more and receiving must wait.
fn deliver(
    shared: &Shared,
    ends: Ends,
    credentials: Option<Credentials>,
    datagram: &[u8],
    files: io::Result<Vec<OwnedFd>>,
    room: usize,
) -> Option<Arc<Session>> {
    if ends.are_the_same(&shared.local) {
        // Forged: an answer would come back here.
        shared.table().count_unserved();
        return None;
    }
    loop {
        let session = session(shared, ends, credentials)?;
        let mut queue = session.queue();
        if queue.is_gone() {
            // Its service has ended just now: the datagram begins another session.
            drop(queue);
            shared.table().remove(&session);
            continue;
        }
        let waits = shared.waits_for_receivers();
        let pushed = files.and_then(|files| {
            if datagram.len() == room {
                return Err(above_limit(room - 1));
            }
            if queue.has_no_room() {
                return Err(io::Error::other("the queue of the session was full"));
            }
            if !waits && queue.is_sum_full() {
                let cause = "the queues of all sessions together were full";
                return Err(io::Error::other(cause));
            }
            queue.push(datagram, files)
        });
        if let Err(cause) = pushed {
            drop(queue);
            shared.lose(&session, &cause);
            return None;
        }
        let must_wait = match waits {
            true => queue.delays_others(),
            false => queue.is_full() && queue.is_to_be_awaited(),
        };
        drop(queue);
        return must_wait.then_some(session);
    }
}

/// The session between `ends`, which begins with this datagram if there is none; `None` if its peer may
/// not begin one.
fn session(shared: &Shared, ends: Ends, credentials: Option<Credentials>) -> Option<Arc<Session>> {
    let now = shared.now();
    let known = shared.table().session(&ends, now);
    if known.is_some() {
        return known;
    }
    // Without the lock of the table: it may take a while. Only this task begins sessions.
    let place = match &shared.gate {
        Some(gate) => {
            let peer = shared.peer(&ends, credentials).ok()?;
            Some(gate.admit(&peer)?)
        }
        None => None,
    };
    let mut table = shared.table();
    table.begin(ends, credentials, place, now, shared.backlog)
}

impl Shared {
    /// Whether a sender waits while its receiver takes nothing, so that nothing is lost if the
    /// datagrams stay in the kernel.
    fn waits_for_receivers(&self) -> bool {
        self.local.family().facts().full_receiver_blocks
    }
}

/// Waits until `full` takes more, its peer has stalled, or all sessions are to end. Meanwhile
/// sessions may end.
async fn wait_for_room<'a>(shared: &'a Shared, full: &Session, mut ending: Pin<&mut Notified<'a>>) {
    loop {
        let room = shared.room.notified();
        // This may end the session itself.
        let next = expire(shared);
        let stalled = {
            let queue = full.queue();
            if !queue.delays_others() {
                return;
            }
            queue.stalled_at()
        };
        let due = next.into_iter().chain(stalled).min();
        tokio::select! {
            () = room => {}
            () = ending.as_mut() => {
                ending.set(shared.ending.notified());
                return shared.ending.notify_one();
            }
            () = sleep_until(due.unwrap_or_else(never)) => {}
        }
    }
}

/// Ends the sessions that have been idle too long; returns when the next one may be.
fn expire(shared: &Shared) -> Option<Instant> {
    let idle = u64::try_from(shared.idle.as_millis()).unwrap_or(u64::MAX);
    let now = clock();
    let mut table = shared.table();
    if let Some(limit) = now.checked_sub(idle) {
        table.expire(moment(limit + 1) - 1);
    }
    let oldest = table.oldest(moment(now));
    let exact = Instant::now();
    let outlived = table.end_outlived(exact);
    oldest.map(|last| {
        // The clock of the sessions is coarse.
        let left = millis(last).saturating_add(idle).saturating_sub(now) + 10;
        let idle = exact + Duration::from_millis(left).min(NEVER);
        outlived.map_or(idle, |outlived| idle.min(outlived))
    })
}

fn never() -> Instant {
    Instant::now() + NEVER
}

/// Sets when the timer ends next; returns whether it does.
fn set(timer: Pin<&mut Sleep>, due: Option<Instant>) -> bool {
    timer.reset(due.unwrap_or_else(never));
    due.is_some()
}

/// Whether memory is short, which may pass.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(nix::Error::from_raw),
        Some(nix::Error::ENOMEM | nix::Error::ENOBUFS)
    )
}
