//! Which peers of a datagram socket may begin a session.

use std::any::Any;
use std::fmt::Debug;

use super::peer::Peer;

/// Decides which peers of a datagram socket may begin a session. One that may not takes no place, and
/// ends the session of no other.
///
/// It is asked for the first datagram of a session, and for each datagram of a peer that has none.
pub trait SessionGate: Debug + Send + Sync {
    /// Whether `peer` may begin one; the returned value is dropped when the session ends, or, in a
    /// connection loop, when its service has ended.
    fn admit(&self, peer: &Peer) -> Option<SessionPlace>;
}

/// What a session holds until it and its service have ended.
pub type SessionPlace = Box<dyn Any + Send + Sync>;
