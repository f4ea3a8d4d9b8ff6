//! Prefixes of IP addresses, as `10.0.0.0/8`; see RFC 4632 and RFC 4291.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The IP addresses that begin with the same bits.
///
/// IPv4-mapped addresses (`::ffff:0:0/96`) are IPv4 addresses here: an IPv6 prefix contains none of
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    ip: IpAddr,
    length: u8,
}

/// The length of the prefix of the IPv4-mapped addresses.
const MAPPED: u8 = 96;

impl Prefix {
    /// The addresses that share the first `length` bits of `ip`; the other bits of `ip` are ignored.
    /// `None` if an address has fewer bits.
    #[must_use]
    pub fn around(ip: IpAddr, length: u8) -> Option<Self> {
        if length > width(ip) {
            return None;
        }
        let own = match ip {
            IpAddr::V4(ip) => {
                let bits = first_bits(ip.to_bits().into(), length, Ipv4Addr::BITS);
                // The bits of an IPv4 address.
                #[allow(clippy::cast_possible_truncation)]
                IpAddr::from(Ipv4Addr::from_bits(bits as u32))
            }
            IpAddr::V6(ip) => {
                let bits = first_bits(ip.to_bits(), length, Ipv6Addr::BITS);
                IpAddr::from(Ipv6Addr::from_bits(bits))
            }
        };
        match (own.to_canonical(), length.checked_sub(MAPPED)) {
            (ip @ IpAddr::V4(_), Some(length)) if own.is_ipv6() => Some(Self { ip, length }),
            _ => Some(Self { ip: own, length }),
        }
    }

    /// Whether it has exactly the bits of `ip` that were given, so that none was ignored.
    pub(super) fn begins_at(&self, ip: IpAddr) -> bool {
        self.ip == ip || self.ip == ip.to_canonical()
    }

    /// Whether `ip` is one of its addresses.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let (first, last) = self.range();
        ip.is_ipv4() == self.is_v4() && (first..=last).contains(&bits(ip))
    }

    pub(super) const fn is_v4(&self) -> bool {
        self.ip.is_ipv4()
    }

    /// The bits of the first and the last address.
    pub(super) fn range(&self) -> (u128, u128) {
        let first = bits(self.ip);
        let free = u32::from(width(self.ip) - self.length);
        let others = u128::MAX.checked_shr(u128::BITS - free).unwrap_or(0);
        (first, first | others)
    }
}

impl From<IpAddr> for Prefix {
    /// This address only.
    fn from(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        let length = width(ip);
        Self { ip, length }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length == width(self.ip) {
            true => write!(f, "{}", self.ip),
            false => write!(f, "{}/{}", self.ip, self.length),
        }
    }
}

/// The number of bits of an address.
pub(super) const fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// The bits of an address as a number.
pub(super) fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The first `length` of the `width` lowest bits; the others are 0.
fn first_bits(bits: u128, length: u8, width: u32) -> u128 {
    let free = width - u32::from(length);
    let kept = u128::MAX.checked_shl(free).unwrap_or(0);
    bits & kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(ip: &str, length: u8) -> Prefix {
        Prefix::around(ip.parse().unwrap(), length).unwrap()
    }

    #[test]
    fn a_prefix_contains_the_addresses_from_its_first_to_its_last() {
        for (own, inside, outside) in [
            (
                prefix("10.0.0.0", 8),
                ["10.0.0.0", "10.255.255.255"],
                ["9.255.255.255", "11.0.0.0"],
            ),
            (
                prefix("192.0.2.1", 32),
                ["192.0.2.1", "::ffff:192.0.2.1"],
                ["192.0.2.0", "192.0.2.2"],
            ),
            (
                prefix("0.0.0.0", 0),
                ["0.0.0.0", "255.255.255.255"],
                ["::", "::a00:1"],
            ),
            (
                prefix("::", 0),
                ["::", "ffff::"],
                ["10.0.0.1", "::ffff:10.0.0.1"],
            ),
            (
                prefix("2001:db8::", 33),
                ["2001:db8::", "2001:db8:7fff::"],
                ["2001:db8:8000::", "2001:db7::"],
            ),
            (
                prefix("::ffff:10.0.0.0", 104),
                ["10.1.2.3", "::ffff:10.1.2.3"],
                ["11.0.0.0", "::a01:203"],
            ),
            (prefix("::1", 128), ["::1", "::1"], ["::", "::2"]),
        ] {
            let contains = |ip: &str| own.contains(ip.parse().unwrap());
            assert!(inside.iter().all(|ip| contains(ip)), "{own}");
            assert!(!outside.iter().any(|ip| contains(ip)), "{own}");
        }
    }

    #[test]
    fn the_printed_form_is_the_shortest() {
        assert_eq!(prefix("10.1.2.3", 8).to_string(), "10.0.0.0/8");
        assert_eq!(prefix("10.1.2.3", 32).to_string(), "10.1.2.3");
        assert_eq!(prefix("2001:db8::1", 32).to_string(), "2001:db8::/32");
        assert_eq!(prefix("::ffff:10.0.0.0", 96).to_string(), "0.0.0.0/0");
        assert_eq!(Prefix::around("10.0.0.0".parse().unwrap(), 33), None);
    }
}
