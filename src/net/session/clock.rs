//! The clock of sessions.

use nix::time::{ClockId, clock_gettime};

/// The time in milliseconds, by a clock that costs little and is a few of them late.
pub(super) fn clock() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE);
    let millis = now.map_or(0, |now| now.tv_sec() * 1000 + now.tv_nsec() / 1_000_000);
    u64::try_from(millis).unwrap_or_default()
}

/// The first moment of a millisecond, see [`Shared::now`](super::Shared::now).
pub(super) const fn moment(millis: u64) -> u64 {
    millis << 20
}

/// The millisecond of a moment.
pub(super) const fn millis(moment: u64) -> u64 {
    moment >> 20
}
