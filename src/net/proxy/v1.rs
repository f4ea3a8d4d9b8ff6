//! Version 1: a line of text.

use std::net::IpAddr;
use std::str::from_utf8;

use ppp::v1::{Addresses, Header, ParseError};

use super::fault::HeaderFault;
use super::proxied::Proxied;

/// The beginning of every line.
pub(super) const PREFIX: &[u8] = b"PROXY ";

/// The end of a line.
pub(super) const END: &[u8] = b"\r\n";

/// The length of the longest line in bytes, with its end.
pub(super) const LONGEST: usize = 107;

/// The connection that a line with its end describes; `None` for `UNKNOWN`, whatever follows.
pub(super) fn parse(line: &[u8]) -> Result<Option<Proxied>, HeaderFault> {
    if !line.starts_with(PREFIX) {
        return Err(HeaderFault::Missing);
    }
    if line.len() > LONGEST {
        return Err(HeaderFault::Unterminated);
    }
    let Some((text, END)) = line.split_at_checked(line.len() - END.len()) else {
        return Err(HeaderFault::Unterminated);
    };
    // Not left to the crate, which refuses some of what may follow.
    if let Some(rest) = text.strip_prefix(b"PROXY UNKNOWN")
        && (rest.is_empty() || rest.starts_with(b" "))
        && !rest.windows(END.len()).any(|two| two == END)
    {
        return Ok(None);
    }
    let invalid = |cause: &str| Err(HeaderFault::Line(cause.to_owned()));
    // The crate takes +80 as a port, and panics if a carriage return comes before some other text than
    // ASCII.
    if text.contains(&b'+') {
        return invalid("a port with a sign");
    }
    if !text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return invalid("a character that it cannot have");
    }
    let Ok(line) = from_utf8(line) else {
        return invalid("not text");
    };
    let header = Header::try_from(line).map_err(|error| HeaderFault::Line(cause(&error)))?;
    let (source, destination) = match header.addresses {
        Addresses::Unknown => return Ok(None),
        Addresses::Tcp4(ends) => (
            (IpAddr::V4(ends.source_address), ends.source_port),
            (IpAddr::V4(ends.destination_address), ends.destination_port),
        ),
        Addresses::Tcp6(ends) => (
            (IpAddr::V6(ends.source_address), ends.source_port),
            (IpAddr::V6(ends.destination_address), ends.destination_port),
        ),
    };
    Ok(Some(Proxied::of_tcp(source, destination)))
}

/// The cause in the words of this crate: some of the other contain an end of line.
fn cause(error: &ParseError) -> String {
    let words = match error {
        ParseError::InvalidSourceAddress(_) => "a malformed source address",
        ParseError::InvalidDestinationAddress(_) => "a malformed destination address",
        ParseError::InvalidSourcePort(_) => "a malformed source port",
        ParseError::InvalidDestinationPort(_) => "a malformed destination port",
        ParseError::InvalidProtocol => "neither TCP4, TCP6 nor UNKNOWN",
        _ => "not a protocol, two addresses and two ports",
    };
    words.to_owned()
}

/// The line of a connection: `UNKNOWN` if it is not one of TCP.
pub(super) fn format(proxied: &Proxied) -> Vec<u8> {
    let is_stream = !proxied.peer.address.socket_type().keeps_messages();
    let addresses = match proxied.as_ip().filter(|_| is_stream) {
        Some([(IpAddr::V4(from), port), (IpAddr::V4(to), to_port)]) => {
            Addresses::new_tcp4(from, to, port, to_port)
        }
        Some([(IpAddr::V6(from), port), (IpAddr::V6(to), to_port)]) => {
            Addresses::new_tcp6(from, to, port, to_port)
        }
        _ => Addresses::Unknown,
    };
    addresses.to_string().into_bytes()
}
