//! The arguments of UDP sockets.

use clap::Args;
use sok::net::{Membership, UdpOptions};

use super::UDP;
use super::values::{hops, membership};

#[derive(Debug, Args)]
#[command(next_help_heading = UDP)]
pub(crate) struct UdpArgs {
    /// Allow sending to a broadcast address of IPv4; a client takes the answers of all hosts
    #[arg(long)]
    pub(crate) broadcast: bool,

    /// Receive the datagrams to a multicast group too, such as 239.1.2.3%eth0 or ff02::1%eth0;
    /// without an interface, the routes choose one. Others that join can share the port. Repeatable
    #[arg(long, value_name = "GROUP[%IFACE]", value_parser = membership)]
    pub(crate) join: Vec<Membership>,

    /// How far a datagram goes: through N-1 routers [default: that of the system, and 1 to a group]
    #[arg(long, value_name = "N", value_parser = hops)]
    pub(crate) ttl: Option<u8>,
}

impl UdpArgs {
    /// The library's options.
    pub(crate) fn options(&self) -> UdpOptions {
        let mut options = UdpOptions::default();
        options.broadcast = self.broadcast;
        options.join.clone_from(&self.join);
        options.ttl = self.ttl;
        options
    }

    /// The first option that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let all = [
            (self.broadcast, "--broadcast"),
            (!self.join.is_empty(), "--join"),
            (self.ttl.is_some(), "--ttl"),
        ];
        let given = all.into_iter().find(|(is_given, _)| *is_given);
        given.map(|(_, name)| name)
    }
}
