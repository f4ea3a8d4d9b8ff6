//! What is known of the peers of a listener, and which rules can be checked by it.

use std::net::IpAddr;

use super::entry::{Entry, Verdict};
use super::list::RuleList;
use super::rule::Rule;
use crate::address::{Address, Target};

/// What is known of the peers of one kind, for rules to be checked by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerKind {
    /// Which peers they are, such as those of a listener, for an error.
    pub shown: String,
    /// Whether they may have an IPv4 address.
    pub has_ipv4: bool,
    /// Whether they may have an IPv6 address, other than one that stands for an IPv4 address.
    pub has_ipv6: bool,
    /// Whether the system says which user each is.
    pub has_user: bool,
    /// Whether the system says in which groups each is.
    pub has_groups: bool,
}

impl PeerKind {
    /// Those of a server at `target`.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        match target {
            Target::Address(address) => Self::at(address),
            // Names are those of hosts.
            Target::Host { .. } | Target::AnyHost { .. } => Self {
                shown: target.to_string(),
                has_ipv4: true,
                has_ipv6: true,
                has_user: false,
                has_groups: false,
            },
            // Known once it is taken: see its address.
            Target::Inherited(_) => Self {
                shown: target.to_string(),
                has_ipv4: false,
                has_ipv6: false,
                has_user: false,
                has_groups: false,
            },
        }
    }

    /// Those that PROXY headers may name, whatever the listener. None has supplementary groups.
    #[must_use]
    pub fn of_headers() -> [Self; 2] {
        ["TCP", "AF_UNIX"].map(|clients| {
            let has_user = clients == "AF_UNIX";
            Self {
                shown: format!("a PROXY header of {clients}"),
                has_ipv4: !has_user,
                has_ipv6: !has_user,
                has_user,
                has_groups: false,
            }
        })
    }

    /// The same if a socket on all addresses of IPv6 accepts no IPv4 clients, see `IPV6_V6ONLY` in
    /// `ipv6(7)`.
    #[must_use]
    pub const fn with_v6only(mut self, v6only: bool) -> Self {
        self.has_ipv4 &= !(v6only && self.has_ipv6);
        self
    }

    const fn has_ip(&self) -> bool {
        self.has_ipv4 || self.has_ipv6
    }

    /// Those of a server at `address`.
    #[must_use]
    pub fn at(address: &Address) -> Self {
        let ip = address.as_ip().map(|(ip, _)| ip.to_canonical());
        // Such a socket may also accept IPv4 clients.
        let is_any = IpAddr::is_unspecified;
        let is_process = address.family().facts().peer_is_process;
        Self {
            shown: address.to_string(),
            has_ipv4: ip.is_some_and(|ip| ip.is_ipv4() || is_any(&ip)),
            has_ipv6: ip.is_some_and(|ip| ip.is_ipv6()),
            has_user: is_process,
            // Datagrams come with their user and one group.
            has_groups: is_process && address.socket_type().has_connection(),
        }
    }
}

/// Why a rule cannot be used.
#[derive(Debug)]
pub(super) struct Unfit<'a> {
    pub(super) entry: &'a Entry,
    pub(super) cause: String,
    pub(super) hint: &'static str,
}

impl RuleList {
    /// Checks that each rule can match a peer of these kinds, and that each rule that denies can be checked
    /// for all of them: otherwise peers would be served that it is meant to refuse.
    ///
    /// A rule of IP addresses may deny beside peers without one: they are at none of its addresses. But
    /// the user of a TCP client may be the one that a rule denies.
    pub(super) fn check(&self, kinds: &[PeerKind]) -> Result<(), Unfit<'_>> {
        self.entries()
            .iter()
            .try_for_each(|entry| fits(entry, kinds))
    }
}

fn fits<'a>(entry: &'a Entry, kinds: &[PeerKind]) -> Result<(), Unfit<'a>> {
    // One file may be for servers of both families.
    let is_of_file = entry.line.is_some();
    let is_known = |kind: &PeerKind| match entry.rule {
        Rule::Any => true,
        Rule::Address(_) if is_of_file => kind.has_ip(),
        Rule::Address(prefix) if prefix.is_v4() => kind.has_ipv4,
        Rule::Address(_) => kind.has_ipv6,
        Rule::User(_) => kind.has_user,
        Rule::Group(_) => kind.has_groups,
    };
    let (why, hint) = match entry.rule {
        Rule::Any => return Ok(()),
        Rule::Address(_) if !kinds.iter().any(PeerKind::has_ip) => {
            ("they have no IP address", "write uid:USER or gid:GROUP")
        }
        Rule::Address(prefix) if prefix.is_v4() => (
            "they have no IPv4 address",
            "write IPv6 addresses, or listen on IPv4 too",
        ),
        Rule::Address(_) => (
            "they have no IPv6 address",
            "write IPv4 addresses, or listen on IPv6 too",
        ),
        Rule::User(_) => (
            "a network does not say which user a client is",
            "write IP addresses, or listen on local sockets only",
        ),
        Rule::Group(_) => (
            "only a local connection says in which groups a client is",
            "write uid:USER or IP addresses, or listen on local streams only",
        ),
    };
    let unknown: Vec<&PeerKind> = kinds.iter().filter(|kind| !is_known(kind)).collect();
    let all = unknown.len() == kinds.len();
    let is_hole = entry.verdict == Verdict::Deny && !matches!(entry.rule, Rule::Address(_));
    match unknown.first() {
        Some(kind) if all => {
            let cause = format!("it matches no client of {}: {why}", kind.shown);
            Err(Unfit { entry, cause, hint })
        }
        Some(kind) if is_hole => {
            let cause = format!("it cannot be checked for clients of {}: {why}", kind.shown);
            Err(Unfit { entry, cause, hint })
        }
        _ => Ok(()),
    }
}
