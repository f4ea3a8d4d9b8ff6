//! Connect to a target.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::failures::ConnectErrors;
use super::given::GivenConnection;
use super::race::race;
use crate::address::{Address, Purpose, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Congestion, ConnectOptions, Keepalive, Stream, UdpOptions, reaches};
use crate::offload::offload;

/// Options for connecting to a target.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ConnectPlan {
    /// The local address; it also determines the family.
    pub bind: Option<Address>,
    /// An address that the target must not include: that of a server, which would connect to itself
    /// endlessly.
    pub avoid: Option<Address>,
    /// When a vanished server is detected.
    pub keepalive: Keepalive,
    /// Which congestion control TCP has.
    pub congestion: Congestion,
    /// Whether an AF_UNIX server gets `EPERM` when it sends descriptors, see
    /// [`ListenOptions::take_descriptors`](crate::net::ListenOptions::take_descriptors).
    pub refuse_descriptors: bool,
    /// Options of UDP.
    pub udp: UdpOptions,
    /// The time limit of one round: resolve the name, and try all its addresses.
    pub timeout: Option<Duration>,
    /// How long to retry temporary errors.
    pub retry_for: Option<Duration>,
    /// The connection that is used instead of a new one, if there is one already.
    pub given: Option<GivenConnection>,
}

/// One round: resolves the name and tries all its addresses, until `end` or the timeout of `plan`.
pub(super) async fn try_once(
    target: &Target,
    plan: &ConnectPlan,
    end: Option<Instant>,
) -> std::result::Result<(Stream, Address), ConnectErrors> {
    if let Some(given) = &plan.given {
        return given.take(target).map_err(ConnectErrors::from);
    }
    let timeout = plan.timeout.map(|limit| Instant::now() + limit);
    let deadline = timeout.into_iter().chain(end).min();
    target.require_specified()?;
    let mut addresses = resolve(target, deadline).await?;
    if let Some(own) = &plan.bind {
        addresses.retain(|address| address.family() == own.family());
        if addresses.is_empty() {
            let cause = format!("no address in the same family as {own}");
            return Err(Error::because("connect", target, ErrorKind::Usage, cause).into());
        }
    }
    // Any match is refused: a later round could choose it, and loop.
    if let Some(own) = &plan.avoid
        && addresses.iter().any(|address| reaches(own, address, false))
    {
        let cause = format!("this would connect to itself: {target} is {own}");
        return Err(Error::because("connect", target, ErrorKind::Usage, cause)
            .with_hint("give the name of another server, or check what this name resolves to")
            .into());
    }
    let options = ConnectOptions {
        bind: plan.bind.clone(),
        deadline,
        keepalive: plan.keepalive,
        congestion: plan.congestion.clone(),
        refuse_descriptors: plan.refuse_descriptors,
        udp: plan.udp.clone(),
    };
    let raced = race(addresses, &options).await;
    raced.map_err(|each| ConnectErrors::of(target, each))
}

/// Whether a connect fails if no server has the target. On UDP a client learns at best from the answer
/// to a datagram.
pub(super) fn tells_missing_server(target: &Target) -> bool {
    // A host name is one of a network family.
    let address = target.as_address();
    let is_told = address.is_some_and(|one| one.family().facts().missing_receiver_is_told);
    target.socket_type().has_connection() || is_told
}

/// The addresses of `target`; a name is resolved outside the runtime, as that may take long.
pub async fn resolve(target: &Target, deadline: Option<Instant>) -> Result<Vec<Address>> {
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
                Err(Error::because(
                    "resolve",
                    target,
                    ErrorKind::TimedOut,
                    cause,
                ))
            }
        },
    }
}
