//! A clock, which tests replace.

use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

/// A clock that counts nanoseconds from an arbitrary moment.
pub(super) trait Clock {
    fn now(&self) -> u64;

    /// Returns at `moment`, or at once if it has passed.
    fn sleep_until(&self, moment: u64);
}

/// The clock of this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct MachineClock(Instant);

/// A sleeping thread wakes up this much too late: the rest of a wait is polled.
const OVERSLEEP: u64 = 200_000;

impl MachineClock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for MachineClock {
    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, moment: u64) {
        let left = moment.saturating_sub(self.now());
        if left > OVERSLEEP {
            thread::sleep(Duration::from_nanos(left - OVERSLEEP));
        }
        while self.now() < moment {
            spin_loop();
        }
    }
}

/// A clock that stands still until a test moves it.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct FakeClock(std::cell::Cell<u64>);

#[cfg(test)]
impl FakeClock {
    pub(super) fn pass(&self, nanos: u64) {
        self.0.set(self.0.get() + nanos);
    }
}

#[cfg(test)]
impl Clock for FakeClock {
    fn now(&self) -> u64 {
        self.0.get()
    }

    fn sleep_until(&self, moment: u64) {
        self.0.set(self.0.get().max(moment));
    }
}
