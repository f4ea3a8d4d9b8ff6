//! Check an address: which server listens on it, or receives its datagrams.

use std::io;
use std::time::Duration;

use serde::Serialize;
use sok::address::{Address, Target};
use sok::client::resolve;
use sok::error::{Error, ErrorKind, Result};
use sok::net::{ConnectOptions, Credentials, Stream, is_of_this_host};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::listener::{Process, Seen, by_connection, by_credentials, by_name, by_port};

/// The result for a target: for each of its addresses.
#[derive(Debug, Serialize)]
pub(crate) struct TargetReport {
    /// The given target, in full form.
    pub(crate) target: String,
    /// Whether there is a server on at least one address.
    pub(crate) serves: bool,
    /// The addresses of the target, in the resolver's order.
    pub(crate) addresses: Vec<AddressReport>,
    /// The error if no server accepts, or none is known.
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
    /// The type of its sockets.
    #[serde(rename = "type")]
    pub(crate) socket_type: &'static str,
    /// Whether there is a server: a connection was made, or a socket of this host receives the
    /// datagrams; `None` if that cannot be known.
    pub(crate) serves: Option<bool>,
    /// The time until the connection was made, or failed, in microseconds.
    pub(crate) micros: u64,
    /// The server's process, user and group at its `listen(2)`, if the family reports them.
    pub(crate) credentials: Option<Credentials>,
    /// The listening processes; none if they are not visible.
    pub(crate) listeners: Vec<Process>,
    /// Why the connection failed, why no process is visible, or how far the answer goes.
    pub(crate) reason: Option<String>,
    /// The remedy for a failure, if known.
    pub(crate) hint: Option<String>,
}

/// Connects to each address of `target`, and reports the results. Each connection is closed without
/// sending anything. Where that shows nothing, as for UDP, it looks for the socket on this host.
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
            let (answer, failure) = answer(&address, connected, took);
            (place, answer, failure)
        });
    }
    let mut tried = tries.join_all().await;
    tried.sort_by_key(|(place, ..)| *place);
    let (addresses, failures): (Vec<_>, Vec<_>) = tried
        .into_iter()
        .map(|(_, answer, failure)| (answer, failure))
        .unzip();
    let failures = failures.into_iter().flatten().collect();
    let serves = addresses.iter().any(|answer| answer.serves == Some(true));
    Ok(TargetReport {
        target: target.to_string(),
        serves,
        addresses,
        failure: if serves { None } else { telling(failures) },
    })
}

/// What is known of the server at an address.
struct Known {
    /// `None` if there may be one.
    serves: Option<bool>,
    listeners: Seen,
}

fn answer(
    address: &Address,
    connected: Result<Stream>,
    took: Duration,
) -> (AddressReport, Option<Error>) {
    let stream = connected.as_ref().ok();
    let credentials = stream.and_then(|stream| stream.peer_cred().ok().flatten());
    let known = connected.map(|stream| known(address, &stream, credentials));
    let (serves, seen, failure) = match known {
        Ok(Known { serves, listeners }) => {
            let failure = (serves != Some(true)).then(|| not_found(address, serves));
            (serves, listeners, failure)
        }
        Err(error) => (Some(false), Ok(Vec::new()), Some(error)),
    };
    let (listeners, hidden) = match seen {
        Ok(listeners) => (listeners, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    let by_table = serves == Some(true) && !is_told(address);
    let by_table = by_table.then(|| format!("{UNKNOWN}; the table of sockets has one"));
    let report = AddressReport {
        address: address.to_string(),
        family: address.family().name(),
        socket_type: address.socket_type().name(),
        serves,
        micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        credentials,
        listeners,
        reason: failure.as_ref().map(Error::cause).or(hidden).or(by_table),
        hint: failure.as_ref().and_then(Error::hint).map(str::to_owned),
    };
    (report, failure)
}

/// Whether a connect fails if no server is there.
fn is_told(address: &Address) -> bool {
    address.socket_type().has_connection() || address.family().facts().missing_receiver_is_told
}

const UNKNOWN: &str = "a UDP client cannot know whether a server is there";

/// The error if no socket was found, or none can be.
fn not_found(address: &Address, serves: Option<bool>) -> Error {
    match serves {
        Some(_) => {
            let cause = format!("no socket of this host receives there ({UNKNOWN})");
            Error::because("check", address, ErrorKind::NoServer, cause)
                .with_hint("start the server, or check the address")
        }
        None => Error::because("check", address, ErrorKind::Usage, UNKNOWN).with_hint(
            "run sok check on the host that has the address, or send a request (sok call)",
        ),
    }
}

fn known(address: &Address, stream: &Stream, credentials: Option<Credentials>) -> Known {
    if is_told(address) {
        return Known {
            serves: Some(true),
            listeners: who_listens(address, stream, credentials),
        };
    }
    let own = address
        .as_ip()
        .map(|(ip, port)| (ip.to_canonical(), port))
        .filter(|(ip, _)| is_of_this_host(*ip));
    let found = own.and_then(by_port);
    Known {
        serves: match (own, &found) {
            (None, _) => None,
            (Some(_), found) => Some(found.is_some()),
        },
        listeners: found.unwrap_or_else(|| Ok(Vec::new())),
    }
}

fn who_listens(address: &Address, stream: &Stream, credentials: Option<Credentials>) -> Seen {
    if let Some(credentials) = credentials {
        return by_credentials(credentials);
    }
    let ip = |end: io::Result<Address>| end.ok().and_then(|end| end.as_ip());
    // A connection to every address of a machine reaches one of them.
    match (ip(stream.peer_addr()), ip(stream.local_addr())) {
        (Some((ip, port)), Some((own, own_port))) => {
            by_connection((ip.to_canonical(), port), (own.to_canonical(), own_port))
        }
        _ => by_name(address),
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
