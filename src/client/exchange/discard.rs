//! What comes in an exchange that only sends.

use super::BUFFER;
use super::end::ExchangeFault;
use super::shared::Shared;
use crate::client::is_too_large;
use crate::net::{Received, Socket};

/// Receives and discards what comes, until the peer ends or the exchange has ended: bytes that are not
/// received would stop the peer, and would make the close a reset. At the end of the exchange, what has
/// come until then is received too, unless the peer sends on, see
/// [`Socket::most_discarded`].
pub(super) fn discard_all(shared: &Shared) -> Result<(), ExchangeFault> {
    let Some(wire) = shared.wire() else {
        return Ok(());
    };
    let mut buffer = vec![0; BUFFER];
    let mut rest = wire.socket().map_or(usize::MAX, Socket::most_discarded);
    while rest > 0 {
        match wire.receive_message(&mut buffer) {
            Ok(Received::End) => return Ok(()),
            // As that of an open socket at the end of the exchange.
            Ok(Received::Message(0)) if shared.has_ended() => return Ok(()),
            Ok(received) => {
                shared.received(received.count());
                if shared.has_ended() {
                    rest = rest.saturating_sub(received.count());
                }
            }
            Err(error) if is_too_large(&error) => {}
            Err(error) => return Err(ExchangeFault::Socket(error)),
        }
    }
    Ok(())
}
