//! The schedule of round trips, and which of them count.

use sok::error::Result;

use super::clock::Clock;
use super::samples::Samples;

/// The time of a slice in nanoseconds: round trips count from `counted` on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) begin: u64,
    pub(super) counted: u64,
    pub(super) end: u64,
}

/// When a round trip starts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// When the previous one is complete (closed loop).
    AtOnce,
    /// On a schedule, however slow the server is (open loop).
    Scheduled {
        /// The first one, relative to the start.
        offset: u64,
        interval: u64,
    },
}

/// The results of a connection in a slice.
#[derive(Debug, Default)]
pub(super) struct Driven {
    pub(super) samples: Samples,
    /// The time of the round trips that count.
    pub(super) nanos: u64,
    /// Round trips that were scheduled and never started.
    pub(super) unsent: u64,
    /// Those that count, and got no reply: a datagram was lost.
    pub(super) lost: u64,
}

impl Driven {
    fn count(&mut self, is_complete: bool, nanos: u64) {
        match is_complete {
            true => self.samples.record(nanos),
            false => self.lost += 1,
        }
    }
}

/// Makes round trips during `window`, at least one that counts. The result of `trip` is dropped
/// outside the measured time; it is `None` if the reply was lost.
///
/// On a schedule, each is timed from its scheduled start: while a server stalls, all the due ones
/// wait, not only the current one.
pub(super) fn drive<T>(
    clock: &impl Clock,
    window: Window,
    pace: Pace,
    driven: &mut Driven,
    trip: impl FnMut() -> Result<Option<T>>,
) -> Result<()> {
    clock.sleep_until(window.begin);
    match pace {
        Pace::AtOnce => one_after_another(clock, window, driven, trip),
        Pace::Scheduled { offset, interval } => {
            scheduled(clock, window, (offset, interval), driven, trip)
        }
    }
}

fn one_after_another<T>(
    clock: &impl Clock,
    window: Window,
    driven: &mut Driven,
    mut trip: impl FnMut() -> Result<Option<T>>,
) -> Result<()> {
    let mut began = clock.now();
    let mut counted_from = None;
    // A slow server may need longer for one than the slice.
    while began < window.end || counted_from.is_none() {
        let kept = trip()?;
        let now = clock.now();
        if began >= window.counted {
            driven.count(kept.is_some(), now - began);
            driven.nanos = now - *counted_from.get_or_insert(began);
        }
        drop(kept);
        // The drop takes time, which must not count for the next one.
        began = match std::mem::needs_drop::<T>() {
            true => clock.now(),
            false => now,
        };
    }
    Ok(())
}

fn scheduled<T>(
    clock: &impl Clock,
    window: Window,
    (offset, interval): (u64, u64),
    driven: &mut Driven,
    mut trip: impl FnMut() -> Result<Option<T>>,
) -> Result<()> {
    driven.nanos = window.end - window.counted;
    let mut intended = window.begin + offset;
    let mut give_up = None;
    let mut now = clock.now();
    // Those that become due while it is late at the end count too: otherwise the end of a slice
    // would hide a stall.
    while intended < window.end || intended < now {
        if now >= window.end && now > *give_up.get_or_insert(now + (now - intended)) {
            driven.unsent += (now - intended) / interval + 1;
            break;
        }
        clock.sleep_until(intended);
        let begun = clock.now();
        let kept = trip()?;
        now = clock.now();
        let is_complete = kept.is_some();
        drop(kept);
        if begun >= window.counted {
            driven.count(is_complete, now - intended);
            driven.nanos = now.max(window.end) - window.counted;
        }
        intended += interval;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::clock::FakeClock;

    const MS: u64 = 1_000_000;
    const WINDOW: Window = Window {
        begin: 0,
        counted: 100 * MS,
        end: 1100 * MS,
    };

    /// Drives a server that answers after 50 us, except for one stall of 200 ms.
    fn with_a_stall(pace: Pace) -> Driven {
        let clock = FakeClock::default();
        let mut driven = Driven::default();
        let mut stalled = false;
        let trip = || {
            if clock.now() >= 500 * MS && !stalled {
                stalled = true;
                clock.pass(200 * MS);
            }
            clock.pass(50_000);
            Ok(Some(()))
        };
        drive(&clock, WINDOW, pace, &mut driven, trip).unwrap();
        driven
    }

    #[test]
    fn a_stall_is_hidden_in_a_closed_loop_and_shown_on_a_schedule() {
        let closed = with_a_stall(Pace::AtOnce);
        // 800 ms of 50 us each, and the one that stalled.
        assert_eq!(closed.samples.count(), 16_000);
        assert!(closed.samples.at(0.999) < 51_000);
        assert!(closed.samples.at(1.0) >= 200 * MS);

        let schedule = Pace::Scheduled {
            offset: 0,
            interval: MS,
        };
        let open = with_a_stall(schedule);
        // One for each millisecond that counts, including those due in the stall.
        assert_eq!(open.samples.count(), 1000);
        assert!(open.samples.at(0.999) >= 199 * MS);
        // A fifth of them waited, for 100 ms in the middle.
        assert!(open.samples.at(0.78) < 51_000);
        let middle = open.samples.at(0.9);
        assert!(middle.abs_diff(105 * MS) < 2 * MS, "{middle}");
    }

    #[test]
    fn round_trips_that_start_in_the_lead_in_do_not_count() {
        let clock = FakeClock::default();
        let mut driven = Driven::default();
        let mut trips = 0;
        let trip = || {
            trips += 1;
            clock.pass(30 * MS);
            Ok(Some(()))
        };
        drive(&clock, WINDOW, Pace::AtOnce, &mut driven, trip).unwrap();
        // Started at 0, 30, 60 and 90 ms; and the last at 1080 ms, which ends at 1110 ms.
        assert_eq!((trips, driven.samples.count()), (37, 33));
        assert_eq!(driven.nanos, (1110 - 120) * MS);
    }

    #[test]
    fn a_server_slower_than_the_slice_is_still_measured() {
        let clock = FakeClock::default();
        let mut driven = Driven::default();
        let trip = || {
            clock.pass(3000 * MS);
            Ok(Some(()))
        };
        drive(&clock, WINDOW, Pace::AtOnce, &mut driven, trip).unwrap();
        assert_eq!((driven.samples.count(), driven.nanos), (1, 3000 * MS));
    }

    #[test]
    fn a_schedule_is_kept_from_the_lead_in_to_the_end() {
        let clock = FakeClock::default();
        let mut driven = Driven::default();
        let mut begun = Vec::new();
        let pace = Pace::Scheduled {
            offset: 50 * MS,
            interval: 200 * MS,
        };
        let trip = || {
            begun.push(clock.now() / MS);
            clock.pass(MS);
            Ok(Some(()))
        };
        drive(&clock, WINDOW, pace, &mut driven, trip).unwrap();
        assert_eq!(begun, [50, 250, 450, 650, 850, 1050]);
        assert_eq!((driven.samples.count(), driven.nanos), (5, 1000 * MS));
    }

    #[test]
    fn the_result_of_a_round_trip_is_dropped_outside_its_time() {
        struct Closed<'a>(&'a FakeClock);
        impl Drop for Closed<'_> {
            fn drop(&mut self) {
                self.0.pass(9 * MS);
            }
        }
        let clock = FakeClock::default();
        let mut driven = Driven::default();
        let trip = || {
            clock.pass(MS);
            Ok(Some(Closed(&clock)))
        };
        drive(&clock, WINDOW, Pace::AtOnce, &mut driven, trip).unwrap();
        assert_eq!(driven.samples.count(), 100);
        assert!(driven.samples.at(1.0) < MS + MS / 1000);
    }

    #[test]
    fn a_schedule_that_cannot_be_kept_ends_and_the_rest_is_counted() {
        let clock = FakeClock::default();
        let mut driven = Driven::default();
        let pace = Pace::Scheduled {
            offset: 0,
            interval: MS,
        };
        let trip = || {
            clock.pass(100 * MS);
            Ok(Some(()))
        };
        drive(&clock, WINDOW, pace, &mut driven, trip).unwrap();
        // At the end, after 11 of them, it is 1089 ms late: it continues for the same time, and
        // completes 11 more. Until then, one was due each millisecond. All but the first started
        // after the lead-in.
        assert_eq!(driven.samples.count(), 21);
        assert_eq!(driven.unsent, 2201 - 22);
    }

    #[test]
    fn round_trips_due_in_a_stall_at_the_end_count() {
        let clock = FakeClock::default();
        let mut driven = Driven::default();
        let pace = Pace::Scheduled {
            offset: 0,
            interval: MS,
        };
        let trip = || {
            clock.pass(if clock.now() == 1050 * MS {
                200 * MS
            } else {
                MS / 10
            });
            Ok(Some(()))
        };
        drive(&clock, WINDOW, pace, &mut driven, trip).unwrap();
        // Those of 1050 ms to 1250 ms wait, and meanwhile some more become due.
        let late = driven.samples.count() - 950;
        assert!((200..240).contains(&late), "{late}");
        assert_eq!(driven.unsent, 0);
        // The time continues until the last of them is complete.
        assert_eq!(driven.nanos, clock.now() - WINDOW.counted);
    }

    #[test]
    fn a_failure_ends_the_run_and_keeps_the_counts() {
        let clock = FakeClock::default();
        let mut driven = Driven::default();
        let mut left = 150;
        let trip = || {
            clock.pass(MS);
            left -= 1;
            if left == 0 {
                let gone = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                return Err(sok::Error::new("receive", "unix:@x", gone));
            }
            Ok(Some(()))
        };
        let done = drive(&clock, WINDOW, Pace::AtOnce, &mut driven, trip);
        assert_eq!(done.unwrap_err().kind(), sok::ErrorKind::Broken);
        assert_eq!(driven.samples.count(), 49);
    }

    #[test]
    fn a_lost_reply_counts_as_lost_and_takes_its_time() {
        for pace in [
            Pace::AtOnce,
            Pace::Scheduled {
                offset: 0,
                interval: 100 * MS,
            },
        ] {
            let clock = FakeClock::default();
            let mut driven = Driven::default();
            let mut trips = 0;
            let trip = || {
                clock.pass(100 * MS);
                trips += 1;
                Ok((trips % 5 != 0).then_some(()))
            };
            drive(&clock, WINDOW, pace, &mut driven, trip).unwrap();
            assert_eq!((driven.samples.count(), driven.lost), (8, 2));
            assert_eq!(driven.nanos, 1000 * MS);
        }
    }
}
