//! Connections: connect, exchange one message and its echo, close, repeat.

use sok::address::Address;
use sok::error::Result;

use super::clock::Clock;
use super::pace::{Driven, Pace, Window, drive};
use super::plan::{BenchPlan, Measure};
use super::rtt::Trip;

/// Makes connections during `window`. The echo shows that the server has accepted each, not only
/// its backlog; then the connection is [reset](Trip::connect).
pub(super) fn connect_on(
    clock: &impl Clock,
    (window, pace): (Window, Pace),
    address: &Address,
    plan: &BenchPlan,
    driven: &mut Driven,
) -> Result<()> {
    drive(clock, window, pace, driven, || {
        let mut trip = Trip::connect(address, plan, Measure::Connect)?;
        let done = trip.exchange()?;
        Ok(done.map(|()| trip))
    })
}
