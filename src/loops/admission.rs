//! Between accept and service: who is admitted, and how others are refused.

use tokio::task::JoinSet;

use crate::access::{Access, Admitted};
use crate::net::{Peer, Stream};

/// The maximum of refused connections that stay open for a moment, where the family has no reset, so that
/// their peers see an error. Those of more peers are closed at once, so that they need no descriptors.
pub const REFUSED_OPEN: usize = 32;

/// Admits connections, and refuses others.
#[derive(Debug)]
pub(super) struct Admission {
    access: Access,
    leaving: JoinSet<()>,
}

impl Admission {
    pub(super) fn new(access: Access) -> Self {
        let leaving = JoinSet::new();
        Self { access, leaving }
    }

    /// Admits a connection of `peer`, or resets it before anything is received.
    pub(super) fn admit(&mut self, stream: Stream, peer: &Peer) -> Option<(Stream, Admitted)> {
        if stream.is_admitted() {
            return Some((stream, Admitted::default()));
        }
        match self.access.admit(peer, || stream.peer_groups()) {
            Ok(admitted) => Some((stream, admitted)),
            Err(_) => {
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
