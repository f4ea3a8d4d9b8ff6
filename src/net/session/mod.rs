//! Sessions: the peers of one datagram socket, each like a connection.
//!
//! The first datagram of a peer begins its session. A session ends when nothing has passed for its
//! idle time, when its service ends, or to make room for a new peer; the next datagram of the peer
//! then begins another one.

mod clock;
mod queue;
mod receiver;
mod table;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tracing::warn;

use self::clock::{clock, millis, moment};
use self::queue::Queue;
use self::table::Table;
use super::datagram::Ends;
use super::gate::{SessionGate, SessionPlace};
use super::losses::Losses;
use super::options::ListenOptions;
use super::pause::Pause;
use super::peer::{Credentials, Peer};
use super::received::{Received, with_length};
use super::registration::registered;
use super::socket::Socket;
use crate::address::Address;

/// A datagram socket whose peers each have a session.
#[derive(Debug)]
pub(super) struct SessionSocket(Arc<Shared>);

/// What the sessions of a socket share.
#[derive(Debug)]
struct Shared {
    io: AsyncFd<Socket>,
    local: Arc<Address>,
    /// Whether it is bound to every address of the host.
    is_everywhere: bool,
    /// Whether descriptors that come with a datagram are kept with it.
    takes_files: bool,
    takes_credentials: bool,
    gate: Option<Arc<dyn SessionGate>>,
    idle: Duration,
    /// The maximum number of sessions that wait to be accepted.
    backlog: usize,
    table: Mutex<Table>,
    /// A queue has room again.
    room: Notify,
    /// All sessions are to end.
    ending: Notify,
    /// The number of datagrams that passed: the clock does not order those of one moment.
    passed: AtomicU64,
    /// Whether a datagram was not delivered.
    has_lost: AtomicBool,
    /// Whether what has not been received is left to other processes that have the socket.
    is_left: AtomicBool,
    /// The task that receives, until the last session has ended.
    receiver: OnceLock<AbortHandle>,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The moment at which a datagram passes: later ones are larger.
    fn now(&self) -> u64 {
        let count = self.passed.fetch_add(1, Ordering::Relaxed);
        moment(clock()) | (count & (moment(1) - 1))
    }

    /// The peer of a session.
    fn peer(&self, ends: &Ends, credentials: Option<Credentials>) -> io::Result<Peer> {
        let socket = self.io.get_ref();
        let address = socket.typed(ends.peer_name(socket))?;
        Ok(Peer {
            address,
            credentials,
        })
    }

    /// Counts a datagram of a session that was not delivered, and reports the first of the socket:
    /// the session, which reports all of them at its end, may go on for long.
    fn lose(&self, session: &Session, cause: &io::Error) {
        session.losses.add(cause);
        if !self.has_lost.swap(true, Ordering::Relaxed) {
            let peer = session.ends.peer_shown(self.io.get_ref());
            warn!(address = %self.local, %peer, %cause, "a datagram was not delivered; others are counted");
        }
    }

    fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Relaxed)
    }

    /// Closes the socket once no session is left and none begins.
    fn close_if_done(&self) {
        if self.table().is_done()
            && let Some(receiver) = self.receiver.get()
        {
            receiver.abort();
        }
    }
}

/// One session, as its service and the receiver of the socket share it.
#[derive(Debug)]
struct Session {
    id: u64,
    /// Its peer, and the address of this host that the peer sends to.
    ends: Ends,
    /// Those that its first datagram came with, if any.
    credentials: Option<Credentials>,
    /// Whether the gate of the socket has admitted it.
    is_admitted: bool,
    /// What the gate gave it, until its service takes or ends it.
    place: Mutex<Option<SessionPlace>>,
    queue: Mutex<Queue>,
    /// When a datagram last passed, see [`Shared::now`].
    last: AtomicU64,
    losses: Arc<Losses>,
}

impl Session {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_place(&self) -> Option<SessionPlace> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.take()
    }
}

impl SessionSocket {
    /// Receives from `socket`, which is bound to `local`, in a task of the current runtime.
    pub(super) fn new(
        socket: Socket,
        local: Arc<Address>,
        options: &ListenOptions,
    ) -> io::Result<Self> {
        let interest = super::family::of(socket.family()).interest();
        let shared = Arc::new(Shared {
            takes_files: options.pass_descriptors && socket.may_get_descriptors(),
            takes_credentials: options.take_credentials && socket.family().facts().peer_is_process,
            gate: options.session_gate.clone(),
            io: registered(socket, interest)?,
            is_everywhere: local.as_ip().is_some_and(|(ip, _)| ip.is_unspecified()),
            local,
            idle: options.session_idle,
            backlog: usize::try_from(options.backlog)
                .unwrap_or(usize::MAX)
                .max(1),
            table: Mutex::new(Table::new(options.session_lifetime)),
            room: Notify::new(),
            ending: Notify::new(),
            passed: AtomicU64::new(0),
            has_lost: AtomicBool::new(false),
            is_left: AtomicBool::new(false),
            receiver: OnceLock::new(),
        });
        let receiving = receiver::receive(Arc::clone(&shared), options.max_message);
        let _ = shared.receiver.set(tokio::spawn(receiving).abort_handle());
        Ok(Self(shared))
    }

    pub(super) fn socket(&self) -> &Socket {
        self.0.io.get_ref()
    }

    /// Polls for the next session.
    pub(super) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(SessionStream, Peer)>> {
        let mut table = self.0.table();
        let session = ready!(table.poll_fresh(cx))?;
        drop(table);
        let peer = self.0.peer(&session.ends, session.credentials)?;
        let stream = SessionStream {
            shared: Arc::clone(&self.0),
            session,
            pause: Mutex::default(),
        };
        Ok((stream, peer)).into()
    }

    /// Polls until a peer waits to be accepted, and ends the session that has been idle longest to
    /// make room for it.
    pub(super) fn poll_make_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.0.table().poll_make_room(cx);
        // The receiver may wait for a session that has been ended.
        self.0.room.notify_one();
        polled
    }

    /// Begins no more sessions, and drops those that wait to be accepted. If other processes have the
    /// socket too, those wait on, and what has not been received is left to these processes.
    pub(super) fn close(&self) {
        let is_shared = self.socket().is_shared();
        self.0.is_left.store(is_shared, Ordering::Relaxed);
        match is_shared {
            true => self.0.table().begin_no_more(),
            false => self.0.table().close(),
        }
    }

    /// Whether a session waits to be accepted.
    pub(super) fn has_fresh(&self) -> bool {
        self.0.table().has_fresh()
    }

    /// Drops the sessions that wait to be accepted, and returns how many datagrams of peers were not
    /// accepted.
    pub(super) fn unserved(&self) -> u64 {
        let mut table = self.0.table();
        table.close();
        table.unserved()
    }

    /// Ends all sessions, after the datagrams that have arrived at the socket.
    pub(super) fn end_all(&self) {
        self.0.ending.notify_one();
    }
}

impl Drop for SessionSocket {
    fn drop(&mut self) {
        self.0.table().close();
        // While sessions are left, the receiver serves them.
        self.0.close_if_done();
    }
}

/// A session, as its service has it. Dropping it ends the session.
#[derive(Debug)]
pub(super) struct SessionStream {
    shared: Arc<Shared>,
    session: Arc<Session>,
    /// The pause before the next attempt to send to a peer that has no room.
    pause: Mutex<Option<Pause>>,
}

impl SessionStream {
    pub(super) fn socket(&self) -> &Socket {
        self.shared.io.get_ref()
    }

    /// The address of this end.
    pub(super) fn local(&self) -> Arc<Address> {
        let local = &self.shared.local;
        let own = self.session.ends.own_address(local);
        own.map_or_else(|| Arc::clone(local), Arc::new)
    }

    /// Whether the gate of the socket has admitted the peer.
    pub(super) fn is_admitted(&self) -> bool {
        self.session.is_admitted
    }

    /// What the gate gave the session.
    pub(super) fn take_place(&self) -> Option<SessionPlace> {
        self.session.take_place()
    }

    pub(super) fn losses(&self) -> &Arc<Losses> {
        &self.session.losses
    }

    /// The address of the peer.
    pub(super) fn peer(&self) -> io::Result<Address> {
        let name = self.session.ends.peer_name(self.socket());
        self.socket().typed(name)
    }

    /// Whether descriptors may come with a datagram.
    pub(super) fn may_get_descriptors(&self) -> bool {
        self.shared.takes_files
    }

    /// Receives the next datagram, or the end of the session. Descriptors that came with it are
    /// appended to `files`, or closed.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        files: Option<&mut Vec<OwnedFd>>,
    ) -> Poll<io::Result<Received>> {
        let mut queue = self.session.queue();
        let was_full = queue.is_full();
        let received = ready!(queue.poll_take(cx, buffer, files))?;
        let has_room = was_full && !queue.is_full();
        drop(queue);
        if has_room {
            self.shared.room.notify_one();
        }
        Poll::Ready(Ok(received))
    }

    /// Receives a datagram that has arrived.
    pub(super) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match self.poll_receive(&mut cx, buffer, None) {
            Poll::Ready(received) => received,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Whether it was ended because it was idle, or to make room.
    pub(super) fn is_given_up(&self) -> bool {
        self.session.queue().is_given_up()
    }

    /// Takes no more datagrams: the end follows those that have arrived.
    pub(super) fn end(&self) {
        self.shared.table().remove(&self.session);
        self.session.queue().end();
        self.shared.room.notify_one();
    }

    /// Waits until the session has ended.
    pub(super) async fn ended(&self) {
        std::future::poll_fn(|cx| self.session.queue().poll_ended(cx)).await;
    }

    /// Polls to send one datagram, with descriptors if there are any.
    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        files: &[OwnedFd],
    ) -> Poll<io::Result<usize>> {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(waiting) = pause.as_mut() {
                ready!(waiting.poll_over(cx));
            }
            match self.try_send(bytes, files) {
                // The kernel does not report when the queue of one peer has room.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.session.queue().is_given_up() {
                        let cause = "the session ended before its peer took the reply";
                        self.session.losses.add(&io::Error::other(cause));
                        return Poll::Ready(Ok(bytes.len()));
                    }
                    self.session.queue().set_blocked(true);
                    self.shared.room.notify_one();
                    pause.get_or_insert_default().begin();
                }
                sent => {
                    if pause.take().is_some() {
                        self.session.queue().set_blocked(false);
                    }
                    return Poll::Ready(sent);
                }
            }
        }
    }

    /// Sends one datagram. One that cannot be delivered is counted, and is no error: the peer may
    /// have gone, and datagrams have no connection that could break.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room.
    pub(super) fn try_send(&self, bytes: &[u8], files: &[OwnedFd]) -> io::Result<usize> {
        if !self.session.ends.has_name() {
            let cause = io::Error::other("a peer without a name cannot be answered");
            self.shared.lose(&self.session, &cause);
            return Ok(bytes.len());
        }
        match self.socket().send_back(bytes, files, &self.session.ends) {
            Ok(count) => {
                self.touch();
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            Err(error) => {
                self.shared
                    .lose(&self.session, &with_length(error, bytes.len()));
                Ok(bytes.len())
            }
        }
    }

    fn touch(&self) {
        self.session
            .last
            .store(self.shared.now(), Ordering::Relaxed);
    }
}

impl Drop for SessionStream {
    fn drop(&mut self) {
        let left = self.session.queue().end_now();
        let cause = io::Error::other("the service of the session had ended");
        self.session.losses.add_several(left as u64, &cause);
        self.shared.table().forget(&self.session);
        self.shared.room.notify_one();
        self.shared.close_if_done();
    }
}
