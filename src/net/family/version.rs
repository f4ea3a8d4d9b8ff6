//! How the versions of the Internet Protocol differ.

use std::fmt::Debug;
use std::io;

use socket2::{Domain, Socket};

use crate::address::{Address, Family};
use crate::net::options::ListenOptions;

/// The differences between the versions of the Internet Protocol.
pub(super) trait Version: Debug + Sync {
    /// The kernel's number of the family.
    const DOMAIN: Domain;
    /// The size of its header, if that counts for the maximum size of a packet.
    const COUNTED_HEADER: usize;
    /// Whether its sockets have the options of IPv6.
    const HAS_V6: bool = false;
    /// The table of connections, see `proc_pid_net(5)`.
    const CONNECTIONS: &str;
    /// See [`SocketFamily::loopback`](super::SocketFamily::loopback).
    const LOOPBACK: &str;
    /// See [`SocketFamily::switches`](super::SocketFamily::switches).
    const SWITCHES: &[&str] = &[];

    /// Sets up a socket before listen.
    fn prepare_listener(&self, _: &Socket, _: &ListenOptions) -> io::Result<()> {
        Ok(())
    }

    /// Has each datagram come with the address of this host that it was sent to, if `address` is
    /// every address.
    fn report_destinations(&self, socket: &Socket, address: &Address) -> io::Result<()>;

    /// See [`SocketFamily::also_takes`](super::SocketFamily::also_takes).
    fn also_takes(&self, _: &Socket, _: &Address) -> Option<Family> {
        None
    }

    /// See [`SocketFamily::lacks_scope`](super::SocketFamily::lacks_scope).
    fn lacks_scope(&self, _: &Address) -> bool {
        false
    }
}
