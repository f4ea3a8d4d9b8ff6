//! The timer for work that must not stall.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Runs `work` to its end, or until `count` stays the same for `limit`; then returns that limit and
/// drops the work. The limit may change while the work runs.
pub(crate) async fn unless_idle<T>(
    work: impl Future<Output = T>,
    limit: impl Fn() -> Option<Duration>,
    count: impl Fn() -> u64,
) -> Result<T, Duration> {
    let mut work = pin!(work);
    let mut seen = (count(), limit());
    let mut clock = pin!(sleep_until(Instant::now() + seen.1.unwrap_or_default()));
    let mut last_look: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
    poll_fn(|cx| {
        // Before the timer: if this process was stopped for the limit, data may have arrived.
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        let now = (count(), limit());
        if seen != now {
            (seen, last_look) = (now, None);
            clock
                .as_mut()
                .reset(Instant::now() + now.1.unwrap_or_default());
        }
        let Some(limit) = seen.1 else {
            return Poll::Pending;
        };
        let last_look = match &mut last_look {
            Some(last_look) => last_look,
            // The timer may expire before the runtime has polled for events: a `SIGCONT` interrupts
            // the poll, see `signal(7)`.
            None => {
                ready!(clock.as_mut().poll(cx));
                last_look.insert(Box::pin(tokio::task::yield_now()))
            }
        };
        last_look.as_mut().poll(cx).map(|()| Err(limit))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn data_before_the_timer_is_read_is_not_idle() {
        let limit = || Some(Duration::from_millis(300));
        let polls = Cell::new(0);
        // The second poll is when the timer expires, the third when the runtime has reported the
        // data.
        for found_at in [2, 3] {
            polls.set(0);
            let work = poll_fn(|_| {
                polls.set(polls.get() + 1);
                match polls.get() == found_at {
                    true => Poll::Ready(found_at),
                    false => Poll::Pending,
                }
            });
            assert_eq!(unless_idle(work, limit, || 0).await, Ok(found_at));
        }
        let stands = std::future::pending::<()>();
        let idle = unless_idle(stands, limit, || 0).await;
        assert_eq!(idle, Err(Duration::from_millis(300)));
    }
}
