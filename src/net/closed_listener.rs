//! What is left of a listener that accepts no more.

use std::task::{Context, Poll, ready};

use super::accept_thread::AcceptThread;
use super::acceptor::Acceptor;
use super::peer::Peer;
use super::session::SessionSocket;
use super::stream::Stream;

/// What is left of a listener that accepts no more: its open sessions, if it has any, sessions that wait
/// to be accepted, and a connection that was being accepted.
#[derive(Debug)]
pub struct ClosedListener {
    sessions: Option<SessionSocket>,
    accepting: Option<(AcceptThread, Acceptor)>,
}

impl ClosedListener {
    pub(super) const fn nothing() -> Self {
        Self {
            sessions: None,
            accepting: None,
        }
    }

    pub(super) const fn of_sessions(sessions: SessionSocket) -> Self {
        Self {
            sessions: Some(sessions),
            accepting: None,
        }
    }

    pub(super) const fn of_thread(thread: AcceptThread, acceptor: Acceptor) -> Self {
        Self {
            sessions: None,
            accepting: Some((thread, acceptor)),
        }
    }

    /// The datagrams of peers that were not accepted: they are dropped, and their senders do not
    /// learn of it.
    #[must_use]
    pub fn unserved(&self) -> u64 {
        self.sessions.as_ref().map_or(0, SessionSocket::unserved)
    }

    /// Ends the connections whose peers cannot be told that the server stops: each gets end of file
    /// after what has arrived.
    pub fn end_sessions(&self) {
        if let Some(sessions) = &self.sessions {
            sessions.end_all();
        }
    }

    /// Whether sessions wait to be accepted, whose datagrams only this process has.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.sessions.as_ref().is_some_and(SessionSocket::has_fresh)
    }

    /// Whether a connection is being accepted on a thread, in a call that nothing takes back: it ends
    /// with the next connection, which is lost if this process ends before.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        let thread = self.accepting.as_ref();
        thread.is_some_and(|(thread, _)| thread.is_asked())
    }

    /// Polls for a session that waits, or for the connection that is being accepted; pending for ever
    /// without these.
    pub fn poll_last(&self, cx: &mut Context<'_>) -> Poll<(Stream, Peer)> {
        if let Some(sessions) = &self.sessions
            && let Poll::Ready(Ok((session, peer))) = sessions.poll_accept(cx)
        {
            return Poll::Ready((Stream::of_session(session), peer));
        }
        let Some((thread, acceptor)) = &self.accepting else {
            return Poll::Pending;
        };
        let accepted = ready!(thread.poll_last(cx));
        match acceptor.accepted(accepted) {
            Ok(connection) => Poll::Ready(connection),
            // The peer has gone, and no other one is asked for.
            Err(_) => Poll::Pending,
        }
    }
}
