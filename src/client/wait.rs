//! Wait until servers accept, or until they are gone.

use std::time::Duration;

use humantime::format_duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::info;

use super::connect::{ConnectPlan, connect, resolve};
use super::retry::Retry;
use crate::address::{Address, Target};
use crate::error::{Error, Kind, Result};
use crate::net::Stream;

/// The least that one try may take, whatever the interval.
const TRY_MIN: Duration = Duration::from_secs(1);

/// What is waited for, and how.
#[derive(Debug, Clone)]
pub struct WaitPlan {
    /// Wait until nobody is there any more, in place of until somebody accepts.
    pub gone: bool,
    /// One of the targets is enough.
    pub any: bool,
    /// A name that does not resolve is an error, not a server that is yet to come.
    pub strict_dns: bool,
    /// The longest pause between two tries; a socket file that changes is tried at once.
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
/// "Not there yet" is no file, a stale one, a refusal, a full backlog, no answer, an unreachable
/// network, and a name that does not resolve; all else will never be, and ends the wait unless
/// another target is enough. "Gone" is no file, a stale one, a refusal, of each address that a name
/// stands for, and a name that does not resolve.
///
/// # Errors
/// [`Kind::TimedOut`] with the last reason of each target that is late, or what will never be.
pub async fn wait(targets: &[Target], plan: &WaitPlan) -> Result<()> {
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
            Err(error) if error.kind() == Kind::TimedOut => late.push(error),
            Err(error) if plan.any => never.push(error),
            Err(error) => return Err(error),
        }
    }
    // While one is only late, time ran out: the others are told with it.
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
            Err(Error::because("wait for", names, Kind::TimedOut, causes))
        }
    }
}

/// Waits for one target, and tells the last reason if it is late.
async fn wait_for(target: &Target, plan: &WaitPlan, deadline: Option<Instant>) -> Result<()> {
    let mut retry = Retry::of(target, plan.interval);
    let mut last = "no try has ended".to_owned();
    let tries = async {
        loop {
            // No longer than there is time: so the last one tells why it failed.
            let left = deadline.map(|deadline| deadline - Instant::now());
            let most = plan.interval.max(TRY_MIN);
            let connecting = ConnectPlan {
                timeout: Some(left.map_or(most, |left| left.min(most))),
                ..ConnectPlan::default()
            };
            let tried = match plan.gone {
                true => anybody(target, &connecting).await,
                false => connect(target, &connecting).await,
            };
            match tried {
                Ok((_, address)) if !plan.gone => {
                    info!(%address, "connected");
                    return Ok(());
                }
                Ok((_, address)) => last = format!("{address} accepts"),
                // A try that time cut short tells nothing of an address that it did not reach.
                Err(error)
                    if plan.gone
                        && is_gone(&error, plan.strict_dns)
                        && deadline.is_none_or(|deadline| Instant::now() < deadline) =>
                {
                    return Ok(());
                }
                Err(error) if may_pass(&error, plan.strict_dns) => last = error.to_string(),
                Err(error) => return Err(error),
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
            let what = if plan.gone { "gone" } else { "there" };
            let limit = plan.timeout.unwrap_or_default();
            let cause = format!(
                "not {what} within {}, at last: {last}",
                format_duration(limit)
            );
            Err(Error::because("wait for", target, Kind::TimedOut, cause))
        }
    }
}

/// Connects to any address of `target`, each of which is tried. If none accepts, the error is of one
/// where somebody may be, as by a full backlog; then of one where nobody is.
async fn anybody(target: &Target, plan: &ConnectPlan) -> Result<(Stream, Address)> {
    let deadline = plan.timeout.map(|limit| Instant::now() + limit);
    let mut told: Option<Error> = None;
    for address in resolve(target, deadline).await? {
        match connect(&address.into(), plan).await {
            Ok(connected) => return Ok(connected),
            Err(error) => {
                // An address that this machine cannot reach tells nothing of the others.
                let weight = |error: &Error| match error.kind() {
                    Kind::Other | Kind::Usage => 0,
                    Kind::NobodyThere => 1,
                    _ => 2,
                };
                if told
                    .as_ref()
                    .is_none_or(|told| weight(told) < weight(&error))
                {
                    told = Some(error);
                }
            }
        }
    }
    Err(told.unwrap_or_else(|| {
        let cause = "the name has no address";
        Error::because("resolve", target, Kind::Unresolved, cause)
    }))
}

/// Whether nobody is there any more: a name goes with its host.
fn is_gone(error: &Error, strict_dns: bool) -> bool {
    match error.kind() {
        Kind::NobodyThere => true,
        Kind::Unresolved => !strict_dns,
        _ => false,
    }
}

/// Whether a later try may succeed.
fn may_pass(error: &Error, strict_dns: bool) -> bool {
    use nix::Error as E;
    match error.kind() {
        Kind::NobodyThere | Kind::TimedOut | Kind::Broken => true,
        Kind::Unresolved => !strict_dns,
        Kind::Other => matches!(
            error.os_error().map(E::from_raw),
            Some(
                E::ENETUNREACH
                    | E::EHOSTUNREACH
                    | E::ENETDOWN
                    | E::EADDRNOTAVAIL
                    | E::EMFILE
                    | E::ENFILE
            )
        ),
        Kind::Usage | Kind::Denied | Kind::InUse | Kind::OutputClosed => false,
    }
}
