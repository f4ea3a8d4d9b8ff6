//! How a server says that clients can connect.

use std::path::PathBuf;

use clap::Args;

/// The heading of the options of a server's own socket.
pub(super) const LISTENING: &str = "The listening socket";

#[derive(Debug, Default, Args)]
#[command(next_help_heading = LISTENING)]
pub(crate) struct ReadyArgs {
    /// Once clients can connect, write a newline to the open descriptor N, from 3 up, and close it, as
    /// s6 expects (notification-fd)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(3..))]
    pub(crate) ready_fd: Option<i32>,

    /// Once clients can connect, write the addresses to FILE, one a line, with the actual port for port
    /// 0. FILE appears complete, and is removed at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) announce: Option<PathBuf>,
}
