//! Connect, and wait for a target that has not started: of the connections that wait for one target
//! one retries, and the others wait for it.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::SetOnce;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::info;

use super::connect::{ConnectPlan, try_once};
use super::failures::ConnectErrors;
use super::retry::Retry;
use crate::address::{Address, Target};
use crate::error::Result;
use crate::net::Stream;

/// The longest pause before a retry.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(200);

/// Connects to the first address of `target` that accepts, and returns it. Several addresses are
/// raced (RFC 8305): a silent one does not delay the others.
///
/// # Errors
/// The error of each address. Temporary errors (no server, no answer, a full backlog, a name that
/// does not resolve, no route, no descriptor left) are returned only after `retry_for`.
pub async fn connect(target: &Target, plan: &ConnectPlan) -> Result<(Stream, Address)> {
    WaitQueue::default().connect(target, plan).await
}

/// Whether `end` cut an attempt short: its error says less than the one before.
fn is_cut(began: Instant, end: Instant) -> bool {
    Instant::now() >= end && began + RETRY_PAUSE_MAX > end
}

/// Connections that may wait for the same targets. However many wait, one at a time retries, with one
/// clock and one watch on each socket file; when a target accepts, all connect. Clones
/// share the queue.
///
/// ```
/// use sok::client::{ConnectPlan, WaitQueue};
/// use sok::net::{ListenOptions, Listener};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let listener = Listener::bind(&"inet:127.0.0.1:0".parse()?, &ListenOptions::default())?;
/// let target = listener.local_addr().clone().into();
/// let waiting = WaitQueue::default();
/// let (stream, _) = waiting.connect(&target, &ConnectPlan::default()).await?;
/// # drop(stream);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct WaitQueue(Arc<Mutex<Weak<Queue>>>);

/// The current waiters; dropped with the last of them.
#[derive(Debug, Default)]
struct Queue {
    /// Its holder retries. Created for the first waiter: most connections never wait.
    turn: tokio::sync::Mutex<Option<Retry>>,
    /// Set when the target accepts or fails permanently: then all attempt for themselves.
    over: SetOnce<()>,
}

impl WaitQueue {
    /// Connects as [`connect`](super::connect()) does, and waits with the others if `plan` allows
    /// it. All must have the same `target`.
    ///
    /// # Errors
    /// As [`connect`](super::connect()).
    pub async fn connect(&self, target: &Target, plan: &ConnectPlan) -> Result<(Stream, Address)> {
        let attempt = |end| try_once(target, plan, end);
        let connected = self.retry(std::iter::once(target), plan.retry_for, attempt);
        connected
            .await
            .map_err(|failures| failures.into_error(target))
    }

    /// Repeats `attempt`, a round over all `targets`, for at most `retry_for` while its failure may
    /// pass. It gets the end of that time.
    pub(super) async fn retry<'a, T, F>(
        &self,
        targets: impl Iterator<Item = &'a Target> + Clone,
        retry_for: Option<Duration>,
        attempt: impl Fn(Option<Instant>) -> F,
    ) -> std::result::Result<T, ConnectErrors>
    where
        F: Future<Output = std::result::Result<T, ConnectErrors>>,
    {
        let retry_for = retry_for.filter(|limit| !limit.is_zero());
        let give_up = retry_for.map(|limit| Instant::now() + limit);
        match attempt(give_up).await {
            Err(failures) => match give_up {
                Some(end) => self.wait(targets, attempt, end, failures).await,
                None => Err(failures),
            },
            connected => connected,
        }
    }

    async fn wait<'a, T, F>(
        &self,
        targets: impl Iterator<Item = &'a Target> + Clone,
        attempt: impl Fn(Option<Instant>) -> F,
        end: Instant,
        mut last: ConnectErrors,
    ) -> std::result::Result<T, ConnectErrors>
    where
        F: Future<Output = std::result::Result<T, ConnectErrors>>,
    {
        if last.may_pass() {
            info!(error = %last, "waiting");
        }
        while last.may_pass() && Instant::now() < end {
            let queue = self.queue();
            tokio::select! {
                biased;
                _ = queue.over.wait() => {}
                () = sleep_until(end) => break,
                mut turn = queue.turn.lock() => {
                    let retry = turn.get_or_insert_with(|| Retry::of(targets.clone(), RETRY_PAUSE_MAX));
                    while Instant::now() < end && timeout_at(end, retry.next()).await.is_ok() {
                        let began = Instant::now();
                        match attempt(Some(end)).await {
                            Err(_) if is_cut(began, end) => {}
                            Err(failures) if failures.may_pass() => last = failures,
                            done => {
                                // Only the holder of the turn sets it.
                                let _ = queue.over.set(());
                                return done;
                            }
                        }
                    }
                    break;
                }
            }
            let began = Instant::now();
            match attempt(Some(end)).await {
                Err(_) if is_cut(began, end) => {}
                Err(failures) => last = failures,
                connected => return connected,
            }
        }
        Err(last)
    }

    fn queue(&self) -> Arc<Queue> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = current.upgrade()
            && !queue.over.initialized()
        {
            return queue;
        }
        let queue = Arc::new(Queue::default());
        *current = Arc::downgrade(&queue);
        queue
    }
}
