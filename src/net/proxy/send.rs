//! Sends a header.

use std::io;

use super::codec::ProxyVersion;
use super::proxied::Proxied;
use crate::net::stream::Stream;

impl Stream {
    /// Sends the header of `proxied`, which must come before anything else: in one send, and as one
    /// message if the type keeps messages apart.
    ///
    /// # Errors
    /// What `send(2)` reports, and `Unsupported` for a datagram socket: it has no connection that the
    /// header could begin.
    pub async fn send_proxy_header(
        &self,
        proxied: &Proxied,
        version: ProxyVersion,
    ) -> io::Result<()> {
        if !self.socket_type().has_connection() {
            let cause = "a PROXY header begins a connection, and a datagram socket has none";
            return Err(io::Error::new(io::ErrorKind::Unsupported, cause));
        }
        self.send_all(&proxied.header(version)).await
    }
}
