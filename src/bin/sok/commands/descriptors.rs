//! What must be left of the descriptors that a process may have before a command begins.

use std::os::fd::{AsFd, OwnedFd};
use std::{fmt, io, mem, panic};

use sok::error::{Error, ErrorKind, Result};
use sok::net::{DESCRIPTOR_SHARE, connected_pair};

use crate::exit::Exit;
use crate::output::Ui;
use crate::output::standard;

/// What an event loop opens beside the pair that signals come through: its epoll twice, what wakes
/// it, and a copy of one end of the pair.
const EVENT_LOOP: usize = 4;
/// What a server takes for its first connection, at most: the client, the target, the name
/// look-up, the pipes to splice through or to a program.
pub(crate) const FIRST_CONNECTION: usize = 8;
/// What a wait takes for a try: the socket, and the watch on its file.
pub(crate) const WAIT: usize = 2;
/// What a check of the host has open at once, with its event loop.
pub(crate) const CHECK: usize = 16;
/// What the tour has open at once, with its event loop: lesson 7 has the most connections.
pub(crate) const TOUR: usize = 24;

/// What a server itself takes: standard streams, the first thread, name look-ups.
const OWN: usize = 20;
/// What each further thread takes: its epoll, the way to wake it, its signals.
const THREAD: usize = 4;
/// What a connection takes that a program serves: the socket, two pipes, and what its end is
/// awaited by.
pub(crate) const SERVED_BY_PROGRAM: usize = 4;

/// What a server takes for itself, beside its connections.
pub(crate) const fn own_descriptors(threads: usize, listeners: usize) -> usize {
    OWN + THREAD * (threads - 1) + listeners
}

/// How many connections there are `descriptors` for beside the process's `own`, if each may take so
/// many. A client that was accepted without them would have to be refused; in the backlog it waits.
pub(crate) fn affordable(descriptors: u64, own: usize, each: usize) -> usize {
    let left = descriptors.saturating_sub(own as u64 + descriptors / DESCRIPTOR_SHARE);
    let most = usize::try_from(left).unwrap_or(usize::MAX) / each;
    most.max(1)
}

/// Checks that `count` descriptors are left for `operation` on `address`. To start and then fail
/// each client would be worse than not to start.
///
/// # Errors
/// `EMFILE`, or what else `fcntl(2)` reports.
pub(crate) fn need(
    count: usize,
    operation: &'static str,
    address: impl fmt::Display,
) -> Result<()> {
    copies(count)
        .map(drop)
        .map_err(|error| lacking(count, Error::new(operation, address, error)))
}

/// What the runtime says when it panics so, before the error.
const NO_PAIR: &str = "failed to create UnixStream:";

/// Until [`end_explaining`]: where the runtime cannot begin, the program ends with an error that says
/// why. The runtime panics where it cannot have the pair of sockets that signals come through. To ask
/// for all that it needs before it starts would cost each `sok call` 12 system calls.
pub(crate) fn explain_a_missing_event_loop(ui: Ui) {
    let otherwise = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        let text = panicked.payload().downcast_ref::<String>();
        let Some(cause) = text.and_then(|text| text.strip_prefix(NO_PAIR)) else {
            return otherwise(panicked);
        };
        let error = need_event_loop().err();
        // What was short may have come back since.
        let error = error.unwrap_or_else(|| {
            Error::because("start", "the event loop", ErrorKind::Other, cause.trim())
        });
        ui.failed(&error);
        Exit::from(&error).leave()
    }));
}

/// Leaves panics to the standard library again.
pub(crate) fn end_explaining() {
    // Once in a process: its drop would be one more page of code to map.
    mem::forget(panic::take_hook());
}

/// Checks that an event loop can begin.
///
/// # Errors
/// What `socketpair(2)` or `fcntl(2)` reports.
pub(crate) fn need_event_loop() -> Result<()> {
    let had = connected_pair().and_then(|pair| Ok((copies(EVENT_LOOP)?, pair)));
    had.map(drop).map_err(|error| {
        let error = Error::new("start", "the event loop", error);
        lacking(EVENT_LOOP + 2, error)
    })
}

/// So many descriptors at once, which is the only way to know: others may have been inherited.
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
