//! Connections: connect, have one message echoed, close, and again.

use sok::address::Address;
use sok::error::Result;

use super::clock::Clock;
use super::pace::{Driven, Pace, Window, drive};
use super::plan::{BenchPlan, Measure};
use super::rtt::Trip;

/// Makes connections for the length of `window`. The echo shows that the server, and not its
/// backlog alone, has taken each; it is [reset](Trip::connect) then.
pub(super) fn connect_on(
    clock: &impl Clock,
    (window, pace): (Window, Pace),
    address: &Address,
    plan: &BenchPlan,
    driven: &mut Driven,
) -> Result<()> {
    drive(clock, window, pace, driven, || {
        let mut trip = Trip::connect(address, plan, Measure::Connect)?;
        trip.exchange()?;
        Ok(trip)
    })
}
