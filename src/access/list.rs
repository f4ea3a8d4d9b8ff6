//! Rules in order: the first that matches a peer decides.

use std::collections::HashMap;
use std::io;

use super::entry::{Entry, Verdict};
use super::prefix::bits;
use super::ranges::Ranges;
use super::refusal::Refusal;
use super::rule::Rule;
use crate::net::Peer;

/// Rules in order. The first that matches a peer decides about it; if none does, a peer is served, unless
/// there is a rule that allows.
///
/// ```
/// use sok::access::{Entry, RuleList, Verdict};
/// use sok::net::Peer;
///
/// let rules = RuleList::new(vec![
///     Entry::new(Verdict::Deny, "10.0.0.13".parse()?),
///     Entry::new(Verdict::Allow, "10.0.0.0/8".parse()?),
/// ]);
/// let admits = |peer: &str| {
///     let peer = Peer::new(peer.parse().unwrap());
///     rules.decide(&peer, || Ok(Vec::new())).is_ok()
/// };
/// assert!(admits("inet:10.0.0.12:4000"));
/// // A client of a dual-stack server.
/// assert!(admits("inet6:[::ffff:10.0.0.12]:4000"));
/// assert!(!admits("inet:10.0.0.13:4000"));
/// assert!(!admits("inet:192.0.2.1:4000"));
/// # Ok::<(), sok::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct RuleList {
    entries: Vec<Entry>,
    /// The first rule for each IPv4 address, and for each IPv6 address.
    v4: Ranges,
    v6: Ranges,
    /// The first rule for each user and group.
    users: HashMap<u32, u32>,
    groups: HashMap<u32, u32>,
    any: Option<u32>,
    /// The first rule of a user, and of a group.
    first_user: Option<u32>,
    first_group: Option<u32>,
    allows: bool,
}

impl RuleList {
    /// These rules, in this order.
    ///
    /// # Panics
    /// With more than 2^32 rules.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        let mut list = Self::default();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (number, entry) in (0..).zip(&entries) {
            list.allows |= entry.verdict == Verdict::Allow;
            match entry.rule {
                Rule::Any => {
                    list.any.get_or_insert(number);
                }
                Rule::Address(prefix) if prefix.is_v4() => v4.push((prefix.range(), number)),
                Rule::Address(prefix) => v6.push((prefix.range(), number)),
                Rule::User(user) => {
                    list.users.entry(user).or_insert(number);
                    list.first_user.get_or_insert(number);
                }
                Rule::Group(group) => {
                    list.groups.entry(group).or_insert(number);
                    list.first_group.get_or_insert(number);
                }
            }
        }
        list.v4 = Ranges::new(v4.into_iter());
        list.v6 = Ranges::new(v6.into_iter());
        list.entries = entries;
        list
    }

    /// The rules.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether a rule depends on the user or the groups of a peer.
    #[must_use]
    pub fn asks_for_user(&self) -> bool {
        self.first_user.is_some() || self.first_group.is_some()
    }

    /// Decides about `peer`, whose supplementary groups `groups` returns; they are asked for only if a
    /// rule depends on them.
    ///
    /// A rule of a user or a group that would decide but cannot be checked, since the kernel does not say
    /// who a local peer is, refuses the peer.
    ///
    /// # Errors
    /// Why the peer is refused.
    pub fn decide(
        &self,
        peer: &Peer,
        groups: impl FnOnce() -> io::Result<Vec<u32>>,
    ) -> Result<(), Refusal> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let address = peer.address.as_ip().and_then(|(ip, _)| {
            let ip = ip.to_canonical();
            let ranges = if ip.is_ipv4() { &self.v4 } else { &self.v6 };
            ranges.find(bits(ip))
        });
        let mut first = [self.any, address].into_iter().flatten().min();
        let is_process = peer.address.family().facts().peer_is_process;
        if let Some(credentials) = peer.credentials {
            first = earlier(first, self.users.get(&credentials.uid).copied());
            if is_before(self.first_group, first) {
                let others = groups().map_err(|error| self.unchecked(self.first_group, &error))?;
                let all = others.iter().chain([&credentials.gid]);
                let found = all.filter_map(|group| self.groups.get(group).copied());
                first = earlier(first, found.min());
            }
        } else if is_process {
            let asks = earlier(self.first_user, self.first_group);
            if is_before(asks, first) {
                let cause = io::Error::other("the system does not say which user the peer is");
                return Err(self.unchecked(asks, &cause));
            }
        }
        match first.and_then(|number| self.entries.get(number as usize)) {
            Some(entry) if entry.verdict == Verdict::Allow => Ok(()),
            Some(entry) => Err(Refusal::Denied(*entry)),
            None if self.allows => Err(Refusal::NotAllowed),
            None => Ok(()),
        }
    }

    /// The refusal for a rule that cannot be checked.
    fn unchecked(&self, number: Option<u32>, cause: &io::Error) -> Refusal {
        let entry = number.and_then(|number| self.entries.get(number as usize));
        let rule = entry.map_or(Rule::Any, |entry| entry.rule);
        let cause = cause.to_string();
        Refusal::Unchecked { rule, cause }
    }
}

/// The smaller number of those that exist.
fn earlier(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    [one, other].into_iter().flatten().min()
}

/// Whether there is a number, and it is smaller than `other`, if there is one.
fn is_before(one: Option<u32>, other: Option<u32>) -> bool {
    one.is_some_and(|one| other.is_none_or(|other| one < other))
}
