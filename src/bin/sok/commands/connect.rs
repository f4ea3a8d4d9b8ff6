//! `sok connect`: connects standard input and output to a server.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use sok::address::{Address, Purpose, Target};
use sok::client::ConnectPlan;
use sok::error::{Error, ErrorKind, Result};
use sok::loops::Connection;
use sok::net::{Peer, ProxyVersion, Stream};

use super::client_program::{self, ClientProgram};
use super::congestion::congestion;
use super::connection_log::ConnectionLog;
use super::exchange::{self, Messages};
use super::inherited::{Dialled, refuse_own_streams};
use super::proxy::{connect_by, send_proxy};
use super::run::{block_on, until_killed};
use super::udp::udp_options;
use crate::args::{ConnectArgs, DialArgs};
use crate::exit::Exit;
use crate::output::Ui;

pub(crate) fn run(args: ConnectArgs, ui: Ui) -> Result<Exit> {
    let target = args.parts.target(args.address.as_ref());
    let target = target.map_err(|error| match (&args.address, &args.exec) {
        (None, Some(_)) if !args.parts.is_given() => error
            .with_hint("--exec takes the rest of the command line: write the address before it"),
        _ => error,
    })?;
    if args.exec.is_none() {
        refuse_own_streams("connect", &target, &[0, 1])?;
    }
    let dialled = Dialled::take(target)?;
    let target = dialled.target().clone();
    let mut plan = plan(&dialled, &args.dial, args.timeout)?;
    dialled.give(&mut plan, &[("--timeout", args.timeout.is_some())])?;
    let send_proxy = send_proxy(&args.proxy, "connect", slice::from_ref(&target))?;
    let messages = Messages {
        given: args.framing.given(),
        framing: args.framing.framing.map(|framing| framing.0.framing()),
        max_message: args.framing.max_message(),
    };
    if let Some(command) = args.exec {
        let given = args.exchange.given();
        if let Some(option) = given.or_else(|| args.progress.given()) {
            let cause = format!("--exec and {option} cannot be used together: the program decides");
            return Err(Error::because("connect", target, ErrorKind::Usage, cause));
        }
        let program = ClientProgram {
            command,
            messages,
            send_proxy,
            idle_timeout: args.idle_timeout,
        };
        return client_program::run(&target, &plan, program, ui);
    }
    let exchange = exchange::plan(
        "connect",
        &target,
        &args.exchange,
        &messages,
        args.idle_timeout,
        (&args.progress, ui),
    )?;
    // Without state to restore, the signal itself ends the program.
    let gives_back = exchange.prompt.is_some() || plan.bind.is_some();
    let work = async {
        let (stream, connection) = connected(&target, &plan, send_proxy).await?;
        let report = ConnectionLog::connected(&connection.peer().address);
        let done = exchange.run(stream, &connection).await;
        report.ended(connection.traffic(), &done);
        done
    };
    block_on(until_killed(gives_back, work))
}

/// Connects to `target`; the peer is the server.
async fn connected(
    target: &Target,
    plan: &ConnectPlan,
    send_proxy: Option<ProxyVersion>,
) -> Result<(Stream, Arc<Connection>)> {
    let (stream, address) = connect_by(target, plan, send_proxy).await?;
    Ok((stream, Arc::new(Connection::new(1, Peer::new(address)))))
}

/// The connect options of every client.
pub(crate) fn plan(
    dialled: &Dialled,
    args: &DialArgs,
    timeout: Option<Duration>,
) -> Result<ConnectPlan> {
    let udp = args.udp.given();
    dialled.refuse_if_inherited(&[
        ("--bind", args.bind.is_some()),
        ("--retry-for", args.retry_for.is_some()),
        (udp.unwrap_or_default(), udp.is_some()),
    ])?;
    let target = dialled.target();
    let mut plan = ConnectPlan::default();
    let own = args.bind.as_ref().map(|word| own_name(word, target));
    plan.bind = own.transpose()?;
    plan.timeout = timeout;
    plan.retry_for = args.retry_for;
    plan.keepalive = args.tcp.keepalive();
    plan.congestion = congestion(&args.tcp, "connect", &[target])?;
    plan.udp = udp_options(&args.udp, "connect", &[target])?;
    Ok(plan)
}

/// The address of `word` to bind a client of `target` to. A word that names no type has that of the
/// target.
fn own_name(word: &std::ffi::OsString, target: &Target) -> Result<Address> {
    let own = own_address(word)?;
    let (own_type, wanted) = (own.socket_type(), target.socket_type());
    if own_type.keeps_messages() && own_type != wanted {
        let cause = format!("this is a {own_type} socket, and {target} is a {wanted} socket");
        return Err(Error::because("bind", own, ErrorKind::Usage, cause));
    }
    own.with_type(wanted)
}

/// The address of `word` to bind the client to; it must be a single one.
pub(crate) fn own_address(word: &std::ffi::OsString) -> Result<Address> {
    let target = Target::parse(word)?;
    let mut addresses = target.resolve(Purpose::Listen)?;
    match addresses.len() {
        1 => Ok(addresses.remove(0)),
        count => {
            let cause = format!("--bind needs one address, this resolves to {count}");
            Err(Error::because("bind", target, ErrorKind::Usage, cause))
        }
    }
}
