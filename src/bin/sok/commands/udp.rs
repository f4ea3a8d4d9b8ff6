//! The options of UDP.

use sok::address::Target;
use sok::error::{Error, ErrorKind, Result};
use sok::net::UdpOptions;

use crate::args::UdpArgs;

/// The options of the sockets of `operation` for `targets`.
///
/// # Errors
/// If one is given, and no target uses UDP.
pub(crate) fn udp_options(
    args: &UdpArgs,
    operation: &'static str,
    targets: &[&Target],
) -> Result<UdpOptions> {
    match args.given() {
        Some(option) if !targets.iter().any(|target| may_have_groups(target)) => {
            let words: Vec<String> = targets.iter().map(ToString::to_string).collect();
            let (words, cause) = (words.join(" "), format!("{option} applies only to UDP"));
            Err(Error::because(operation, words, ErrorKind::Usage, cause))
        }
        _ => Ok(args.options()),
    }
}

/// Whether datagrams to a group of hosts reach the target; a name is one of a network.
fn may_have_groups(target: &Target) -> bool {
    let address = target.as_address();
    let has_groups = address.is_none_or(|address| address.family().facts().has_groups);
    has_groups && !target.socket_type().has_connection()
}
