//! The options of TCP.

use sok::address::Target;
use sok::error::{Error, ErrorKind, Result};
use sok::net::{Congestion, check_congestion};

use crate::args::TcpArgs;

/// The congestion control of the sockets of `operation` for `targets`.
///
/// # Errors
/// If an option of TCP is given and no target uses TCP, or if this host has no such congestion
/// control.
pub(crate) fn congestion(
    args: &TcpArgs,
    operation: &'static str,
    targets: &[&Target],
) -> Result<Congestion> {
    let Some(option) = args.given() else {
        return Ok(Congestion::Auto);
    };
    let may_have_one = |target: &&&Target| {
        let address = target.as_address();
        let may = address.is_none_or(|address| address.family().facts().has_congestion_control);
        may && !target.socket_type().keeps_messages()
    };
    if !targets.iter().any(|target| may_have_one(&target)) {
        let words: Vec<String> = targets.iter().map(ToString::to_string).collect();
        let cause = format!("{option} applies only to TCP");
        return Err(Error::because(
            operation,
            words.join(" "),
            ErrorKind::Usage,
            cause,
        ));
    }
    match args.congestion.as_deref() {
        None | Some("auto") => Ok(Congestion::Auto),
        Some(name) => {
            check_congestion(name)?;
            Ok(Congestion::Named(name.to_owned()))
        }
    }
}
