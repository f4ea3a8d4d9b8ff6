//! Records socket calls, and which actor made them.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use sok::net::{SOCKET_CALLS, SocketCall};
use tracing::subscriber::{DefaultGuard, NoSubscriber, set_default};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// A socket call and the actor that made it. Both ends are in one process: the call does not show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Made {
    /// `server`, `client`, `client 2`.
    pub(crate) who: String,
    /// The call.
    #[serde(flatten)]
    pub(crate) call: SocketCall,
}

tokio::task_local! {
    static WHO: String;
}

/// Runs `work` as `who`: its socket calls are recorded under that name.
pub(super) fn played_by<F: Future>(who: &str, work: F) -> impl Future<Output = F::Output> {
    WHO.scope(who.to_owned(), work)
}

/// The same for a function.
pub(super) fn done_by<T>(who: &str, work: impl FnOnce() -> T) -> T {
    WHO.sync_scope(who.to_owned(), work)
}

/// The socket calls of this thread, in the order they were made.
#[derive(Debug, Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Vec<Made>>>);

impl Recorder {
    /// Records until the guard is dropped.
    pub(super) fn start(&self) -> DefaultGuard {
        set_default(tracing_subscriber::registry().with(self.clone()))
    }

    /// Takes the calls recorded so far.
    pub(super) fn take(&self) -> Vec<Made> {
        self.with(std::mem::take)
    }

    fn with<T>(&self, change: impl FnOnce(&mut Vec<Made>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Records nothing until the guard is dropped: to measure without the cost of recording.
pub(super) fn unrecorded() -> DefaultGuard {
    set_default(NoSubscriber::default())
}

impl<S: Subscriber> Layer<S> for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == SOCKET_CALLS
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut call = SocketCall::default();
        event.record(&mut call);
        let who = WHO.try_with(Clone::clone).unwrap_or_default();
        self.with(|made| made.push(Made { who, call }));
    }
}
