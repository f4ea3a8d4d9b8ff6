//! The service of a connection, and the data about the connection.

use std::future::Future;
use std::io;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::error::Result;
use crate::net::{Losses, Peer, Proxied, Stream};

/// The bytes transferred over a connection, as seen by the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes received from the peer.
    pub received: u64,
    /// Bytes sent to the peer.
    pub sent: u64,
    /// Datagrams that were not delivered, either way.
    pub undelivered: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.sent += other.sent;
        self.undelivered += other.undelivered;
    }
}

/// An accepted connection: its peer, its age, and its byte counts. The service updates the counts,
/// which can be read at any time.
#[derive(Debug)]
pub struct Connection {
    id: u64,
    peer: Peer,
    began: Instant,
    received: AtomicU64,
    sent: AtomicU64,
    // Boxed, as few connections have any of it.
    rare: OnceLock<Box<Rare>>,
}

/// What few connections have.
#[derive(Debug, Default)]
struct Rare {
    proxied: OnceLock<Proxied>,
    forwarded_to: OnceLock<Address>,
    losses: OnceLock<Arc<Losses>>,
    dropped: AtomicU64,
}

impl Connection {
    /// A connection of `peer` that begins now; `id` identifies it among those of the server.
    #[must_use]
    pub fn new(id: u64, peer: Peer) -> Self {
        Self {
            id,
            peer,
            began: Instant::now(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            rare: OnceLock::new(),
        }
    }

    /// Its number, from 1 up in the order of acceptance.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The peer: that of the socket, or the one that its PROXY header names.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        self.proxied().map_or(&self.peer, |proxied| &proxied.peer)
    }

    /// The peer of the socket, if a PROXY header names another one.
    #[must_use]
    pub fn proxy(&self) -> Option<&Peer> {
        self.proxied().map(|_| &self.peer)
    }

    /// What a PROXY header describes, if there was one.
    #[must_use]
    pub fn proxied(&self) -> Option<&Proxied> {
        self.rare.get()?.proxied.get()
    }

    /// Sets what a PROXY header describes; later calls change nothing.
    pub fn set_proxied(&self, proxied: Proxied) {
        let _ = self.rare().proxied.set(proxied);
    }

    /// How long it has been open.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// The byte counts so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            undelivered: self.losses().map_or(0, Losses::count),
        }
    }

    /// The datagrams that were not delivered, if any were counted.
    #[must_use]
    pub fn losses(&self) -> Option<&Losses> {
        self.rare.get()?.losses.get().map(Arc::as_ref)
    }

    /// Counts in `losses`, with those of a session; later calls change nothing.
    pub fn set_losses(&self, losses: Arc<Losses>) {
        let _ = self.rare().losses.set(losses);
    }

    /// Counts a datagram that could not be delivered.
    pub fn count_undelivered(&self, cause: &io::Error) {
        self.rare().losses.get_or_init(Arc::default).add(cause);
    }

    /// Counts descriptors that a side sent with its bytes, and that were closed.
    pub fn count_dropped(&self, count: usize) {
        let dropped = &self.rare().dropped;
        dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The descriptors that were closed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let rare = self.rare.get();
        rare.map_or(0, |rare| rare.dropped.load(Ordering::Relaxed))
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// The server that a relay has connected to, if any.
    #[must_use]
    pub fn forwarded_to(&self) -> Option<&Address> {
        self.rare.get()?.forwarded_to.get()
    }

    /// Counts bytes received from the peer.
    pub fn count_received(&self, count: usize) {
        self.received.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Counts bytes sent to the peer.
    pub fn count_sent(&self, count: usize) {
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Sets the counts of bytes received and sent, if something else counts.
    pub fn set_traffic(&self, received: u64, sent: u64) {
        self.received.store(received, Ordering::Relaxed);
        self.sent.store(sent, Ordering::Relaxed);
    }

    /// Sets the server that the connection is forwarded to; later calls change nothing.
    pub fn set_forwarded_to(&self, address: Address) {
        let _ = self.rare().forwarded_to.set(address);
    }
}

/// What a server does with each connection that [`connection_loop`](crate::connection_loop)
/// accepts.
pub trait Service: Send + Sync + 'static {
    /// Serves one connection to its end, and counts its bytes in `connection`.
    ///
    /// At the end of a stop's grace, the future is dropped and the connection closed.
    fn serve(
        &self,
        stream: Stream,
        connection: &Arc<Connection>,
    ) -> impl Future<Output = Result<()>> + Send;
}
