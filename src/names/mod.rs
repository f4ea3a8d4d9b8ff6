//! What names stand for: the addresses of a host, the numbers of users and groups.
//!
//! The C library looks them up, as its configuration says. A static program of the GNU C library cannot
//! ask it: there, the look-ups load the modules of the host's own library, which may be another version.
//! Such a program reads `/etc/hosts`, `/etc/passwd` and `/etc/group`, and asks the name servers of
//! `/etc/resolv.conf` itself.

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
mod dns;
#[cfg(any(test, all(target_env = "gnu", target_feature = "crt-static")))]
mod files;
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
mod library;

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
use self::dns as host_names;
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
use self::files as account_names;
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
use self::library::{self as host_names, self as account_names};

use std::io;
use std::net::SocketAddr;

/// Looks up the addresses of a host, each with `port`; the look-up may block.
///
/// # Errors
/// If the name has no address, or no name server answers.
pub fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    host_names::addresses(host, port)
}

/// Looks up the number of the user `name`; the look-up may block.
///
/// # Errors
/// If the user database cannot be read.
pub fn user_id(name: &str) -> io::Result<Option<u32>> {
    account_names::user_id(name)
}

/// Looks up the number of the group `name`; the look-up may block.
///
/// # Errors
/// If the group database cannot be read.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    account_names::group_id(name)
}
