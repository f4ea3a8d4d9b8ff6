//! The sessions of a socket: by peer, by idle time, and those that wait to be accepted.

use std::cmp::{Ordering, Reverse};
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use super::queue::Queue;
use crate::net::datagram::Ends;
use crate::net::gate::SessionPlace;
use crate::net::peer::Credentials;

/// The sessions of a socket.
#[derive(Debug, Default)]
pub(super) struct Table {
    open: HashMap<Ends, Arc<Session>>,
    /// The accepted sessions, the one that has been idle longest first. An entry may be late: its session
    /// may have been active since.
    idlest: BinaryHeap<Reverse<IdleSince>>,
    /// The time after which an accepted session ends, if any.
    lifetime: Option<Duration>,
    /// When that of each is over, the first to end first.
    lifetimes: VecDeque<(Instant, Arc<Session>)>,
    /// The sessions that wait to be accepted.
    fresh: VecDeque<Arc<Session>>,
    /// The accepted sessions that were ended to make room, and are still with their service.
    leaving: Vec<u64>,
    begun: u64,
    /// The bytes in the queues of all sessions.
    queued: Arc<AtomicUsize>,
    /// The datagrams of peers that were not accepted.
    unserved: u64,
    is_closed: bool,
    /// The error that ended the receiver.
    broken: Option<nix::Error>,
    wakers: Vec<Waker>,
}

/// A session, with the time of its last datagram when it was entered.
#[derive(Debug)]
struct IdleSince {
    last: u64,
    session: Arc<Session>,
}

impl Table {
    /// Without sessions, each of which is to end after `lifetime`.
    pub(super) fn new(lifetime: Option<Duration>) -> Self {
        Self {
            lifetime,
            ..Self::default()
        }
    }

    /// The session between `ends`, if there is one.
    pub(super) fn session(&self, ends: &Ends, now: u64) -> Option<Arc<Session>> {
        let session = self.open.get(ends)?;
        session.last.store(now, Relaxed);
        Some(Arc::clone(session))
    }

    /// Begins a session between `ends`, unless the socket is closed. With `backlog` sessions that wait to
    /// be accepted, the oldest of these is dropped.
    pub(super) fn begin(
        &mut self,
        ends: Ends,
        credentials: Option<Credentials>,
        place: Option<SessionPlace>,
        now: u64,
        backlog: usize,
    ) -> Option<Arc<Session>> {
        if self.is_closed {
            self.unserved += 1;
            return None;
        }
        self.begun += 1;
        let session = Arc::new(Session {
            id: self.begun,
            ends,
            credentials,
            is_admitted: place.is_some(),
            place: Mutex::new(place),
            queue: Mutex::new(Queue::new(Arc::clone(&self.queued))),
            last: AtomicU64::new(now),
            losses: Default::default(),
        });
        self.open.insert(ends, Arc::clone(&session));
        if self.fresh.len() >= backlog
            && let Some(oldest) = self.fresh.pop_front()
        {
            self.forget(&oldest);
        }
        self.fresh.push_back(Arc::clone(&session));
        self.wakers.drain(..).for_each(Waker::wake);
        Some(session)
    }

    /// Notes the idle time of an accepted session.
    fn enter(&mut self, session: Arc<Session>) {
        // Entries of ended sessions are removed once they are most of them.
        if self.idlest.len() > 2 * self.open.len() + 64 {
            self.idlest
                .retain(|Reverse(entry)| !entry.session.queue().has_ended());
        }
        if let Some(lifetime) = self.lifetime {
            if self.lifetimes.len() > 2 * self.open.len() + 64 {
                self.lifetimes
                    .retain(|(_, session)| !session.queue().has_ended());
            }
            let over = Instant::now() + lifetime;
            self.lifetimes.push_back((over, Arc::clone(&session)));
        }
        let last = session.last.load(Relaxed);
        self.idlest.push(Reverse(IdleSince { last, session }));
    }

    /// Whether no session is left and none begins.
    pub(super) fn is_done(&self) -> bool {
        self.is_closed && self.open.is_empty()
    }

    pub(super) fn poll_fresh(&mut self, cx: &Context<'_>) -> Poll<io::Result<Arc<Session>>> {
        if let Some(error) = self.broken {
            return Poll::Ready(Err(error.into()));
        }
        match self.fresh.pop_front() {
            Some(session) => {
                self.enter(Arc::clone(&session));
                Poll::Ready(Ok(session))
            }
            None => {
                self.wait(cx);
                Poll::Pending
            }
        }
    }

    /// See [`SessionSocket::poll_make_room`](super::SessionSocket::poll_make_room). Ends no more
    /// sessions than new ones wait.
    pub(super) fn poll_make_room(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.wait(cx);
        while self.leaving.len() < self.fresh.len() {
            let Some(session) = self.pop_idlest() else {
                break;
            };
            self.leaving.push(session.id);
            self.remove(&session);
            session.queue().give_up();
        }
        Poll::Pending
    }

    /// The session that has been idle longest.
    fn pop_idlest(&mut self) -> Option<Arc<Session>> {
        while let Some(Reverse(entry)) = self.idlest.pop() {
            if entry.session.queue().has_ended() {
                continue;
            }
            let last = entry.session.last.load(Relaxed);
            if last == entry.last {
                return Some(entry.session);
            }
            let session = entry.session;
            self.idlest.push(Reverse(IdleSince { last, session }));
        }
        None
    }

    /// Ends the accepted sessions whose last datagram passed before `limit`.
    pub(super) fn expire(&mut self, limit: u64) {
        while let Some(Reverse(entry)) = self.idlest.peek() {
            if entry.last > limit {
                break;
            }
            let Some(session) = self.pop_idlest() else {
                break;
            };
            let last = session.last.load(Relaxed);
            if last > limit {
                self.idlest.push(Reverse(IdleSince { last, session }));
                break;
            }
            self.remove(&session);
            session.queue().give_up();
        }
    }

    /// Ends the accepted sessions whose lifetime is over; returns when the next one is, or that of one that
    /// begins now.
    pub(super) fn end_outlived(&mut self, now: Instant) -> Option<Instant> {
        while let Some((over, session)) = self.lifetimes.front() {
            if session.queue().has_ended() {
                self.lifetimes.pop_front();
                continue;
            }
            if *over > now {
                return Some(*over);
            }
            let Some((_, session)) = self.lifetimes.pop_front() else {
                break;
            };
            self.remove(&session);
            session.queue().give_up();
        }
        self.lifetime.map(|lifetime| now + lifetime)
    }

    /// The time of the last datagram of the accepted session that is idle longest, or an earlier one;
    /// `now` if all wait to be accepted.
    pub(super) fn oldest(&self, now: u64) -> Option<u64> {
        let accepted = self.idlest.peek().map(|Reverse(entry)| entry.last);
        accepted.or_else(|| (!self.fresh.is_empty()).then_some(now))
    }

    /// Removes a session whose service has ended, or that was never accepted.
    pub(super) fn forget(&mut self, session: &Session) {
        self.leaving.retain(|id| *id != session.id);
        self.remove(session);
        drop(session.take_place());
        // That of a session whose service has ended is empty.
        self.unserved += session.queue().end_now() as u64;
    }

    /// Counts a datagram that no session gets.
    pub(super) const fn count_unserved(&mut self) {
        self.unserved += 1;
    }

    /// The datagrams of peers that were not accepted.
    pub(super) const fn unserved(&self) -> u64 {
        self.unserved
    }

    /// Removes a session that takes no more: the next datagram of its peer begins another.
    pub(super) fn remove(&mut self, session: &Session) {
        if let Entry::Occupied(known) = self.open.entry(session.ends)
            && known.get().id == session.id
        {
            known.remove();
        }
    }

    /// Whether a session waits to be accepted.
    pub(super) fn has_fresh(&self) -> bool {
        self.broken.is_none() && !self.fresh.is_empty()
    }

    /// Begins no more sessions; those that wait can still be accepted.
    pub(super) const fn begin_no_more(&mut self) {
        self.is_closed = true;
    }

    /// Begins no more sessions, and drops those that wait to be accepted.
    pub(super) fn close(&mut self) {
        self.begin_no_more();
        while let Some(session) = self.fresh.pop_front() {
            self.forget(&session);
        }
    }

    pub(super) fn end_all(&mut self) {
        let all = self.open.values();
        all.for_each(|session| session.queue().end());
        self.open.clear();
        self.idlest.clear();
        self.lifetimes.clear();
    }

    /// The socket has failed: ends all sessions, and accepting.
    pub(super) fn fail(&mut self, error: &io::Error) {
        let number = error.raw_os_error().unwrap_or(nix::Error::EIO as i32);
        self.broken = Some(nix::Error::from_raw(number));
        self.end_all();
        self.wakers.drain(..).for_each(Waker::wake);
    }

    fn wait(&mut self, cx: &Context<'_>) {
        if !self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
    }
}

impl Ord for IdleSince {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.last, self.session.id).cmp(&(other.last, other.session.id))
    }
}

impl PartialOrd for IdleSince {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for IdleSince {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for IdleSince {}
