//! Compares lists of rules with a matcher that tries one rule after the other.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::entry::{Entry, Verdict};
use super::list::RuleList;
use super::refusal::Refusal;
use super::rule::Rule;
use super::source::parse;
use crate::address::{Address, UnixName};
use crate::error::ErrorKind;
use crate::escape::is_visible;
use crate::net::{Credentials, Peer};

/// A file of rules: each prints as a line that is the same rule, and the list of them decides about the
/// peers at the edges of its rules as the rules do one after the other.
pub(crate) fn fuzz(text: &[u8]) {
    let mut read = |word: &str| {
        // Some names exist.
        let look_up = |name: &str| Ok(name.starts_with('a').then_some(name.len() as u32));
        Rule::parse(word, &look_up, &look_up)
    };
    let entries = match parse(text, &mut read) {
        Ok(entries) => entries,
        Err(wrong) => {
            let (line, error) = wrong.into_parts();
            assert!(line as usize <= 1 + text.iter().filter(|byte| **byte == b'\n').count());
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().chars().all(is_visible), "{error}");
            return;
        }
    };
    let printed: Vec<String> = entries.iter().map(Entry::to_string).collect();
    let again = parse(printed.join("\n").as_bytes(), &mut read).expect("rules are printed");
    let rules = |entries: &[Entry]| -> Vec<(Verdict, Rule)> {
        let each = entries.iter();
        each.map(|entry| (entry.verdict, entry.rule)).collect()
    };
    assert_eq!(rules(&entries), rules(&again));
    let list = RuleList::new(entries);
    asks_if_a_rule_does(&list);
    for peer in peers(list.entries()) {
        compare(&list, &peer, Some(&[7, 8]));
        compare(&list, &peer, None);
    }
}

/// Peers at the edges of the first rules.
fn peers(entries: &[Entry]) -> Vec<Peer> {
    let mut all = vec![process(None)];
    for entry in entries.iter().take(64) {
        match entry.rule {
            Rule::Any => all.push(at(Ipv4Addr::LOCALHOST.into())),
            Rule::Address(prefix) => {
                let (first, last) = prefix.range();
                let edges = [first.wrapping_sub(1), first, last, last.wrapping_add(1)];
                let at = |bits: u128| match prefix.is_v4() {
                    #[allow(clippy::cast_possible_truncation)]
                    true => at(Ipv4Addr::from_bits(bits as u32).into()),
                    false => at(Ipv6Addr::from_bits(bits).into()),
                };
                all.extend(edges.map(at));
            }
            Rule::User(number) | Rule::Group(number) => {
                let some = [number, number.wrapping_add(1)];
                all.extend(some.map(|number| process(Some((number, 8)))));
                all.extend(some.map(|number| process(Some((7, number)))));
            }
        }
    }
    all
}

/// A peer at an IP address.
pub(super) fn at(ip: IpAddr) -> Peer {
    Peer::new(SocketAddr::new(ip, 4000).into())
}

/// A process on this machine, of this user and group if the system says it.
pub(super) fn process(user: Option<(u32, u32)>) -> Peer {
    let mut peer = Peer::new(Address::from(UnixName::Unnamed));
    peer.credentials = user.map(|(uid, gid)| Credentials { pid: 1, uid, gid });
    peer
}

/// Asserts that the list asks for the user of a peer if one of its rules depends on it.
fn asks_if_a_rule_does(list: &RuleList) {
    let asks = |entry: &Entry| matches!(entry.rule, Rule::User(_) | Rule::Group(_));
    assert_eq!(list.asks_for_user(), list.entries().iter().any(asks));
}

/// Asserts that the list decides about `peer`, whose supplementary groups these are, as its rules do one
/// after the other.
pub(super) fn compare(list: &RuleList, peer: &Peer, groups: Option<&[u32]>) {
    let found = groups.map_or_else(|| Err(io::ErrorKind::Unsupported), |all| Ok(all.to_vec()));
    let decided = list.decide(peer, || Ok(found?));
    let (wanted, by) = one_after_the_other(list.entries(), peer, groups);
    let shown = || format!("{peer:?} by {:?}: {decided:?}", list.entries());
    assert_eq!(decided.is_ok(), wanted, "{}", shown());
    if let Err(Refusal::Denied(entry)) = &decided {
        assert_eq!(
            Some(entry.to_string()),
            by.map(Entry::to_string),
            "{}",
            shown()
        );
    }
}

/// Whether the peer is allowed, and by which entry that is decided.
fn one_after_the_other<'a>(
    entries: &'a [Entry],
    peer: &Peer,
    groups: Option<&[u32]>,
) -> (bool, Option<&'a Entry>) {
    let ip = peer.address.as_ip().map(|(ip, _)| ip);
    for entry in entries {
        let matches = match (entry.rule, ip, peer.credentials) {
            (Rule::Any, ..) => true,
            (Rule::Address(prefix), Some(ip), _) => begins_with(ip, &prefix.to_string()),
            (Rule::Address(_), None, _) | (Rule::User(_) | Rule::Group(_), Some(_), None) => false,
            // It cannot be checked.
            (Rule::User(_) | Rule::Group(_), None, None) => return (false, None),
            (Rule::User(number), _, Some(known)) => known.uid == number,
            (Rule::Group(number), _, Some(known)) => match groups {
                Some(groups) => known.gid == number || groups.contains(&number),
                None => return (false, None),
            },
        };
        if matches {
            return (entry.verdict == Verdict::Allow, Some(entry));
        }
    }
    let may_all = entries.iter().all(|entry| entry.verdict == Verdict::Deny);
    (may_all, None)
}

/// Whether an address begins with the bits of a printed prefix, compared one by one.
fn begins_with(ip: IpAddr, prefix: &str) -> bool {
    let (start, length) = prefix.split_once('/').unwrap_or((prefix, "128"));
    let (start, length): (IpAddr, usize) = (
        start.parse().expect("an address"),
        length.parse().expect("a length"),
    );
    let bits = |ip: IpAddr| -> Vec<bool> {
        let octets = match ip.to_canonical() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let of_one = |octet: u8| (0..8).map(move |place| octet >> (7 - place) & 1 == 1);
        octets.into_iter().flat_map(of_one).collect()
    };
    let (start, own) = (bits(start), bits(ip));
    start.len() == own.len() && start.iter().zip(own).take(length).all(|(a, b)| *a == b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::prefix::Prefix;
    use super::*;

    /// Few addresses, so that rules and peers meet.
    fn ip() -> impl Strategy<Value = IpAddr> {
        let v4 = any::<[bool; 4]>().prop_map(|bits| {
            let byte = |high: bool, low: bool| u8::from(high) << 7 | u8::from(low);
            Ipv4Addr::new(byte(bits[0], bits[1]), 0, byte(bits[2], bits[3]), 1)
        });
        prop_oneof![
            v4.clone().prop_map(IpAddr::from),
            v4.clone().prop_map(|v4| v4.to_ipv6_mapped().into()),
            v4.prop_map(|v4| Ipv6Addr::from_bits(u128::from(v4.to_bits()) << 95).into()),
        ]
    }

    fn rule() -> impl Strategy<Value = Rule> {
        let prefix = (ip(), 0..=128_u8).prop_map(|(ip, length)| {
            let length = if ip.is_ipv4() { length % 33 } else { length };
            Prefix::around(ip, length).map_or(Rule::Any, Rule::Address)
        });
        prop_oneof![
            1 => Just(Rule::Any),
            12 => prefix,
            3 => (0..5_u32).prop_map(Rule::User),
            3 => (0..5_u32).prop_map(Rule::Group),
        ]
    }

    fn peer() -> impl Strategy<Value = Peer> {
        let user = proptest::option::of((0..5_u32, 0..5_u32));
        prop_oneof![ip().prop_map(at), user.prop_map(process)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn a_list_decides_as_its_rules_do_one_after_the_other(
            rules in proptest::collection::vec((any::<bool>(), rule()), 0..20),
            peers in proptest::collection::vec(peer(), 1..20),
            groups in proptest::option::of(proptest::collection::vec(0..5_u32, 0..4)),
        ) {
            let entry = |(allows, rule)| match allows {
                true => Entry::new(Verdict::Allow, rule),
                false => Entry::new(Verdict::Deny, rule),
            };
            let list = RuleList::new(rules.into_iter().map(entry).collect());
            asks_if_a_rule_does(&list);
            for peer in peers {
                compare(&list, &peer, groups.as_deref());
            }
        }
    }
}
