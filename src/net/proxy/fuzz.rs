//! What `scripts/fuzz` checks of headers.

use super::codec::ProxyVersion;
use super::fault::HeaderFault;
use super::proxied::Proxied;
use super::{receive, v1};
use crate::address::Address;

/// The first byte is the size of the pieces in which a stream of the others arrives. However small
/// they are, the same header is received, and nothing after it; what it describes can be sent.
pub(crate) fn fuzz(input: &[u8]) {
    let Some((most, stream)) = input.split_first() else {
        return;
    };
    let received = receive::received(stream, usize::from(*most).max(1));
    assert_eq!(receive::received(stream, stream.len().max(1)), received);
    match received {
        Ok(header) => {
            let parsed = Proxied::parse(header);
            let longer = [header, b"!"].concat();
            assert!(Proxied::parse(&longer).is_err());
            assert!(Proxied::parse(&header[..header.len() - 1]).is_err());
            assert_ne!(parsed, Err(HeaderFault::Missing));
            if let Ok(Some(proxied)) = parsed {
                sent(&proxied);
            }
        }
        Err(HeaderFault::Cut(count)) => assert_eq!(count, stream.len()),
        Err(fault) => assert!(!fault.to_string().contains(char::is_control)),
    }
}

/// The header of `proxied` describes the same connection.
fn sent(proxied: &Proxied) {
    let header = proxied.header(ProxyVersion::V2);
    assert_eq!(receive::received(&header, 1), Ok(&*header));
    let again = Proxied::parse(&header);
    let again = again.expect("it is valid").expect("it has addresses");
    let canonical = |end: &Address| match end.as_ip() {
        Some((ip, port)) => (Some((ip.to_canonical(), port)), None),
        None => (None, Some(end.clone())),
    };
    assert_eq!(
        canonical(&again.peer.address),
        canonical(&proxied.peer.address)
    );
    assert_eq!(
        canonical(&again.destination),
        canonical(&proxied.destination)
    );
    assert_eq!(again.peer.credentials, proxied.peer.credentials);
    assert_eq!(again.header(ProxyVersion::V2), header);

    let line = proxied.header(ProxyVersion::V1);
    assert!(line.len() <= v1::LONGEST);
    assert_eq!(receive::received(&line, 1), Ok(&*line));
    let keeps_messages = proxied.peer.address.socket_type().keeps_messages();
    match Proxied::parse(&line).expect("it is valid") {
        Some(by_line) => assert_eq!(by_line.as_ip(), proxied.as_ip()),
        None => assert!(proxied.as_ip().is_none() || keeps_messages),
    }
}
