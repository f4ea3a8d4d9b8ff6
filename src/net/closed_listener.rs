//! What is left of a listener that accepts no more.

use std::task::{Context, Poll, ready};

use super::accept_thread::AcceptThread;
use super::acceptor::Acceptor;
use super::peer::Peer;
use super::session::SessionSocket;
use super::stream::Stream;

/// What is left of a listener that accepts no more: its open sessions, if it has any, and a connection
/// that was being accepted.
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

    /// Polls for the connection that was being accepted on a thread, in a call that nothing takes
    /// back; pending for ever if there was no such call.
    pub fn poll_last(&self, cx: &mut Context<'_>) -> Poll<(Stream, Peer)> {
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
