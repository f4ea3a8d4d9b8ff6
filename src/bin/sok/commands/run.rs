//! Runs a command on an event loop of this thread, until it is done or a signal ends it.

use std::future::Future;

use sok::error::{Error, Result};
use sok::loops::EndSignals;
use sok::service::reap_orphans;
use tokio::runtime::Builder;

use super::descriptors;
use crate::exit::Exit;

/// Runs `command` on this thread.
///
/// A thread that is still blocked at the end, in a name lookup or on a pipe, is left behind: it
/// must not delay the end of the program.
pub(crate) fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    // A runtime with several threads would load the mathematics library for its statistics; a
    // server distributes its connections itself.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| match descriptors::need_event_loop() {
            Err(missing) => missing,
            Ok(()) => Error::new("start", "the event loop", error),
        })?;
    descriptors::end_explaining();
    let done = runtime.block_on(command);
    runtime.shutdown_background();
    done
}

/// Runs `work` until it is done or a signal ends the program; signals that were ignored when the
/// program started stay ignored. On a signal, `work` is dropped, and restores what it holds: a
/// socket file, the modes of a terminal.
pub(crate) async fn until_signal(work: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    until_killed(true, work).await
}

/// The same for work without state to restore: the signal itself ends the process. The kernel does
/// not deliver it to PID 1, the first process of a container, without a handler.
pub(crate) async fn until_killed(
    gives_back: bool,
    work: impl Future<Output = Result<Exit>>,
) -> Result<Exit> {
    let listens = gives_back || is_init();
    let watched = listens.then(EndSignals::watch).transpose();
    let signals = watched.map_err(|error| Error::new("watch", "signals", error))?;
    until_one_of(signals, work).await
}

/// The same as [`until_signal`] for work that handles SIGHUP itself.
pub(crate) async fn until_signal_but_hangup(
    work: impl Future<Output = Result<Exit>>,
) -> Result<Exit> {
    let watched = EndSignals::watch().map(EndSignals::without_hangup);
    let signals = watched.map_err(|error| Error::new("watch", "signals", error))?;
    until_one_of(Some(signals), work).await
}

async fn until_one_of(
    mut signals: Option<EndSignals>,
    work: impl Future<Output = Result<Exit>>,
) -> Result<Exit> {
    tokio::select! {
        // Before the work, which may also end at a signal, in another way.
        biased;
        Some(signal) = async { Some(signals.as_mut()?.next().await) } => Ok(Exit::of_signal(signal)),
        done = work => done,
    }
}

/// Reaps orphans if this is PID 1.
pub(crate) fn reap_as_init() -> Result<()> {
    if is_init() {
        let reaping = reap_orphans();
        tokio::spawn(reaping.map_err(|error| Error::new("watch", "SIGCHLD", error))?);
    }
    Ok(())
}

/// Whether this is the first process of the machine or of a container.
pub(crate) fn is_init() -> bool {
    std::process::id() == 1
}
