//! The number of descriptors that a command needs to start.

use std::os::fd::{AsFd, OwnedFd};
use std::{fmt, io, mem, panic};

use sok::error::{Error, ErrorKind, Result};
use sok::net::{DESCRIPTOR_SHARE, connected_pair};

use crate::exit::Exit;
use crate::output::Ui;
use crate::output::standard;

/// The descriptors of an event loop besides its signal pair: its epoll twice, its waker, and a copy
/// of one end of the pair.
const EVENT_LOOP: usize = 4;
/// The maximum that a server needs for its first connection: the client, the target, the name
/// lookup, the pipes for splicing or for a program.
pub(crate) const FIRST_CONNECTION: usize = 8;
/// An attempt of a wait: the socket, and the watch on its file.
pub(crate) const WAIT: usize = 2;
/// The maximum that a check of the host has open, with its event loop.
pub(crate) const CHECK: usize = 16;
/// The maximum that the tour has open, with its event loop: lesson 7 has the most connections.
pub(crate) const TOUR: usize = 24;

/// A server itself: standard streams, the first thread, name lookups.
const OWN: usize = 20;
/// Each further thread: its epoll, its waker, its signals.
const THREAD: usize = 4;
/// A connection with a program: the socket, two pipes, and the descriptor that awaits the program's
/// end.
pub(crate) const SERVED_BY_PROGRAM: usize = 4;

/// The descriptors of a server besides its connections.
pub(crate) const fn own_descriptors(threads: usize, listeners: usize) -> usize {
    OWN + THREAD * (threads - 1) + listeners
}

/// The number of connections that `descriptors` allow, besides the process's `own`, with this many
/// each. A client accepted beyond it would have to be refused; in the backlog it waits.
pub(crate) fn affordable(descriptors: u64, own: usize, each: usize) -> usize {
    let left = descriptors.saturating_sub(own as u64 + descriptors / DESCRIPTOR_SHARE);
    let most = usize::try_from(left).unwrap_or(usize::MAX) / each;
    most.max(1)
}

/// Checks that `count` descriptors are left for `operation` on `address`. To fail at the start is
/// better than to fail each client.
///
/// # Errors
/// `EMFILE`, or other errors of `fcntl(2)`.
pub(crate) fn need(
    count: usize,
    operation: &'static str,
    address: impl fmt::Display,
) -> Result<()> {
    copies(count)
        .map(drop)
        .map_err(|error| lacking(count, Error::new(operation, address, error)))
}

/// The start of the runtime's panic message, before the error.
const NO_PAIR: &str = "failed to create UnixStream:";

/// Until [`end_explaining`], replaces the runtime's panic at its start with an error that gives the
/// reason. The runtime panics if it cannot create its signal pair. Checking all that it needs
/// before it starts would take 12 system calls for each `sok call`.
pub(crate) fn explain_a_missing_event_loop(ui: Ui) {
    let otherwise = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        let text = panicked.payload().downcast_ref::<String>();
        let Some(cause) = text.and_then(|text| text.strip_prefix(NO_PAIR)) else {
            return otherwise(panicked);
        };
        let error = need_event_loop().err();
        // The missing resource may be available again.
        let error = error.unwrap_or_else(|| {
            Error::because("start", "the event loop", ErrorKind::Other, cause.trim())
        });
        ui.failed(&error);
        Exit::from(&error).leave()
    }));
}

/// Restores the standard panic handling.
pub(crate) fn end_explaining() {
    // Once in a process: dropping it would map another page of code.
    mem::forget(panic::take_hook());
}

/// Checks that an event loop can start.
///
/// # Errors
/// Errors of `socketpair(2)` or `fcntl(2)`.
pub(crate) fn need_event_loop() -> Result<()> {
    let had = connected_pair().and_then(|pair| Ok((copies(EVENT_LOOP)?, pair)));
    had.map(drop).map_err(|error| {
        let error = Error::new("start", "the event loop", error);
        lacking(EVENT_LOOP + 2, error)
    })
}

/// Opens this many descriptors, the only way to know: others may have been inherited.
fn copies(count: usize) -> io::Result<Vec<OwnedFd>> {
    let copy = |_| standard::any_descriptor().as_fd().try_clone_to_owned();
    (0..count).map(copy).collect()
}

fn lacking(count: usize, error: Error) -> Error {
    match error.hint() {
        Some(hint) => {
            let hint = format!("{hint}: {count} more are needed to start");
            error.with_hint(hint)
        }
        None => error,
    }
}
