//! The clock of whatever must not stand still for too long.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Runs `work` to its end, or until `count` stays the same for `limit`; then it gives that limit,
/// and drops the work. The limit may change while the work goes on.
pub(crate) async fn unless_idle<T>(
    work: impl Future<Output = T>,
    limit: impl Fn() -> Option<Duration>,
    count: impl Fn() -> u64,
) -> Result<T, Duration> {
    let mut work = pin!(work);
    let mut seen = (count(), limit());
    let mut clock = pin!(sleep_until(Instant::now() + seen.1.unwrap_or_default()));
    poll_fn(|cx| {
        if let Some(limit) = seen.1
            && clock.as_mut().poll(cx).is_ready()
        {
            return std::task::Poll::Ready(Err(limit));
        }
        let done = work.as_mut().poll(cx);
        let now = (count(), limit());
        if seen != now {
            seen = now;
            if let Some(limit) = now.1 {
                clock.as_mut().reset(Instant::now() + limit);
                // Registers the new time.
                let _ = clock.as_mut().poll(cx);
            }
        }
        done.map(Ok)
    })
    .await
}
