//! What a server does with one connection, and what is known of that connection.

use std::future::Future;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::address::Address;
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

/// One accepted connection: its peer, its age, and what has passed so far. Its service counts, and
/// the counts may be read at any time.
#[derive(Debug)]
pub struct Connection {
    id: u64,
    peer: Peer,
    began: Instant,
    received: AtomicU64,
    sent: AtomicU64,
    forwarded_to: OnceLock<Address>,
}

impl Connection {
    /// A connection of `peer` that begins now; `id` tells it from the server's others.
    #[must_use]
    pub fn new(id: u64, peer: Peer) -> Self {
        Self {
            id,
            peer,
            began: Instant::now(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            forwarded_to: OnceLock::new(),
        }
    }

    /// Its number, from 1 up in the order of acceptance.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Who is at the other end.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// How long it has been open.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// What has passed so far, as its service counts it.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
        }
    }

    /// The server behind a relay, once it is connected to.
    #[must_use]
    pub fn forwarded_to(&self) -> Option<&Address> {
        self.forwarded_to.get()
    }

    /// Counts bytes received from the peer.
    pub fn count_received(&self, count: usize) {
        self.received.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Counts bytes sent to the peer.
    pub fn count_sent(&self, count: usize) {
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Sets both counts, where something else counts.
    pub fn set_traffic(&self, traffic: Traffic) {
        self.received.store(traffic.received, Ordering::Relaxed);
        self.sent.store(traffic.sent, Ordering::Relaxed);
    }

    /// Notes the server that the connection is forwarded to; the first one stays.
    pub fn set_forwarded_to(&self, address: Address) {
        let _ = self.forwarded_to.set(address);
    }
}

/// What a server does with each connection that [`connection_loop`](crate::connection_loop)
/// accepts.
pub trait Service: Send + Sync + 'static {
    /// Serves one connection to its end, and counts what passes in `connection`.
    ///
    /// The future is dropped, and the connection closed, when a stop's grace is over.
    fn serve(
        &self,
        stream: Stream,
        connection: &Arc<Connection>,
    ) -> impl Future<Output = Result<()>> + Send;
}
