//! Accepting: the next connection of several listeners, and when accepting pauses.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::error::{Error, Result};
use crate::net::{Listener, Peer, Stream};

/// The pause of accepting when the machine is out of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// After this many failures in a row before accept(2), the listener is at fault, not the
/// connections: a sandbox that refuses accept(2) returns the same error as a firewall that drops a
/// connection.
const FAILED_IN_A_ROW: u32 = 1000;

/// The next connection of any listener; each in turn is tried first.
pub(super) async fn accept(
    listeners: &[Listener],
    turn: u64,
) -> (&Listener, io::Result<(Stream, Peer)>) {
    let first = usize::try_from(turn).unwrap_or_default() % listeners.len().max(1);
    let (later, sooner) = listeners.split_at(first);
    poll_fn(|cx| {
        for listener in sooner.iter().chain(later) {
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                return Poll::Ready((listener, accepted));
            }
        }
        Poll::Pending
    })
    .await
}

/// While no more connections can be served: lets each listener end a connection for a peer that
/// cannot wait in a backlog. Never ready.
pub(super) async fn make_room(listeners: &[Listener]) {
    poll_fn(|cx| {
        for listener in listeners {
            let _ = listener.poll_make_room(cx);
        }
        Poll::Pending
    })
    .await
}

/// Whether accepting pauses, as it does while the machine is out of descriptors or memory.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    until: Option<Instant>,
    exhausted: bool,
    failed_in_a_row: u32,
}

impl Pauses {
    /// Whether there is a pause now.
    pub(super) const fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// Waits until the pause is over.
    pub(super) async fn over(&mut self) {
        if let Some(until) = self.until {
            sleep_until(until).await;
            self.until = None;
        }
    }

    /// A connection was accepted.
    pub(super) fn accepted(&mut self, at: &Listener) {
        self.failed_in_a_row = 0;
        if mem::take(&mut self.exhausted) {
            info!(address = %at.local_addr(), "accepting again");
        }
    }

    /// No connection could be accepted: the next one is tried at once, or after a pause.
    ///
    /// # Errors
    /// If no later one could be accepted either.
    pub(super) fn failed(&mut self, at: &Listener, error: io::Error) -> Result<()> {
        match AcceptFault::of(&error) {
            AcceptFault::Peer if self.failed_in_a_row < FAILED_IN_A_ROW => {
                self.failed_in_a_row += 1;
            }
            AcceptFault::Peer | AcceptFault::Exhausted => {
                if !mem::replace(&mut self.exhausted, true) {
                    warn!(address = %at.local_addr(), %error, "accepting pauses");
                }
                self.until = Some(Instant::now() + EXHAUSTED_PAUSE);
            }
            AcceptFault::Listener => return Err(Error::new("accept", at.local_addr(), error)),
        }
        Ok(())
    }
}

/// The cause of an error of `accept(2)`.
#[derive(Debug, PartialEq, Eq)]
enum AcceptFault {
    /// The connection to accept: the next one may succeed.
    Peer,
    /// Descriptors or memory, which may be free later.
    Exhausted,
    /// The listening socket itself.
    Listener,
}

impl AcceptFault {
    fn of(error: &io::Error) -> Self {
        use nix::Error as E;
        match error.raw_os_error().map(E::from_raw) {
            Some(E::EMFILE | E::ENFILE | E::ENOBUFS | E::ENOMEM | E::ENOSPC) => Self::Exhausted,
            // accept(2): "already-pending network errors on the new socket" are retried.
            Some(
                E::ECONNABORTED
                | E::ECONNRESET
                | E::EPROTO
                | E::ENOPROTOOPT
                | E::EHOSTDOWN
                | E::EHOSTUNREACH
                | E::ENETDOWN
                | E::ENETUNREACH
                | E::ENONET
                | E::ETIMEDOUT
                | E::EPERM
                | E::EINTR,
            ) => Self::Peer,
            None if error.kind() == io::ErrorKind::ConnectionAborted => Self::Peer,
            _ => Self::Listener,
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::Error as E;

    use super::*;

    #[test]
    fn errors_of_accept_are_classified() {
        use AcceptFault as F;
        for (errno, fault) in [
            (E::ECONNABORTED, F::Peer),
            (E::ECONNRESET, F::Peer),
            (E::EPROTO, F::Peer),
            (E::ENOPROTOOPT, F::Peer),
            (E::EHOSTDOWN, F::Peer),
            (E::EHOSTUNREACH, F::Peer),
            (E::ENETDOWN, F::Peer),
            (E::ENETUNREACH, F::Peer),
            (E::ENONET, F::Peer),
            (E::ETIMEDOUT, F::Peer),
            // A firewall's rule, see accept(2).
            (E::EPERM, F::Peer),
            (E::EINTR, F::Peer),
            (E::EMFILE, F::Exhausted),
            (E::ENFILE, F::Exhausted),
            (E::ENOBUFS, F::Exhausted),
            (E::ENOMEM, F::Exhausted),
            (E::ENOSPC, F::Exhausted),
            (E::EBADF, F::Listener),
            (E::EINVAL, F::Listener),
            (E::ENOTSOCK, F::Listener),
            (E::EOPNOTSUPP, F::Listener),
        ] {
            assert_eq!(AcceptFault::of(&errno.into()), fault, "{errno}");
        }
        // accept(2) may return a connection that has already been reset.
        let gone = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(AcceptFault::of(&gone), F::Peer);
        assert_eq!(AcceptFault::of(&io::Error::other("?")), F::Listener);
    }
}
