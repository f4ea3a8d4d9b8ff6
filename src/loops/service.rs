//! What a server does with one connection, as the connection loop sees it.

use std::future::Future;
use std::ops::AddAssign;

use crate::error::Result;
use crate::net::{Peer, Stream};

/// The bytes that passed over a connection, as a server counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes received from the peer.
    pub received: u64,
    /// Bytes sent to the peer.
    pub sent: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.sent += other.sent;
    }
}

/// What a server does with each connection that [`connection_loop`](crate::connection_loop)
/// accepts.
pub trait Service: Send + Sync + 'static {
    /// Serves one connection to its end.
    ///
    /// The future is dropped, and the connection closed, when a stop's grace is over.
    fn serve(&self, stream: Stream, peer: &Peer) -> impl Future<Output = Result<Traffic>> + Send;
}
