//! The arguments of the PROXY protocol.

use std::time::Duration;

use clap::{Args, ValueEnum};
use sok::net::ProxyVersion;

use super::values::some_time;

/// The heading of these options.
pub(super) const PROXY: &str = "The PROXY protocol";

/// The header that clients send.
#[derive(Debug, Args)]
#[command(next_help_heading = PROXY)]
pub(crate) struct AcceptProxyArgs {
    /// Require a PROXY header of version 1 or 2 from each client first, as HAProxy, nginx and load
    /// balancers send it. The client that it names counts for everything: rules and limits, the
    /// environment of --exec, logs. Without a valid header the connection is reset
    #[arg(long)]
    pub(crate) accept_proxy: bool,

    /// Accept a header only from these peers, such as 10.0.0.7, 10.0.0.0/8 or uid:haproxy; others are
    /// refused. Repeatable [default: any, and then every peer can name any client]
    #[arg(long, value_name = "RULE", requires = "accept_proxy")]
    pub(crate) proxy_from: Vec<String>,

    /// The time limit for the header [default: 3s]
    #[arg(long, value_name = "DURATION", value_parser = some_time, requires = "accept_proxy")]
    pub(crate) proxy_timeout: Option<Duration>,
}

/// The header that is sent.
#[derive(Debug, Args)]
#[command(next_help_heading = PROXY)]
pub(crate) struct SendProxyArgs {
    /// Send a PROXY header first, which tells the server the client's address: that of the client of a
    /// relay, or that of its header with --accept-proxy; with connect, that of sok. The server must
    /// expect it
    #[arg(long, value_name = "VERSION", value_enum)]
    pub(crate) send_proxy: Option<ProxyVersionArg>,
}

impl SendProxyArgs {
    /// The library's version.
    pub(crate) fn version(&self) -> Option<ProxyVersion> {
        self.send_proxy.map(ProxyVersionArg::version)
    }
}

/// The versions of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProxyVersionArg {
    /// A line of text, for TCP only: other clients are UNKNOWN in it
    V1,
    /// Binary, for every family, with a checksum. HAProxy and nginx refuse AF_UNIX clients in it
    V2,
}

impl ProxyVersionArg {
    const fn version(self) -> ProxyVersion {
        match self {
            Self::V1 => ProxyVersion::V1,
            Self::V2 => ProxyVersion::V2,
        }
    }
}
