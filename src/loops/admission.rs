//! Between accept and service: who is admitted, and how others are refused.

use std::io;

use tokio::task::JoinSet;

use super::arrivals::{AcceptProxy, Arrival, Arrivals, NoHeader};
use crate::access::{Access, Admitted, Refusal};
use crate::error::{Error, ErrorKind};
use crate::net::{Peer, Proxied, SessionPlace, Stream};

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
    /// What the gate of its socket gave it, if it is a session: its service may outlive the session.
    pub(super) place: Option<SessionPlace>,
}

/// Admits connections, and refuses others.
#[derive(Debug)]
pub(super) struct Admission {
    access: Access,
    arrivals: Arrivals,
    leaving: JoinSet<()>,
    last_refusal: Option<(Peer, Refusal, ErrorKind)>,
}

impl Admission {
    pub(super) fn new(access: Access, headers: Option<AcceptProxy>) -> Self {
        Self {
            access,
            arrivals: Arrivals::new(headers),
            leaving: JoinSet::new(),
            last_refusal: None,
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
        let denied = |refusal| (refusal, ErrorKind::Denied);
        let admitted = match proxied {
            proxied if stream.is_admitted() => Ok((Admitted::default(), proxied.unwrap_or(None))),
            Ok(proxied) => {
                let admitted = match &proxied {
                    None => self.access.admit(&peer, || stream.peer_groups()),
                    Some(proxied) => self.access.admit(&proxied.peer, no_groups),
                };
                admitted.map(|place| (place, proxied)).map_err(denied)
            }
            Err(NoHeader { refusal, kind }) => Err((self.access.refuse(&peer, refusal), kind)),
        };
        match admitted {
            Ok((admitted, proxied)) => Some(Guest {
                place: stream.take_place(),
                stream,
                peer,
                proxied,
                admitted,
            }),
            Err((refusal, kind)) => {
                self.refuse(stream);
                self.last_refusal = Some((peer, refusal, kind));
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
            self.leaving.spawn(async move { stream.refuse().await });
        }
    }

    /// The last refusal, as an error.
    pub(super) fn take_last_refusal(&mut self) -> Option<Error> {
        let (peer, refusal, kind) = self.last_refusal.take()?;
        Some(refused(&peer, &refusal, kind))
    }

    /// The refusals so far.
    pub(super) fn refused(&self) -> u64 {
        self.access.refused()
    }
}

/// The error for a connection that is refused.
fn refused(peer: &Peer, refusal: &Refusal, kind: ErrorKind) -> Error {
    let cause = match refusal {
        Refusal::Header(cause) => cause.clone(),
        refusal => format!("it is refused: {refusal}"),
    };
    Error::because("admit", peer, kind, cause)
}

/// The supplementary groups of a client that a PROXY header names.
fn no_groups() -> io::Result<Vec<u32>> {
    let cause = "a PROXY header has no supplementary groups";
    Err(io::Error::new(io::ErrorKind::Unsupported, cause))
}
