//! Whether a stream tries again before it waits for readiness.

use std::thread;
use std::time::{Duration, Instant};

/// When a stream yields its processor.
///
/// A streaming peer has more data, or more room, as soon as it runs: to yield and try again costs less
/// than to sleep and be woken. If other programs use the processor, the yield delays every connection of
/// the thread, so each long yield doubles the number of yields that are skipped.
#[derive(Debug, Default)]
pub(super) struct Yielding {
    long: u8,
    left_out: u8,
}

/// A longer yield gave the processor to another program.
const TURN_MAX: Duration = Duration::from_millis(1);
/// The number of long yields in a row after which the pause grows no longer.
const LONG_MAX: u8 = 7;

impl Yielding {
    /// Yields, and returns whether to try again; not if recent yields were long.
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
