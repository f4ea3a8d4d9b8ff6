//! Check an address: who serves there.

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

/// Who serves at a target: what each of its addresses answers.
#[derive(Debug, Serialize)]
pub(crate) struct TargetReport {
    /// The target as it was asked for, in full form.
    pub(crate) target: String,
    /// Whether a connection was made to one of the addresses at least.
    pub(crate) serves: bool,
    /// Each address that the target stands for, in the resolver's order.
    pub(crate) addresses: Vec<AddressReport>,
    /// Why nobody serves.
    #[serde(skip)]
    pub(crate) failure: Option<Error>,
}

/// What one address answers.
#[derive(Debug, Serialize)]
pub(crate) struct AddressReport {
    /// The address in full form.
    pub(crate) address: String,
    /// Its family.
    pub(crate) family: &'static str,
    /// Whether a connection was made.
    pub(crate) serves: bool,
    /// How long the connection took, or its failure, in microseconds.
    pub(crate) micros: u64,
    /// The server's process, user and group, where the family tells, as of its `listen(2)`.
    pub(crate) credentials: Option<Credentials>,
    /// The processes that listen; none where they cannot be seen.
    pub(crate) listeners: Vec<Process>,
    /// Why the connection failed, or why no process can be seen.
    pub(crate) reason: Option<String>,
    /// What to do about a failure, if that is known.
    pub(crate) hint: Option<String>,
}

/// Connects to each address that `target` stands for, and tells who is there. Each connection is
/// closed with nothing said.
///
/// Resolving, and each connection, ends within `limit`.
///
/// # Errors
/// If the target does not resolve. That nobody serves is in [`TargetReport::failure`].
pub(crate) async fn check_address(target: &Target, limit: Duration) -> Result<TargetReport> {
    target.refuse_indefinite()?;
    let resolved = resolve(target, Some(Instant::now() + limit)).await?;
    let options = ConnectOptions {
        deadline: Some(Instant::now() + limit),
        ..ConnectOptions::default()
    };
    // Side by side: one that stays silent does not hold up the others.
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
    let credentials = stream.and_then(|stream| stream.credentials().ok().flatten());
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
    // Whoever connects to every address of a machine is connected to one of them.
    match (ip(stream.remote()), ip(stream.local())) {
        (Some((ip, port)), Some((own, own_port))) => {
            by_connection((ip.to_canonical(), port), (own.to_canonical(), own_port))
        }
        _ => Err("the family does not report it".to_owned()),
    }
}

/// The failure that stands for all: that nobody is there must not be hidden by an address that
/// cannot be reached.
fn telling(mut failures: Vec<Error>) -> Option<Error> {
    let nobody = |error: &Error| error.kind() == ErrorKind::NoServer;
    match failures.iter().position(nobody) {
        Some(at) => Some(failures.swap_remove(at)),
        None => failures.into_iter().next(),
    }
}
