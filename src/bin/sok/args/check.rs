//! The arguments of `check`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use sok::address::Family;

use crate::args::values::{family, some_duration};

pub(super) const CHECK_HELP: &str = "\
Exit code: 0 if all the families checked work, 1 if one does not. With ADDRESS: 0 if a server
accepts, otherwise 3 no server, 4 permission denied, 7 the name did not resolve, 124 no answer in
time.

Examples:
  sok check
  sok check --family inet6 --json
  sok check localhost:8082
  sok check /run/docker.sock";

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The address to connect to [default: check the families of this host]
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<OsString>,

    /// Check only this family, such as inet6; repeatable
    #[arg(long, value_name = "FAMILY", value_parser = family, conflicts_with = "address")]
    pub(crate) family: Vec<Family>,

    /// The time limit for each attempt
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = some_duration)]
    pub(crate) timeout: Duration,
}
