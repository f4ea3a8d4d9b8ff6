//! Addresses and sockets of every family, all blocking.

use std::net::{SocketAddr, SocketAddrV4};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::{Result, say};

fn parse(text: &str) -> Result<SockAddr> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(SockAddr::unix(path)?);
    }
    let (_, rest) = text
        .split_once(':')
        .ok_or("an address is unix:, inet: or inet6:")?;
    Ok(rest.parse::<SocketAddr>()?.into())
}

pub fn listen(text: &str) -> Result<Socket> {
    let address = parse(text)?;
    let socket = Socket::new(address.domain(), Type::STREAM, None)?;
    if address.domain() != Domain::UNIX {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address)?;
    socket.listen(4096)?;
    match socket.local_addr()?.as_socket() {
        Some(SocketAddr::V4(v4)) => say(&format!("listening on inet:{v4}"))?,
        Some(SocketAddr::V6(v6)) => say(&format!("listening on inet6:{v6}"))?,
        None => say(&format!("listening on {text}"))?,
    }
    Ok(socket)
}

/// Connects as most clients do.
pub fn connect_plain(text: &str) -> Result<Socket> {
    let address = parse(text)?;
    let socket = Socket::new(address.domain(), Type::STREAM, None)?;
    socket.connect(&address)?;
    Ok(socket)
}

/// Connects the `index`th of many connections: one local address has ports for some 28,000, and
/// the loopback network has many addresses. Each process takes others, as the ports of the one before
/// rest for a minute (`TIME-WAIT`, see RFC 9293).
pub fn connect_as(text: &str, index: usize) -> Result<Socket> {
    let address = parse(text)?;
    let socket = Socket::new(address.domain(), Type::STREAM, None)?;
    if address.domain() == Domain::IPV4 {
        let [.., high, low] = std::process::id().to_be_bytes();
        let last = u8::try_from(2 + index / 5_000)?;
        let own = SocketAddrV4::new([127, high, low, last].into(), 0);
        socket.set_reuse_address(true)?;
        socket.bind(&own.into())?;
    }
    socket.connect(&address)?;
    no_delay(&socket)?;
    Ok(socket)
}

pub fn no_delay(socket: &Socket) -> Result<()> {
    if socket.domain()? != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
    }
    Ok(())
}

pub fn raise_descriptor_limit() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
