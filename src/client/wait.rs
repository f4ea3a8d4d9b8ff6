//! Wait until servers accept, or until they have gone.

use std::time::Duration;

use humantime::format_duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::info;

use super::connect::{ConnectPlan, tells_missing_server, try_once};
use super::retry::Retry;
use crate::address::Target;
use crate::error::{Error, ErrorKind, Result};

/// The minimum time limit of one attempt, whatever the interval.
const TRY_MIN: Duration = Duration::from_secs(1);

/// Options of a wait.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WaitPlan {
    /// Wait until no server is left, instead of until one accepts.
    pub gone: bool,
    /// One of the targets is enough.
    pub any: bool,
    /// A name that does not resolve is an error, instead of a server that has not started.
    pub strict_dns: bool,
    /// The longest pause between two attempts; a change of a socket file causes one at once.
    pub interval: Duration,
    /// When to give up, with the last reason.
    pub timeout: Option<Duration>,
}

impl Default for WaitPlan {
    fn default() -> Self {
        Self {
            gone: false,
            any: false,
            strict_dns: false,
            interval: Duration::from_millis(100),
            timeout: None,
        }
    }
}

/// Waits until all `targets` accept a connection, each of which is closed at once.
///
/// It retries the temporary errors of [`connect`](super::connect()): no file, a stale one, a
/// refusal, a full backlog, no answer, an unreachable network, a name that does not resolve; others
/// end the wait unless another target is enough. "Gone" means no file, a stale one, or a refusal at
/// each address of a name, or a name that does not resolve.
///
/// # Errors
/// [`ErrorKind::TimedOut`] with the last reason of each late target, a permanent error, or
/// [`ErrorKind::Usage`] for a target of UDP: a server there may answer nothing.
pub async fn wait(targets: &[Target], plan: &WaitPlan) -> Result<()> {
    targets.iter().try_for_each(require_knowable)?;
    let deadline = plan.timeout.map(|limit| Instant::now() + limit);
    let mut all = JoinSet::new();
    for target in targets {
        let (target, plan) = (target.clone(), plan.clone());
        all.spawn(async move { wait_for(&target, &plan, deadline).await });
    }
    let (mut late, mut never) = (Vec::new(), Vec::new());
    while let Some(ended) = all.join_next().await {
        match ended.unwrap_or_else(|error| Err(Error::new("wait for", "a target", error))) {
            Ok(()) if plan.any => return Ok(()),
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => late.push(error),
            Err(error) if plan.any => never.push(error),
            Err(error) => return Err(error),
        }
    }
    // If one is only late, the time ran out: report the others with it.
    if late.is_empty() {
        never.truncate(1);
    }
    late.append(&mut never);
    match late.len() {
        0 => Ok(()),
        1 => Err(late.remove(0)),
        _ => {
            let names: Vec<&str> = late.iter().map(Error::address).collect();
            let causes: Vec<String> = late.iter().map(Error::cause).collect();
            let (names, causes) = (names.join(" "), causes.join(", "));
            Err(Error::because(
                "wait for",
                names,
                ErrorKind::TimedOut,
                causes,
            ))
        }
    }
}

/// Refuses a target of which no call says whether a server has it.
fn require_knowable(target: &Target) -> Result<()> {
    if tells_missing_server(target) {
        return Ok(());
    }
    let cause = "whether a server is there cannot be known: a datagram needs no answer";
    let hint = format!("send what it answers, as in 'sok call {target} MESSAGE --timeout 1s'");
    let error = Error::because("wait for", target, ErrorKind::Usage, cause);
    Err(error.with_hint(hint))
}

/// Waits for one target; returns the last reason if it is late.
async fn wait_for(target: &Target, plan: &WaitPlan, deadline: Option<Instant>) -> Result<()> {
    let mut retry = Retry::of(std::iter::once(target), plan.interval);
    let mut last = "no attempt has ended".to_owned();
    let connecting = ConnectPlan {
        timeout: Some(plan.interval.max(TRY_MIN)),
        ..ConnectPlan::default()
    };
    let tries = async {
        loop {
            // Within the remaining time, so that the last attempt reports its reason.
            match try_once(target, &connecting, deadline).await {
                Ok((_, address)) if !plan.gone => {
                    info!(%address, "connected");
                    return Ok(());
                }
                Ok((_, address)) => last = format!("{address} accepts"),
                Err(failures) if failures.is_unresolved() && plan.strict_dns => {
                    return Err(failures.into_error(target));
                }
                // An attempt cut short by the deadline says nothing about that address.
                Err(failures)
                    if plan.gone
                        && failures.nobody_is_left()
                        && deadline.is_none_or(|deadline| Instant::now() < deadline) =>
                {
                    return Ok(());
                }
                Err(failures) if failures.may_pass() => {
                    last = failures.into_error(target).to_string();
                }
                Err(failures) => return Err(failures.into_error(target)),
            }
            retry.next().await;
        }
    };
    let Some(deadline) = deadline else {
        return tries.await;
    };
    match tokio::time::timeout_at(deadline, tries).await {
        Ok(done) => done,
        Err(_) => {
            let what = if plan.gone { "gone" } else { "ready" };
            let limit = plan.timeout.unwrap_or_default();
            let cause = format!(
                "not {what} within {}; the last result: {last}",
                format_duration(limit)
            );
            Err(Error::because(
                "wait for",
                target,
                ErrorKind::TimedOut,
                cause,
            ))
        }
    }
}
