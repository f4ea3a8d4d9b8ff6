//! Where the connections of a loop come from.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use crate::net::{ClosedListener, Listener, Peer, Stream};

/// Where the connections of a loop come from: mostly from listeners.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Sources {
    /// Each accepts connections.
    pub listeners: Vec<Listener>,
    /// Connections that exist already, such as the one that a super-server passes. Without listeners,
    /// the loop ends with them.
    pub connections: VecDeque<(Stream, Peer)>,
}

impl From<Vec<Listener>> for Sources {
    fn from(listeners: Vec<Listener>) -> Self {
        Self {
            listeners,
            ..Self::default()
        }
    }
}

/// The next connection that a listener was accepting when it was closed.
pub(super) async fn last_accepted(closed: &[ClosedListener]) -> (Stream, Peer) {
    poll_fn(|cx| {
        for listener in closed {
            if let Poll::Ready(accepted) = listener.poll_last(cx) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}
