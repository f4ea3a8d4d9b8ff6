//! Check an address: which server listens on it.

use std::io;
use std::time::Duration;

use serde::Serialize;
use sok::address::{Address, Target};
use sok::client::resolve;
use sok::error::{Error, ErrorKind, Result};
use sok::net::{ConnectOptions, Credentials, Stream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::listener::{Process, Seen, by_connection, by_credentials};

/// The result for a target: for each of its addresses.
#[derive(Debug, Serialize)]
pub(crate) struct TargetReport {
    /// The given target, in full form.
    pub(crate) target: String,
    /// Whether a connection to at least one address was made.
    pub(crate) serves: bool,
    /// The addresses of the target, in the resolver's order.
    pub(crate) addresses: Vec<AddressReport>,
    /// The error if no server accepts.
    #[serde(skip)]
    pub(crate) failure: Option<Error>,
}

/// The result for one address.
#[derive(Debug, Serialize)]
pub(crate) struct AddressReport {
    /// The address in full form.
    pub(crate) address: String,
    /// Its family.
    pub(crate) family: &'static str,
    /// Whether a connection was made.
    pub(crate) serves: bool,
    /// The time until the connection was made, or failed, in microseconds.
    pub(crate) micros: u64,
    /// The server's process, user and group at its `listen(2)`, if the family reports them.
    pub(crate) credentials: Option<Credentials>,
    /// The listening processes; none if they are not visible.
    pub(crate) listeners: Vec<Process>,
    /// Why the connection failed, or why no process is visible.
    pub(crate) reason: Option<String>,
    /// The remedy for a failure, if known.
    pub(crate) hint: Option<String>,
}

/// Connects to each address of `target`, and reports the results. Each connection is closed without
/// sending anything.
///
/// The lookup, and each connection, end within `limit`.
///
/// # Errors
/// If the target does not resolve. [`TargetReport::failure`] has the error if no server accepts.
pub(crate) async fn check_address(target: &Target, limit: Duration) -> Result<TargetReport> {
    target.require_specified()?;
    let resolved = resolve(target, Some(Instant::now() + limit)).await?;
    let mut options = ConnectOptions::default();
    options.deadline = Some(Instant::now() + limit);
    // Side by side: a silent address does not delay the others.
    let mut tries = JoinSet::new();
    for (place, address) in resolved.into_iter().enumerate() {
        let options = options.clone();
        tries.spawn(async move {
            let began = Instant::now();
            let connected = Stream::connect(&address, &options).await;
            let took = began.elapsed();
            (place, answer(&address, &connected, took), connected.err())
        });
    }
    let mut tried = tries.join_all().await;
    tried.sort_by_key(|(place, ..)| *place);
    let (addresses, failures): (Vec<_>, Vec<_>) = tried
        .into_iter()
        .map(|(_, answer, failure)| (answer, failure))
        .unzip();
    let failures = failures.into_iter().flatten().collect();
    let serves = addresses.iter().any(|answer| answer.serves);
    Ok(TargetReport {
        target: target.to_string(),
        serves,
        addresses,
        failure: if serves { None } else { telling(failures) },
    })
}

fn answer(address: &Address, connected: &Result<Stream>, took: Duration) -> AddressReport {
    let stream = connected.as_ref().ok();
    let credentials = stream.and_then(|stream| stream.peer_cred().ok().flatten());
    let (listeners, hidden) = match stream.map(|stream| who_listens(stream, credentials)) {
        Some(Ok(listeners)) => (listeners, None),
        Some(Err(reason)) => (Vec::new(), Some(reason)),
        None => (Vec::new(), None),
    };
    let failure = connected.as_ref().err();
    AddressReport {
        address: address.to_string(),
        family: address.family().name(),
        serves: stream.is_some(),
        micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        credentials,
        listeners,
        reason: failure.map(Error::cause).or(hidden),
        hint: failure.and_then(Error::hint).map(str::to_owned),
    }
}

fn who_listens(stream: &Stream, credentials: Option<Credentials>) -> Seen {
    if let Some(credentials) = credentials {
        return by_credentials(credentials);
    }
    let ip = |end: io::Result<Address>| end.ok().and_then(|end| end.as_ip());
    // A connection to every address of a machine reaches one of them.
    match (ip(stream.peer_addr()), ip(stream.local_addr())) {
        (Some((ip, port)), Some((own, own_port))) => {
            by_connection((ip.to_canonical(), port), (own.to_canonical(), own_port))
        }
        _ => Err("the family does not report it".to_owned()),
    }
}

/// The failure for the whole target: that no server listens must not be hidden by an unreachable
/// address.
fn telling(mut failures: Vec<Error>) -> Option<Error> {
    let no_server = |error: &Error| error.kind() == ErrorKind::NoServer;
    match failures.iter().position(no_server) {
        Some(at) => Some(failures.swap_remove(at)),
        None => failures.into_iter().next(),
    }
}
