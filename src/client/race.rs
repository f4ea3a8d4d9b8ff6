//! Races the addresses of one name (RFC 8305): the first that accepts wins.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;

use crate::address::Address;
use crate::error::Error;
use crate::net::{ConnectOptions, Stream};

/// The time before the next address is tried too: the Connection Attempt Delay of RFC 8305, section
/// 5.
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// Connects to the first of `addresses` that accepts. The next address is tried when one fails or
/// does not answer soon; the remaining attempts are then closed.
///
/// All attempts may use the same local address with a fixed port, as their targets differ. A socket
/// file belongs to one socket, but a path is only one address.
///
/// # Errors
/// The error of each address, in the order of attempts.
pub(super) async fn race(
    addresses: Vec<Address>,
    options: &ConnectOptions,
) -> Result<(Stream, Address), Vec<Error>> {
    let mut waiting = alternate_families(addresses).into_iter().enumerate();
    let mut attempts = Vec::new();
    let mut failures: Vec<(usize, Error)> = Vec::new();
    loop {
        if let Some((place, address)) = waiting.next() {
            attempts.push(Box::pin(async move {
                let connected = Stream::connect(&address, options).await;
                (place, address, connected)
            }));
        } else if attempts.is_empty() {
            failures.sort_by_key(|(place, _)| *place);
            return Err(failures.into_iter().map(|(_, error)| error).collect());
        }
        let left = options
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let next_after = turn(left, waiting.len());
        tokio::select! {
            biased;
            (place, address, connected) = first_to_end(&mut attempts) => match connected {
                Ok(stream) => {
                    if !attempts.is_empty() {
                        info!(%address, others = attempts.len(), "first to accept, the others are closed");
                    }
                    return Ok((stream, address));
                }
                Err(error) => failures.push((place, error)),
            },
            () = sleep(next_after), if waiting.len() > 0 => {}
        }
    }
}

/// The time for one address while others wait, so that each gets a turn before the deadline.
fn turn(left: Option<Duration>, waiting: usize) -> Duration {
    let turns = u32::try_from(waiting.saturating_add(1)).unwrap_or(u32::MAX);
    left.map_or(NEXT_AFTER, |left| NEXT_AFTER.min(left / turns))
}

/// Removes and returns the first of `futures` to complete; pending while there is none.
async fn first_to_end<F: Future>(futures: &mut Vec<Pin<Box<F>>>) -> F::Output {
    poll_fn(|cx| {
        for at in 0..futures.len() {
            if let Poll::Ready(done) = futures[at].as_mut().poll(cx) {
                drop(futures.swap_remove(at));
                return Poll::Ready(done);
            }
        }
        Poll::Pending
    })
    .await
}

/// Alternates the families in the resolver's order, so that an unreachable family does not delay
/// the other; the first address stays first (RFC 8305, section 4).
fn alternate_families(addresses: Vec<Address>) -> Vec<Address> {
    let Some(first) = addresses.first().map(Address::family) else {
        return addresses;
    };
    let (ours, others): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.family() == first);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    let mut all = Vec::with_capacity(ours.len() + others.len());
    while ours.len() + others.len() > 0 {
        all.extend(ours.next());
        all.extend(others.next());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_share_a_short_time_limit() {
        let millis = Duration::from_millis;
        assert_eq!(turn(None, 3), NEXT_AFTER);
        assert_eq!(turn(Some(millis(60_000)), 3), NEXT_AFTER);
        assert_eq!(turn(Some(millis(200)), 1), millis(100));
        assert_eq!(turn(Some(millis(200)), 3), millis(50));
        assert_eq!(turn(Some(Duration::ZERO), 3), Duration::ZERO);
    }

    #[test]
    fn the_families_take_turns_and_the_first_address_stays_first() {
        let read = |words: &[&str]| -> Vec<Address> {
            words.iter().map(|word| word.parse().unwrap()).collect()
        };
        let sorted = [
            "inet6:[::1]:1",
            "inet6:[::2]:1",
            "inet6:[::3]:1",
            "inet:127.0.0.1:1",
            "inet:127.0.0.2:1",
        ];
        let turns = [
            "inet6:[::1]:1",
            "inet:127.0.0.1:1",
            "inet6:[::2]:1",
            "inet:127.0.0.2:1",
            "inet6:[::3]:1",
        ];
        assert_eq!(alternate_families(read(&sorted)), read(&turns));
        assert_eq!(alternate_families(read(&turns[1..4])), read(&turns[1..4]));
        assert_eq!(alternate_families(Vec::new()), Vec::new());
    }
}
