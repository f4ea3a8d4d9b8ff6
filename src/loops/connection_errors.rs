//! The errors of a connection loop.

use super::service::Connection;
use crate::error::{Error, ErrorKind};
use crate::net::Losses;

/// The error for a connection whose datagrams did not all arrive.
pub(super) fn lost(connection: &Connection) -> Error {
    let count = connection.traffic().undelivered;
    let first = connection.losses().and_then(Losses::first);
    let first = first.map(|cause| format!(": {cause}")).unwrap_or_default();
    let cause = match count {
        1 => format!("a datagram was not delivered{first}"),
        count => format!("{count} datagrams were not delivered; the first{first}"),
    };
    let failed = |kind| Error::because("deliver", connection.peer(), kind, cause);
    match connection.losses().is_some_and(Losses::first_was_too_large) {
        true => failed(ErrorKind::Other).with_hint("raise --max-message"),
        false => failed(ErrorKind::Broken),
    }
}

/// The error for the number of connections lost at the end.
pub(super) fn cut_off(at: &str, connections: usize, when: &str) -> Error {
    let cause = match connections {
        1 => format!("1 connection was cut off {when}"),
        count => format!("{count} connections were cut off {when}"),
    };
    Error::because("stop", at, ErrorKind::Broken, cause)
}
