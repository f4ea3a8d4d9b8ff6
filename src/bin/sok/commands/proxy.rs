//! The options of the PROXY protocol.

use sok::access::{Entry, PeerKind, RuleSource, Rules, Verdict};
use sok::address::{Address, Target};
use sok::client::{ConnectPlan, connect};
use sok::error::{Error, ErrorKind, Result};
use sok::loops::AcceptProxy;
use sok::net::{Proxied, ProxyVersion, Stream};

use crate::args::{AcceptProxyArgs, SendProxyArgs};

/// Which headers clients at `listens` must send, if any.
///
/// # Errors
/// If an address has no connections that a header could begin, and for a rule that is
/// wrong or matches no client.
pub(crate) fn accept_proxy(
    args: &AcceptProxyArgs,
    operation: &'static str,
    listens: &[Target],
) -> Result<Option<AcceptProxy>> {
    if !args.accept_proxy {
        return Ok(None);
    }
    for listen in listens {
        require_connection("--accept-proxy", operation, listen)?;
    }
    let mut accept = AcceptProxy::default();
    accept.timeout = args.proxy_timeout.unwrap_or(accept.timeout);
    let allowed = args.proxy_from.iter().map(|word| {
        let rule = word.parse()?;
        Ok(Entry::new(Verdict::Allow, rule))
    });
    let mut source = RuleSource::default();
    source.first = allowed.collect::<Result<_>>()?;
    // One list of proxies may be for listeners of both families.
    let kinds = listens.iter().map(|listen| {
        let mut kind = PeerKind::of(listen);
        let has_ip = kind.has_ipv4 || kind.has_ipv6;
        (kind.has_ipv4, kind.has_ipv6) = (has_ip, has_ip);
        kind
    });
    source.kinds = kinds.collect();
    accept.from = Rules::new(source.load()?);
    Ok(Some(accept))
}

/// The version of the header that `operation` sends to `targets`, if any.
///
/// # Errors
/// If one has no connections that a header could begin.
pub(crate) fn send_proxy(
    args: &SendProxyArgs,
    operation: &'static str,
    targets: &[Target],
) -> Result<Option<ProxyVersion>> {
    let version = args.version();
    if version.is_some() {
        let check = |target| require_connection("--send-proxy", operation, target);
        targets.iter().try_for_each(check)?;
    }
    Ok(version)
}

/// Connects to `target`, and sends a header of that `version` for this client, if any.
pub(crate) async fn connect_by(
    target: &Target,
    plan: &ConnectPlan,
    version: Option<ProxyVersion>,
) -> Result<(Stream, Address)> {
    let (stream, address) = connect(target, plan).await?;
    if let Some(version) = version {
        let sent = match Proxied::of_client(&stream, &address) {
            Ok(proxied) => stream.send_proxy_header(&proxied, version).await,
            Err(error) => Err(error),
        };
        sent.map_err(|error| Error::new("send", &address, error))?;
    }
    Ok((stream, address))
}

/// Refuses `option` for an address without connections that a header could begin.
fn require_connection(option: &str, operation: &'static str, target: &Target) -> Result<()> {
    if target.socket_type().has_connection() {
        return Ok(());
    }
    let cause = format!("{option} needs connections, and a datagram socket has none");
    Err(Error::because(operation, target, ErrorKind::Usage, cause))
}
