//! The places of the connections that are answered at once.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// A bounded number of places. If all are taken, the connection that has had its place longest loses
/// it: a peer that stalls keeps no other one out.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    taken: Mutex<VecDeque<(u64, CancellationToken)>>,
}

/// The place of one connection, until it is dropped.
pub(super) struct Place<'a> {
    places: &'a Places,
    number: u64,
    lost: CancellationToken,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        let taken = Mutex::default();
        Self { most, taken }
    }

    /// A place for connection `number`.
    pub(super) fn take(&self, number: u64) -> Place<'_> {
        let lost = CancellationToken::new();
        let mut taken = self.taken();
        taken.push_back((number, lost.clone()));
        if taken.len() > self.most
            && let Some((_, oldest)) = taken.pop_front()
        {
            oldest.cancel();
        }
        drop(taken);
        Place {
            places: self,
            number,
            lost,
        }
    }

    fn taken(&self) -> MutexGuard<'_, VecDeque<(u64, CancellationToken)>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// The connection has been answered: it is the next one to lose its place.
    pub(super) fn is_spare(&self) {
        let mut taken = self.places.taken();
        let own = taken.iter().position(|(taken, _)| *taken == self.number);
        if let Some(own) = own.and_then(|own| taken.remove(own)) {
            taken.push_front(own);
        }
    }

    /// Waits until another connection has the place.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let number = self.number;
        self.places.taken().retain(|(taken, _)| *taken != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_was_answered_or_came_first_loses_its_place() {
        let places = Places::new(2);
        let first = places.take(1);
        drop(places.take(2));
        let (third, fourth) = (places.take(3), places.take(4));
        let are_lost = || [&first, &third, &fourth].map(|place| place.lost.is_cancelled());
        assert_eq!(are_lost(), [true, false, false]);
        fourth.is_spare();
        let fifth = places.take(5);
        assert_eq!(are_lost(), [true, false, true]);
        assert!(!fifth.lost.is_cancelled());
    }
}
