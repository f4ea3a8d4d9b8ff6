//! How many connections each peer has open.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use super::refusal::Refusal;
use crate::net::{Credentials, Peer};

/// Who counts as one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// A network of IPv6: the first 64 bits of an address, as one host may have all the others.
    Network(u64),
    /// A user of this machine.
    User(u32),
    /// All local peers whose user the system does not say.
    Unknown,
}

impl Who {
    fn of(peer: &Peer) -> Self {
        match peer.address.as_ip().map(|(ip, _)| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => Self::V4(ip),
            // The first half of the bits.
            #[allow(clippy::cast_possible_truncation)]
            Some(IpAddr::V6(ip)) => Self::Network((ip.to_bits() >> 64) as u64),
            None => match peer.credentials {
                Some(Credentials { uid, .. }) => Self::User(uid),
                None => Self::Unknown,
            },
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(ip) => ip.fmt(f),
            Self::Network(bits) => {
                let first = Ipv6Addr::from_bits(u128::from(*bits) << 64);
                write!(f, "{first}/64")
            }
            Self::User(number) => write!(f, "uid:{number}"),
            Self::Unknown => f.write_str("a peer of unknown user"),
        }
    }
}

/// The places of each peer.
#[derive(Debug)]
pub(super) struct Places {
    most: NonZero<usize>,
    taken: Mutex<HashMap<Who, usize>>,
}

impl Places {
    /// At most this many for each.
    pub(super) fn new(most: NonZero<usize>) -> Self {
        let taken = Mutex::default();
        Self { most, taken }
    }

    /// Takes one for `peer`.
    pub(super) fn take(self: &Arc<Self>, peer: &Peer) -> Result<Held, Refusal> {
        let who = Who::of(peer);
        let most = self.most.get();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(who).or_insert(0);
        if *count >= most {
            let peer = who.to_string();
            return Err(Refusal::TooMany { peer, most });
        }
        *count += 1;
        let places = Arc::clone(self);
        Ok(Held { places, who })
    }
}

/// A place of a peer, free again when dropped.
#[derive(Debug)]
pub(super) struct Held {
    places: Arc<Places>,
    who: Who,
}

impl Drop for Held {
    fn drop(&mut self) {
        let taken = &self.places.taken;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.who);
            }
        }
    }
}
