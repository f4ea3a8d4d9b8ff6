//! AF_INET: TCP over IPv4, see `ip(7)`.

use socket2::Domain;

use super::tcp::{Tcp, Version};

/// IPv4.
pub(super) const FAMILY: Tcp<V4> = Tcp(V4);

/// The differences of IPv4 from IPv6.
#[derive(Debug)]
pub(super) struct V4;

impl Version for V4 {
    const DOMAIN: Domain = Domain::IPV4;
    const CONNECTIONS: &str = "/proc/net/tcp";
    const LOOPBACK: &str = "127.0.0.1/8";
}
