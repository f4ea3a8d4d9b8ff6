//! What must be left of the descriptors that a process may have before a command begins.

use std::os::fd::{AsFd, OwnedFd};
use std::{fmt, io};

use super::ui;
use crate::error::{Error, Result};
use crate::net::SPARE_SHARE;

/// What an event loop opens: its epoll twice, the way to wake it, and three for signals. The
/// runtime panics where there is none for the pair that signals come through.
pub(super) const EVENT_LOOP: usize = 6;
/// What a server takes for its first connection, at most: the client, the target, the name
/// look-up, the pipes to splice through or to a program.
pub(super) const FIRST_CONNECTION: usize = 8;
/// What a check of the host has open at once, with its event loop.
pub(super) const CHECK: usize = 16;
/// What the tour has open at once, with its event loop: lesson 7 has the most connections.
pub(super) const TOUR: usize = 24;

/// What a server itself takes: standard streams, the first thread, name look-ups.
const OWN: usize = 20;
/// What each further thread takes: its epoll, the way to wake it, its signals.
const THREAD: usize = 4;
/// What a connection takes that a program serves: the socket, two pipes, and what its end is
/// awaited by.
pub(super) const SERVED_BY_PROGRAM: usize = 4;

/// What a server takes for itself, beside its connections.
pub(super) const fn own_descriptors(threads: usize, listeners: usize) -> usize {
    OWN + THREAD * (threads - 1) + listeners
}

/// How many connections there are `descriptors` for beside the process's `own`, if each may take so
/// many. A client that was accepted without them would have to be refused; in the backlog it waits.
pub(super) fn affordable(descriptors: u64, own: usize, each: usize) -> usize {
    let left = descriptors.saturating_sub(own as u64 + descriptors / SPARE_SHARE);
    let most = usize::try_from(left).unwrap_or(usize::MAX) / each;
    most.max(1)
}

/// Checks that `count` descriptors are left for `operation` on `address`. To start and then fail
/// each client would be worse than not to start.
///
/// # Errors
/// `EMFILE`, or what else `fcntl(2)` reports.
pub(super) fn need(
    count: usize,
    operation: &'static str,
    address: impl fmt::Display,
) -> Result<()> {
    // To have them at once is the only way to know: others may have been inherited.
    let had: io::Result<Vec<OwnedFd>> = (0..count)
        .map(|_| ui::any_descriptor().as_fd().try_clone_to_owned())
        .collect();
    had.map(drop).map_err(|error| {
        let error = Error::new(operation, address, error);
        match error.hint() {
            Some(hint) => {
                let hint = format!("{hint}: {count} more are needed to begin");
                error.with_hint(hint)
            }
            None => error,
        }
    })
}
