//! The arguments of `check`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use sok::address::Family;

use crate::args::values::{family, some_duration};

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
