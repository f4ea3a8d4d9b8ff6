//! What must be left of the descriptors that a process may have before a command begins.

use std::os::fd::{AsFd, OwnedFd};
use std::{fmt, io};

use super::ui;
use crate::error::{Error, Result};

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
