//! Whether a stream looks again before it sleeps.

use std::thread;
use std::time::{Duration, Instant};

/// When a stream gives its processor away.
///
/// A peer that streams has more, or more room, at once, if only it may run: to yield and look again
/// costs less than to sleep and be woken. Where other programs want the processor, it is lost time
/// for all that the thread serves. So each yield that took long doubles for how often none is tried.
#[derive(Debug, Default)]
pub(super) struct Yielding {
    long: u8,
    left_out: u8,
}

/// A yield that takes longer gave the processor to somebody who had other work.
const TURN_MAX: Duration = Duration::from_millis(1);
/// So many long yields in a row still make the pause longer.
const LONG_MAX: u8 = 7;

impl Yielding {
    /// Gives the processor away, unless that has taken long lately: then it says that there is nothing
    /// to look for again.
    pub(super) fn give_way(&mut self) -> bool {
        let tries = self.tries();
        if tries {
            let began = Instant::now();
            thread::yield_now();
            self.took(began.elapsed());
        }
        tries
    }

    /// Whether it is time for a yield.
    const fn tries(&mut self) -> bool {
        let left = self.left_out.checked_sub(1);
        if let Some(left) = left {
            self.left_out = left;
        }
        left.is_none()
    }

    fn took(&mut self, time: Duration) {
        self.long = match time > TURN_MAX {
            true => LONG_MAX.min(self.long + 1),
            false => 0,
        };
        self.left_out = (1 << self.long) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(50);
    const LONG: Duration = Duration::from_millis(4);

    /// How many yields there are in a thousand chances, each of which takes that long.
    fn yields(time: Duration) -> usize {
        let mut yielding = Yielding::default();
        let tries = |_: &usize| {
            let tries = yielding.tries();
            if tries {
                yielding.took(time);
            }
            tries
        };
        (0..1000).filter(tries).count()
    }

    #[test]
    fn yields_that_take_long_become_rare() {
        assert_eq!(yields(SHORT), 1000);
        assert!(yields(LONG) < 20, "{}", yields(LONG));
    }

    #[test]
    fn a_short_yield_ends_the_pause() {
        let mut yielding = Yielding::default();
        for _ in 0..100 {
            yielding.took(LONG);
        }
        while !yielding.tries() {}
        yielding.took(SHORT);
        assert!(yielding.tries());
    }
}
