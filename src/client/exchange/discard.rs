//! What comes in an exchange that only sends.

use super::BUFFER;
use super::end::ExchangeFault;
use super::shared::Shared;
use crate::client::is_too_large;
use crate::net::Received;

/// Receives and discards what comes, until the peer ends or the exchange has ended: bytes that are not
/// received would stop the peer, and would make the close a reset.
pub(super) fn discard_all(shared: &Shared) -> Result<(), ExchangeFault> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let received = shared.with_wire(|wire| wire.receive_message(&mut buffer));
        match received {
            Ok(None | Some(Received::End)) => return Ok(()),
            // As that of an open socket at the end of the exchange.
            Ok(Some(Received::Message(0))) if shared.has_ended() => return Ok(()),
            Ok(Some(received)) => shared.received(received.count()),
            Err(error) if is_too_large(&error) => {}
            Err(error) => return Err(ExchangeFault::Socket(error)),
        }
    }
}
