//! The tests for network addresses: names that the kernel chooses, and the features of IPv6.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use sok::address::{Address, AddressKind, SocketType, Target};
use sok::client::resolve;
use sok::error::{Error, ErrorKind, Result};
use sok::net::{self, LinkLocal, ListenOptions, Listener};

use super::basics::exchange;
use super::scene::{Scene, Tried, broken, unexpected};

/// The kernel chooses a free name, and getsockname(2) returns it.
pub(super) async fn chosen_name(scene: &Scene) -> Result<Tried> {
    let Some(address) = scene.kind.chosen() else {
        return Ok(Tried::Not("the kernel chooses no name here".to_owned()));
    };
    let connection = scene.connection(&address).await?;
    let local = connection.listener.local_addr();
    if *local == address {
        return Err(unexpected(
            "bind",
            &address,
            "the kernel did not choose a name".to_owned(),
        ));
    }
    exchange(&connection).await?;
    Ok(Tried::found(local.to_string()))
}

/// A client reaches a server on every address of this host at its loopback address.
pub(super) async fn every_address(scene: &Scene) -> Result<Tried> {
    let listener = listen_everywhere(scene.kind, true)?;
    let target = at_port_of(scene.fresh(), &listener);
    exchange(&scene.connected(listener, &target).await?).await?;
    Ok(Tried::WORKS)
}

/// `localhost` resolves to this family: a server works on each of its addresses.
pub(super) async fn host_name(scene: &Scene) -> Result<Tried> {
    let target = Target::network(None, SocketType::Stream, "localhost", 0)?;
    let all = resolve(&target, Some(scene.deadline())).await?;
    let family = scene.kind.family();
    let own = |address: &&Address| address.family() == family;
    for address in all.iter().filter(own) {
        exchange(&scene.connection(address).await?).await?;
    }
    let names: Vec<String> = all
        .iter()
        .filter_map(|address| address.as_ip().map(|(ip, _)| ip.to_string()))
        .collect();
    let names = names.join(", ");
    match all.iter().any(|address| own(&address)) {
        true => Ok(Tried::found(names)),
        false => Ok(Tried::Not(format!("localhost resolves only to {names}"))),
    }
}

/// A `[::]` with IPV6_V6ONLY does not accept an IPv4 client.
pub(super) async fn v6only(scene: &Scene) -> Result<Tried> {
    if let Some(missing) = no_ipv4() {
        return Ok(missing);
    }
    let listener = listen_everywhere(scene.kind, true)?;
    let inet = at_port_of(loopback_v4(), &listener);
    // Another server may accept the client on this port of IPv4; ours would come first.
    let other = scene.dial(&inet).await;
    let target = at_port_of(scene.fresh(), &listener);
    let connection = scene.connected(listener, &target).await?;
    let own = connection.client.local_addr();
    if own.map_err(broken("getsockname", &target))? != connection.peer.address {
        let what = format!("{} was accepted too", connection.peer.address);
        return Err(unexpected("accept", connection.listener.local_addr(), what));
    }
    drop(other);
    exchange(&connection).await?;
    Ok(Tried::WORKS)
}

/// A `[::]` accepts an IPv4 client, whose address is a mapped one.
pub(super) async fn dual_stack(scene: &Scene) -> Result<Tried> {
    if let Some(missing) = no_ipv4() {
        return Ok(missing);
    }
    let listener = listen_everywhere(scene.kind, false)?;
    let inet = at_port_of(loopback_v4(), &listener);
    let connection = scene.connected(listener, &inet).await?;
    exchange(&connection).await?;
    let seen = connection.peer.address;
    match seen.as_ip() {
        Some((ip @ IpAddr::V6(_), _)) if ip.to_canonical() == Ipv4Addr::LOCALHOST => {
            Ok(Tried::found(format!("an IPv4 client is seen at {ip}")))
        }
        _ => Err(unexpected(
            "accept",
            &inet,
            format!("the client is seen at {seen}"),
        )),
    }
}

/// An IPv6 socket reaches an IPv4 server at its mapped address.
pub(super) async fn mapped_v4(scene: &Scene) -> Result<Tried> {
    if let Some(missing) = no_ipv4() {
        return Ok(missing);
    }
    let listener = Listener::bind(&loopback_v4(), &ListenOptions::default())?;
    let mapped = Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 0)));
    let target = at_port_of(mapped, &listener);
    exchange(&scene.connected(listener, &target).await?).await?;
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    Ok(Tried::found(format!(
        "an IPv4 server is reached at {mapped}"
    )))
}

/// A server works on a link-local address, with its interface as the scope.
pub(super) async fn link_local(scene: &Scene) -> Result<Tried> {
    let found = net::link_local_addresses();
    let found = found.map_err(|e| Error::new("list", "the interfaces", e))?;
    let mut failure = None;
    for LinkLocal {
        interface, address, ..
    } in found
    {
        let tried = async { exchange(&scene.connection(&address).await?).await };
        match tried.await {
            Ok(()) => {
                let ip = address
                    .as_ip()
                    .map_or_else(String::new, |(ip, _)| ip.to_string());
                return Ok(Tried::found(format!("{ip}%{interface}")));
            }
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(Tried::Not(
            "no active interface has a link-local address".to_owned(),
        )),
    }
}

fn listen_everywhere(kind: AddressKind, v6only: bool) -> Result<Listener> {
    let mut options = ListenOptions::default();
    options.v6only = v6only;
    let address = kind.every_address().ok_or_else(|| {
        Error::because("bind", kind, ErrorKind::Usage, "it has no wildcard address")
    })?;
    Listener::bind(&address, &options)
}

fn at_port_of(address: Address, listener: &Listener) -> Address {
    let port = listener.local_addr().as_ip().map_or(0, |(_, port)| port);
    address.with_port(port)
}

fn loopback_v4() -> Address {
    AddressKind::Inet.fresh(Path::new(""), "")
}

/// Why the tests of both network families cannot run.
fn no_ipv4() -> Option<Tried> {
    let error = net::try_bind(&loopback_v4()).err()?;
    Some(Tried::Not(format!(
        "this test needs IPv4 ({})",
        error.cause()
    )))
}
