//! The report of each socket call, and calls that a signal interrupts.

use std::io;
use std::time::Instant;

use tracing::Level;

use super::received::Received;
use crate::address::Family;

/// The `tracing` target under which each socket call is reported, at trace level.
///
/// The fields are `call`, `family`, `arguments`, `result` and `micros`. A `recv`, `send` or
/// `accept` that would block is not reported: a program with blocking sockets would not make that
/// call.
pub const SOCKET_CALLS: &str = "sok::call";

/// Repeats `call` until no signal interrupts it.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Prints the result of a call as the system call would return it.
pub(super) trait Shown {
    fn shown(&self) -> String;
}

impl Shown for () {
    fn shown(&self) -> String {
        "0".to_owned()
    }
}

impl Shown for (Received, bool) {
    fn shown(&self) -> String {
        self.0.count().to_string()
    }
}

impl Shown for usize {
    fn shown(&self) -> String {
        self.to_string()
    }
}

/// A failure as the system call would return it, with the name of the error, see `errno(3)`.
fn failure(error: &io::Error) -> String {
    match error.raw_os_error().map(nix::Error::from_raw) {
        Some(errno) => format!("-1 {errno:?} ({})", errno.desc()),
        None => format!("-1 {error}"),
    }
}

/// A socket call in progress; costs one comparison if not traced.
#[derive(Debug)]
pub(super) struct CallTrace {
    family: Family,
    call: &'static str,
    started: Option<Instant>,
}

impl CallTrace {
    pub(super) fn start(family: Family, call: &'static str) -> Self {
        let watched = tracing::enabled!(target: SOCKET_CALLS, Level::TRACE);
        Self {
            family,
            call,
            started: watched.then(Instant::now),
        }
    }

    /// Reports the call with its result, unless it would block and will be retried.
    pub(super) fn done<T>(
        &self,
        result: &io::Result<T>,
        arguments: impl FnOnce() -> String,
        value: impl FnOnce(&T) -> String,
    ) {
        let Some(started) = self.started else { return };
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let result = match result {
            Ok(done) => value(done),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => failure(error),
        };
        self.report(micros, &arguments(), &result);
    }

    /// Reports a call that failed and will be retried, without a wait for readiness.
    pub(super) fn refused(&self, error: &io::Error, arguments: impl FnOnce() -> String) {
        let Some(started) = self.started else { return };
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.report(micros, &arguments(), &failure(error));
    }

    fn report(&self, micros: u64, arguments: &str, result: &str) {
        tracing::trace!(
            target: SOCKET_CALLS,
            call = self.call,
            family = self.family.af_name(),
            arguments,
            result,
            micros,
        );
    }
}
