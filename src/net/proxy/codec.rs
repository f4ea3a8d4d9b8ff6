//! Headers as bytes.

use super::fault::HeaderFault;
use super::proxied::Proxied;
use super::{v1, v2};

/// A version of the PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text, for TCP only.
    V1,
    /// Binary, for every family, with a checksum.
    V2,
}

impl Proxied {
    /// The connection that a header describes; `None` if it describes none (`LOCAL`, `UNKNOWN`, or
    /// no addresses): the client is then the sender of the header.
    ///
    /// # Errors
    /// If `header` is not exactly one valid header.
    pub fn parse(header: &[u8]) -> Result<Option<Self>, HeaderFault> {
        match header.starts_with(v2::SIGNATURE) {
            true => v2::parse(header),
            false => v1::parse(header),
        }
    }

    /// Its header. Mapped addresses of IPv4 are sent as IPv4.
    ///
    /// Not everything fits into a header: version 1 describes only TCP, and others are `UNKNOWN` in
    /// it. In version 2, a seqpacket client is sent as one of a stream, as the protocol has no code
    /// for it; the scope of an IPv6 address, and an AF_UNIX path of more than 108 bytes, are left
    /// out.
    #[must_use]
    pub fn header(&self, version: ProxyVersion) -> Vec<u8> {
        match version {
            ProxyVersion::V1 => v1::format(self),
            ProxyVersion::V2 => v2::format(self),
        }
    }
}
