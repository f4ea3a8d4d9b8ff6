//! Finds the first of many rules whose range has a number.

use std::collections::BTreeSet;

/// The first rule for each number: by binary search, so that ten thousand rules cost little more than
/// ten, whatever the lengths of their prefixes.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges {
    /// Each number from which on another rule is the first, up to the next; sorted.
    changes: Vec<(u128, Option<u32>)>,
}

impl Ranges {
    /// The ranges of rules, each with the first and last number that it has.
    pub(super) fn new(rules: impl Iterator<Item = ((u128, u128), u32)>) -> Self {
        let mut edges = Vec::new();
        for ((first, last), rule) in rules {
            edges.push((first, rule, true));
            if let Some(after) = last.checked_add(1) {
                edges.push((after, rule, false));
            }
        }
        edges.sort_unstable();
        let mut changes: Vec<(u128, Option<u32>)> = Vec::new();
        // The rules that have the number.
        let mut open = BTreeSet::new();
        for at in edges.chunk_by(|one, next| one.0 == next.0) {
            for (_, rule, begins) in at {
                match begins {
                    true => open.insert(*rule),
                    false => open.remove(rule),
                };
            }
            let first = open.first().copied();
            if changes.last().map(|(_, last)| *last) != Some(first) {
                changes.push((at[0].0, first));
            }
        }
        Self { changes }
    }

    /// The first rule that has `number`.
    pub(super) fn find(&self, number: u128) -> Option<u32> {
        let later = self.changes.partition_point(|(from, _)| *from <= number);
        self.changes[..later].last().and_then(|(_, rule)| *rule)
    }
}
