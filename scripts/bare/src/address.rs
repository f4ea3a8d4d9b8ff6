//! Addresses and sockets of every family and type, all blocking.

use std::net::{SocketAddr, SocketAddrV4};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::{Result, say};

fn parse(text: &str) -> Result<(SockAddr, Type)> {
    let (prefix, rest) = text
        .split_once(':')
        .ok_or("an address is unix:, inet:, inet6:, udp4:, udp6:, unixgram: or unixpacket:")?;
    let kind = match prefix {
        "udp4" | "udp6" | "unixgram" => Type::DGRAM,
        "unixpacket" => Type::SEQPACKET,
        _ => Type::STREAM,
    };
    let address = match prefix {
        "unix" | "unixgram" | "unixpacket" => SockAddr::unix(rest)?,
        _ => rest.parse::<SocketAddr>()?.into(),
    };
    Ok((address, kind))
}

/// Whether the sockets of an address have no connection.
pub fn is_datagram(text: &str) -> Result<bool> {
    Ok(parse(text)?.1 == Type::DGRAM)
}

pub fn listen(text: &str) -> Result<Socket> {
    let (address, kind) = parse(text)?;
    let socket = Socket::new(address.domain(), kind, None)?;
    if address.domain() != Domain::UNIX && kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address)?;
    if kind != Type::DGRAM {
        socket.listen(4096)?;
    }
    let prefix = text.split(':').next().unwrap_or_default();
    match socket.local_addr()?.as_socket() {
        Some(ip) => say(&format!("listening on {prefix}:{ip}"))?,
        None => say(&format!("listening on {text}"))?,
    }
    Ok(socket)
}

/// Connects as most clients do.
pub fn connect_plain(text: &str) -> Result<Socket> {
    let (address, kind) = parse(text)?;
    let socket = Socket::new(address.domain(), kind, None)?;
    socket.connect(&address)?;
    Ok(socket)
}

/// Connects the `index`th of many connections: one local address has ports for some 28,000, and
/// the loopback network has many addresses. Each process takes others, as the ports of the one before
/// rest for a minute (`TIME-WAIT`, see RFC 9293).
pub fn connect_as(text: &str, index: usize) -> Result<Socket> {
    let (address, kind) = parse(text)?;
    let socket = Socket::new(address.domain(), kind, None)?;
    if address.domain() == Domain::UNIX && kind == Type::DGRAM {
        // Without a name it gets no answer; the kernel chooses one.
        socket.bind(&SockAddr::unix("")?)?;
    }
    if address.domain() == Domain::IPV4 && kind == Type::STREAM {
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
    if socket.domain()? != Domain::UNIX && socket.r#type()? == Type::STREAM {
        socket.set_tcp_nodelay(true)?;
    }
    Ok(())
}

pub fn raise_descriptor_limit() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
