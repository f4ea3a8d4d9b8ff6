//! Connect to whatever a target stands for.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::retry::Retry;
use crate::address::{Address, Purpose, Target};
use crate::error::{Error, Kind, Result};
use crate::net::{ConnectOptions, Keepalive, Stream, reaches};
use crate::offload::offload;

/// The longest wait before a connection is tried again.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(200);

/// How a target is connected to.
#[derive(Debug, Clone, Default)]
pub struct ConnectPlan {
    /// The client's own end; it also chooses the family.
    pub bind: Option<Address>,
    /// An address that the target must not stand for: that of a server, which would connect to
    /// itself for ever.
    pub avoid: Option<Address>,
    /// When a server that has vanished is noticed.
    pub keepalive: Keepalive,
    /// How long one round may take: to resolve the name, and to try all its addresses.
    pub timeout: Option<Duration>,
    /// For how long to try again while nobody is there.
    pub retry_for: Option<Duration>,
}

/// Connects to the first address of `target` that accepts, and says which it was.
///
/// # Errors
/// Why each address failed; [`Kind::NobodyThere`] only after `retry_for`, and then
/// [`Kind::TimedOut`] for a server whose backlog stayed full.
pub async fn connect(target: &Target, plan: &ConnectPlan) -> Result<(Stream, Address)> {
    let retry_for = plan.retry_for.filter(|limit| !limit.is_zero());
    let give_up = retry_for.map(|limit| Instant::now() + limit);
    let mut retry = retry_for.map(|_| Retry::of(target, RETRY_PAUSE_MAX));
    loop {
        let deadline = plan.timeout.map(|limit| Instant::now() + limit);
        // A full backlog is waited for no longer than an absent server is.
        let deadline = deadline.into_iter().chain(give_up).min();
        match (one_round(target, plan, deadline).await, &mut retry, give_up) {
            (Err(error), Some(retry), Some(end)) if error.kind() == Kind::NobodyThere => {
                if Instant::now() >= end || timeout_at(end, retry.next()).await.is_err() {
                    return Err(error);
                }
            }
            (done, ..) => return done,
        }
    }
}

async fn one_round(
    target: &Target,
    plan: &ConnectPlan,
    deadline: Option<Instant>,
) -> Result<(Stream, Address)> {
    target.refuse_port_0()?;
    let mut addresses = resolve(target, deadline).await?;
    if let Some(own) = &plan.bind {
        addresses.retain(|address| address.family() == own.family());
        if addresses.is_empty() {
            let cause = format!("it has no address of the family of {own}");
            return Err(Error::because("connect", target, Kind::Usage, cause));
        }
    }
    // One of several is enough: the next round could take another one of them, and loop.
    if let Some(own) = &plan.avoid
        && addresses.iter().any(|address| reaches(own, address, false))
    {
        let cause = format!("it would connect to itself, as {target} is {own}");
        return Err(Error::because("connect", target, Kind::Usage, cause)
            .with_hint("give the name of another server, or check what this one stands for"));
    }
    let mut failures = Vec::new();
    for (tried, address) in addresses.iter().enumerate() {
        // What time is left is shared among the addresses left, as one that drops packets
        // would take all of it.
        let share = deadline.map(|deadline| {
            let now = Instant::now();
            let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            now + deadline.saturating_duration_since(now) / left
        });
        let options = ConnectOptions {
            bind: plan.bind.clone(),
            deadline: share,
            keepalive: plan.keepalive,
        };
        match Stream::connect(address, &options).await {
            Ok(stream) => return Ok((stream, address.clone())),
            Err(error) => failures.push(error),
        }
    }
    Err(all_failed(target, failures))
}

/// The addresses of `target`; a name is looked up beside the runtime, as that may take long.
pub(crate) async fn resolve(target: &Target, deadline: Option<Instant>) -> Result<Vec<Address>> {
    if !target.is_name() {
        return target.resolve(Purpose::Connect);
    }
    let name = target.clone();
    let looking_up = offload("resolve", target, move || name.resolve(Purpose::Connect));
    match deadline {
        None => looking_up.await?,
        Some(deadline) => match timeout_at(deadline, looking_up).await {
            Ok(looked_up) => looked_up?,
            Err(_) => {
                let cause = "no name server answered within the time limit";
                Err(Error::because("resolve", target, Kind::TimedOut, cause))
            }
        },
    }
}

/// One failure as it is, several as one that names each.
fn all_failed(target: &Target, mut failures: Vec<Error>) -> Error {
    let Some(last) = failures.pop() else {
        return Error::because(
            "resolve",
            target,
            Kind::Unresolved,
            "the name has no address",
        );
    };
    if failures.is_empty() {
        return last;
    }
    failures.push(last);
    let each: Vec<String> = failures
        .iter()
        .map(|error| format!("{}: {}", error.address(), error.cause()))
        .collect();
    // An address that this machine cannot reach must not hide that nobody listens on the other.
    let telling = |kind| failures.iter().find(|error| error.kind() == kind);
    let told = telling(Kind::NobodyThere).unwrap_or(&failures[0]);
    let combined = Error::because("connect", target, told.kind(), each.join(", "));
    match told.hint() {
        Some(hint) => combined.with_hint(hint),
        None => combined,
    }
}
