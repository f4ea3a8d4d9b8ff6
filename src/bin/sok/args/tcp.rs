//! The options of TCP.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use sok::net::Keepalive;

use super::CONNECTION;
use super::values::keepalive;

/// The options of TCP.
#[derive(Debug, Args)]
#[command(next_help_heading = CONNECTION)]
pub(crate) struct TcpArgs {
    /// Probe a TCP peer that has been silent for this time; without an answer the connection fails
    /// after about the same time again. A client does not probe a server on loopback
    /// [default: 60s]
    #[arg(long, value_name = "DURATION|off", value_parser = keepalive)]
    keepalive: Option<Keepalive>,

    /// The TCP congestion control, such as cubic; auto: the system default, except Reno on loopback
    /// if the default is a pacing algorithm such as bbr [default: auto]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) congestion: Option<String>,
}

impl TcpArgs {
    pub(crate) fn keepalive(&self) -> Keepalive {
        self.keepalive.unwrap_or_default()
    }

    /// The first option that is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let congestion = self.congestion.as_ref().map(|_| "--congestion");
        congestion.or_else(|| self.keepalive.map(|_| "--keepalive"))
    }
}
