//! Makes connections of accepted sockets.

use std::io;
use std::sync::Arc;

use super::accept_thread::Accepted;
use super::family;
use super::options::ConnectionOptions;
use super::peer::Peer;
use super::sockaddr::decode_accepted;
use super::stream::Stream;
use crate::address::Address;

/// What the connections of a listener get from it.
#[derive(Debug)]
pub(super) struct Acceptor {
    local: Arc<Address>,
    /// The options of each connection, if the listener may not have them.
    each: Option<ConnectionOptions>,
}

impl Acceptor {
    pub(super) const fn new(local: Arc<Address>, each: Option<ConnectionOptions>) -> Self {
        Self { local, each }
    }

    /// The address of the listener.
    pub(super) fn local(&self) -> &Address {
        &self.local
    }

    /// The connection of what `accept(2)` returned.
    pub(super) fn accepted(&self, accepted: Accepted) -> io::Result<(Stream, Peer)> {
        let (socket, name) = accepted?;
        // A connection that has already gone counts as none.
        let gone = |_| io::Error::from(io::ErrorKind::ConnectionAborted);
        let name = decode_accepted(socket.inner(), name).map_err(gone)?;
        let address = socket.typed(name)?;
        // If a sandbox refuses credentials, the client is served without.
        let family = family::of(self.local.family());
        let credentials = family.credentials(socket.inner()).unwrap_or(None);
        family.accepted(socket.inner(), socket.socket_type())?;
        if let Some(options) = &self.each {
            family.prepare_connection(socket.inner(), &self.local, options)?;
        }
        let stream = Stream::accepted(socket, family.accepted_name(&self.local));
        let peer = Peer {
            address,
            credentials,
        };
        Ok((stream, peer))
    }
}
