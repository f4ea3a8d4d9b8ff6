//! Between accept and service: who is admitted, and how others are refused.

use std::io;

use tokio::task::JoinSet;

use super::arrivals::{AcceptProxy, Arrival, Arrivals};
use crate::access::{Access, Admitted};
use crate::net::{Peer, Proxied, Stream};

/// The maximum of refused connections that stay open for a moment, where the family has no reset, so that
/// their peers see an error. Those of more peers are closed at once, so that they need no descriptors.
pub const REFUSED_OPEN: usize = 32;

/// An admitted connection.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) stream: Stream,
    /// The peer of its socket.
    pub(super) peer: Peer,
    /// What its PROXY header describes.
    pub(super) proxied: Option<Proxied>,
    pub(super) admitted: Admitted,
}

/// Admits connections, and refuses others.
#[derive(Debug)]
pub(super) struct Admission {
    access: Access,
    arrivals: Arrivals,
    leaving: JoinSet<()>,
}

impl Admission {
    pub(super) fn new(access: Access, headers: Option<AcceptProxy>) -> Self {
        Self {
            access,
            arrivals: Arrivals::new(headers),
            leaving: JoinSet::new(),
        }
    }

    /// Admits an accepted connection now, unless it has to wait for its PROXY header.
    pub(super) fn accepted(&mut self, stream: Stream, peer: Peer) -> Option<Guest> {
        let arrival = self.arrivals.accepted(stream, peer)?;
        self.admit(arrival)
    }

    /// Waits for the next of the connections that wait for their header, and admits it, if it has a
    /// valid one. Forever if none waits.
    pub(super) async fn next(&mut self) -> Option<Guest> {
        let arrival = self.arrivals.next().await;
        arrival.and_then(|arrival| self.admit(arrival))
    }

    /// How many connections wait for their header.
    pub(super) fn waiting(&self) -> usize {
        self.arrivals.count()
    }

    /// Resets the connections that wait for their header.
    pub(super) async fn give_up(&mut self) {
        self.arrivals.give_up().await;
    }

    /// Admits a connection, or resets it before anything is received. With a PROXY header, its client
    /// counts, and without a valid one, where one is required, nobody is admitted.
    fn admit(&mut self, arrival: Arrival) -> Option<Guest> {
        let Arrival {
            stream,
            peer,
            proxied,
        } = arrival;
        let admitted = match &proxied {
            _ if stream.is_admitted() => Ok(Admitted::default()),
            Ok(None) => self.access.admit(&peer, || stream.peer_groups()),
            Ok(Some(proxied)) => self.access.admit(&proxied.peer, no_groups),
            Err(refusal) => Err(self.access.refuse(&peer, refusal.clone())),
        };
        match (admitted, proxied) {
            (Ok(admitted), Ok(proxied)) => Some(Guest {
                stream,
                peer,
                proxied,
                admitted,
            }),
            _ => {
                self.refuse(stream);
                None
            }
        }
    }

    fn refuse(&mut self, stream: Stream) {
        if stream.family().facts().has_reset {
            return stream.reset();
        }
        while self.leaving.try_join_next().is_some() {}
        if self.leaving.len() < REFUSED_OPEN {
            self.leaving.spawn(stream.refuse());
        }
    }

    /// The refusals so far.
    pub(super) fn refused(&self) -> u64 {
        self.access.refused()
    }
}

/// The supplementary groups of a client that a PROXY header names.
fn no_groups() -> io::Result<Vec<u32>> {
    let cause = "a PROXY header has no supplementary groups";
    Err(io::Error::new(io::ErrorKind::Unsupported, cause))
}
