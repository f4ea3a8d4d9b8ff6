//! The listen options of every server.

use sok::address::{Address, Purpose, Target};
use sok::error::{Error, ErrorKind, Result};
use sok::loops::Sources;
use sok::names;
use sok::net::{InheritedSocket, ListenOptions, Listener, Owner};
use sok::offload::offload;
use tracing::info;

use super::descriptors::{FIRST_CONNECTION, need};
use super::inherited::ListenOn;
use crate::args::ListenArgs;

/// The options to listen on `places`. Options that apply to none of them are refused.
pub(crate) fn listen_options(args: &ListenArgs, places: &ListenOn) -> Result<ListenOptions> {
    let has_backlog =
        |socket: &InheritedSocket| !socket.local_addr().socket_type().has_connection();
    let of_sessions = places.inherited.iter().any(has_backlog);
    places.refuse_if_inherited(&[
        ("--mode", args.mode.is_some()),
        ("--owner", args.owner.is_some()),
        ("--v6only", args.v6only),
        ("--backlog", args.backlog.is_some() && !of_sessions),
    ])?;
    let targets = &places.bound;
    let refused = |cause: &str| {
        let words: Vec<String> = targets.iter().map(Target::to_string).collect();
        Error::because("listen", words.join(" "), ErrorKind::Usage, cause)
    };
    if (args.mode.is_some() || args.owner.is_some()) && !targets.iter().any(is_file) {
        return Err(refused("--mode and --owner apply only to a socket file"));
    }
    if args.v6only && !targets.iter().any(may_be_dual_stack) {
        return Err(refused("--v6only applies only to IPv6"));
    }
    let mut options = ListenOptions::default();
    options.backlog = args.backlog.unwrap_or(options.backlog);
    options.v6only = args.v6only;
    options.mode = args.mode.unwrap_or(options.mode);
    options.owner = args.owner.as_deref().map(owner).transpose()?;
    options.keepalive = args.tcp.keepalive();
    Ok(options)
}

/// The addresses of `target`. A name is looked up on another thread: that may take long, and this one
/// must handle signals.
pub(crate) async fn look_up(target: &Target) -> Result<Vec<Address>> {
    if !target.is_name() {
        return target.resolve(Purpose::Listen);
    }
    info!(name = %target, "looking up");
    let name = target.clone();
    offload("resolve", target, move || name.resolve(Purpose::Listen)).await?
}

/// Listens on all `places`, or takes their connections.
pub(crate) async fn listen(places: ListenOn, options: &ListenOptions) -> Result<Sources> {
    let mut sources = Sources::default();
    for target in &places.bound {
        let addresses = look_up(target).await?;
        let bound = Listener::bind_resolved(target, addresses, options)?;
        sources.listeners.extend(bound);
        need(FIRST_CONNECTION, "serve", target)?;
    }
    for socket in places.inherited {
        let name = socket.name().clone();
        match socket.is_one_connection() {
            true => {
                let connection = socket.into_connection(options)?;
                sources.connections.push_back(connection);
            }
            false => sources.listeners.push(socket.into_listener(options)?),
        }
        need(FIRST_CONNECTION, "serve", name)?;
    }
    Ok(sources)
}

fn is_file(target: &Target) -> bool {
    target.as_address().and_then(Address::as_path).is_some()
}

/// Whether one socket of the target may accept clients of two families, or its name may resolve to
/// such an address.
fn may_be_dual_stack(target: &Target) -> bool {
    target
        .as_address()
        .is_none_or(|address| address.family().facts().may_be_dual_stack)
}

/// Looks up `USER[:GROUP]`, each a name or a number, as for `chown(1)`.
fn owner(text: &str) -> Result<Owner> {
    let refused = |cause: String| Error::because("owner", text, ErrorKind::Usage, cause);
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    if user.is_empty() && group.is_empty() {
        return Err(refused(
            "no user or group given; write USER, USER:GROUP or :GROUP".to_owned(),
        ));
    }
    let number = |what: &str, name: &str, look_up: fn(&str) -> Option<u32>| match name {
        "" => Ok(None),
        name => match name.parse().ok().or_else(|| look_up(name)) {
            // chown(2) takes this value for "no change".
            Some(u32::MAX) | None => Err(refused(format!("no such {what}: {name:?}"))),
            Some(number) => Ok(Some(number)),
        },
    };
    Ok(Owner {
        user: number("user", user, |name| names::user_id(name).ok()?)?,
        group: number("group", group, |name| names::group_id(name).ok()?)?,
    })
}
