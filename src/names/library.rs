//! Look-ups by the C library: `getaddrinfo(3)`, `getpwnam(3)`, `getgrnam(3)`.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use nix::unistd::{Group, User};

pub(super) fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

pub(super) fn user_id(name: &str) -> io::Result<Option<u32>> {
    Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))
}

pub(super) fn group_id(name: &str) -> io::Result<Option<u32>> {
    Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
}
