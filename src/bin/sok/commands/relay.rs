//! `sok relay`: bridge any address to any address.

use std::ffi::OsString;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sok::address::{Address, DescriptorName, Purpose, Target};
use sok::client::{ConnectPlan, Targets};
use sok::error::{Error, ErrorKind, Result};
use sok::loops::{Limits, MemoryLimit, MessageFormat, OnHangup};
use sok::net::{reaches, refuse_unreachable};
use sok::service::{ConnectionTable, Forward};
use sok::transfer::{Descriptors, Engine};

use super::access::{refused_descriptors, set_access};
use super::congestion::congestion;
use super::connect::own_address;
use super::descriptors::{affordable, own_descriptors};
use super::inherited::{Dialled, ListenOn, take};
use super::listening::listen_options;
use super::memory::max_memory;
use super::proxy::{accept_proxy, send_proxy};
use super::readiness::{Readiness, ready_fd};
use super::run::block_on;
use super::server::{Server, limits, raise_descriptor_limit};
use super::status::{self, StatusPlan};
use super::twice::refuse_twice;
use super::udp::udp_options;
use crate::args::{BridgeFramingArg, DescriptorsArg, RelayArgs, as_one_word};
use crate::exit::Exit;
use crate::output::Ui;
use crate::output::dump::{dump, is_file};

/// Below this number of connections a warning is printed: clients may have to wait.
const FEW: usize = 4096;

/// The time for one of several targets. The first packet of a TCP connection is sent again after a
/// second, and a client of a silent target then still gets the next one soon.
const NEXT_TARGET: Duration = Duration::from_secs(3);

pub(crate) fn run(args: &RelayArgs, ui: Ui) -> Result<Exit> {
    let (listens, targets) = addresses(args)?;
    check_several(args, &targets)?;
    let (places, dialled, status) = taken(args, listens, targets)?;
    let given = places.bound.iter().chain(&status.bound);
    refuse_twice("listen", given, args.socket.v6only)?;
    let status_targets = status.targets();
    let (listens, targets) = (places.targets(), dialled.targets());
    let mut options = listen_options(&args.socket, &places)?;
    let format = message_format(args, &listens, &targets)?;
    options.max_message = format.max_message;
    options.session_idle = args.idle_timeout.unwrap_or(options.session_idle);
    let passing = descriptors(args.descriptors, &listens, &targets)?;
    options.take_descriptors = passing != Descriptors::Refuse;
    options.pass_descriptors = true;
    let all: Vec<&Target> = listens.iter().chain(&targets).collect();
    options.congestion = congestion(&args.socket.tcp, "relay", &all)?;
    let made = places.bound.iter();
    let made: Vec<&Target> = made.chain(dialled.to_make()).collect();
    if made.is_empty() {
        let udp = args.socket.udp.given();
        places.refuse_if_inherited(&[(udp.unwrap_or_default(), udp.is_some())])?;
    }
    options.udp = udp_options(&args.socket.udp, "relay", &made)?;
    let send_proxy = send_proxy(&args.send_proxy, "relay", &targets)?;
    let mut plan = ConnectPlan::default();
    plan.bind = args.source.as_ref().map(own_address).transpose()?;
    let limit = (targets.len() > 1).then_some(NEXT_TARGET);
    plan.timeout = args.connect_timeout.or(limit);
    plan.retry_for = args.retry_for;
    plan.keepalive = options.keepalive;
    plan.congestion = options.congestion.clone();
    plan.udp = options.udp.clone();
    if !std::mem::take(&mut plan.udp.join).is_empty() {
        let bound: Vec<&Target> = places.bound.iter().collect();
        udp_options(&args.socket.udp, "listen", &bound)?;
    }
    let (source, v6only) = (plan.bind.as_ref(), options.v6only);
    let addresses = check_source(&listens, source, v6only)?;
    let check = |target| check_target(target, &addresses, source, v6only);
    dialled.to_make().try_for_each(check)?;
    let may_loop = dialled.given().is_none() && all.iter().any(|target| target.is_name());
    let retry_after = args.retry_after.unwrap_or(Targets::RETRY_AFTER);
    let waits = plan.retry_for.map_or(0, |_| targets.len());
    let targets = Targets::new(targets).with_retry_after(retry_after);
    let status = StatusPlan::of(status, Some(targets.clone()))?;
    let threads = args.limits.threads.unwrap_or_else(processors);
    let mut limits = limits(&args.limits);
    limits.accept_proxy = accept_proxy(&args.accept_proxy, "listen", &listens)?;
    let reload = set_access(&args.access, &listens, &mut options, &mut limits)?;
    let refused = refused_descriptors(&limits, reload.as_ref());
    let own = own_descriptors(threads, listens.len()) + refused;
    // The clients that wait for the targets share one watch on the socket file of each.
    let own = own + waits + status.as_ref().map_or(0, |_| status::DESCRIPTORS);
    // The client and the target.
    let each = 2;
    let descriptors = raise_descriptor_limit();
    let most = affordable(descriptors, own, each);
    if limits.max_connections > most {
        if args.limits.max_connections.is_some() || most < FEW {
            let why = format!("connections at once, limited by ulimit -n {descriptors}: {most}");
            ui.note(&why);
        }
        limits.max_connections = most;
    }
    if let Some(source) = source.filter(|own| own.is_specified())
        && limits.max_connections > 1
    {
        ui.note(&format!(
            "--source {source} allows one connection at a time"
        ));
        limits.max_connections = 1;
    }
    if let Some(socket) = dialled.given() {
        one_client(&mut limits, socket.name())?;
    }
    plan.refuse_descriptors = passing == Descriptors::Refuse;
    dialled.give(
        &mut plan,
        &[
            ("--source", args.source.is_some()),
            ("--retry-for", args.retry_for.is_some()),
            ("--connect-timeout", args.connect_timeout.is_some()),
        ],
    )?;
    let engine = if args.copy {
        Engine::Copy
    } else {
        Engine::Adaptive
    };
    let dump = args
        .dump
        .as_deref()
        .map(|word| dump(word, ui))
        .transpose()?
        .map(Arc::new);
    // Reopen a file that logrotate(8) has renamed.
    let dumped = dump.clone();
    let reopened = dumped
        .clone()
        .filter(|_| args.dump.as_deref().is_some_and(is_file));
    let on_hangup = reopened.map(|dump| Box::new(move || dump.reopen()) as OnHangup);
    let server = Server {
        readiness: Readiness::of_server(&args.ready, &places, &status_targets)?,
        places,
        options,
        table: ConnectionTable::new(limits.access.clone()),
        limits,
        threads,
        // The transfer has its own timer, for both ends.
        idle_timeout: None,
        lifetime: args.access.lifetime,
        exits_when_idle: args.access.exit_when_idle,
        on_hangup,
        reload,
        status,
        ui,
    };
    let memory = args.max_memory.unwrap_or_else(|| max_memory(format));
    let memory = MemoryLimit::new(memory);
    let served = block_on(async {
        server
            .run(|_| {
                let mut service = Forward::new(targets, plan);
                service.may_loop = may_loop;
                service.send_proxy = send_proxy;
                service.engine = engine;
                service.format = format;
                service.descriptors = passing;
                service.idle_timeout = args.idle_timeout;
                service.half_close_timeout = args.half_close_timeout;
                service.memory = memory;
                service.dump = dump;
                Ok(service)
            })
            .await
    });
    if let Some(dump) = dumped {
        dump.finish();
    }
    served
}

/// Where to listen, what to connect to, and where to serve the status: takes what is inherited.
fn taken(
    args: &RelayArgs,
    listens: Vec<Target>,
    targets: Vec<Target>,
) -> Result<(ListenOn, Dialled, ListenOn)> {
    let (listening, dialled) = (listens.len(), targets.len());
    let mut words = listens;
    words.extend(targets);
    words.extend(args.observe.target()?);
    let mut named = take(words, &ready_fd(&args.ready))?;
    let status = ListenOn::of(named.split_off(listening + dialled));
    let dialled = Dialled::of(named.split_off(listening))?;
    Ok((ListenOn::of(named), dialled, status))
}

/// Limits a relay to one client, as the connection to the target is inherited: there is no second one.
fn one_client(limits: &mut Limits, target: &DescriptorName) -> Result<()> {
    if limits.exit_after.is_some_and(|count| count > 1) {
        let cause = "this is one connection, which serves one client";
        let error = Error::because("relay", target, ErrorKind::Usage, cause);
        return Err(error.with_hint("omit --exit-after, or give the address of the target"));
    }
    limits.exit_after = Some(1);
    limits.max_connections = 1;
    Ok(())
}

/// The number of threads: two streams should not share a processor while another one is idle.
fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// The addresses to listen on, and the targets.
fn addresses(args: &RelayArgs) -> Result<(Vec<Target>, Vec<Target>)> {
    let words: Vec<&OsString> = std::iter::once(&args.listen_on)
        .chain(&args.targets)
        .collect();
    let all = words.iter().enumerate().map(|(place, word)| {
        let next = words.get(place + 1);
        let hint = || next.and_then(|port| as_one_word(word, port));
        Target::parse(word).map_err(|error| match hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    });
    let mut listens = all.collect::<Result<Vec<Target>>>()?;
    let targets = listens.split_off(1);
    let more = args.listen.iter().map(Target::parse);
    listens.extend(more.collect::<Result<Vec<Target>>>()?);
    Ok((listens, targets))
}

/// Refuses what makes no sense with the number of targets.
fn check_several(args: &RelayArgs, targets: &[Target]) -> Result<()> {
    let usage = |target, cause| Err(Error::because("relay", target, ErrorKind::Usage, cause));
    for (place, target) in targets.iter().enumerate() {
        if targets[..place].contains(target) {
            return usage(target, "this target is given twice");
        }
    }
    match targets {
        [only] if args.retry_after.is_some() => {
            usage(only, "--retry-after applies only to several targets")
        }
        _ => Ok(()),
    }
}

/// The targets as words, for an error about all.
fn words(targets: &[Target]) -> String {
    let words: Vec<String> = targets.iter().map(Target::to_string).collect();
    words.join(" ")
}

/// Where messages end in a stream, and how large they may be. Between a stream and a socket that
/// keeps messages apart, the user must choose; where that changes nothing, the options are refused.
fn message_format(
    args: &RelayArgs,
    listens: &[Target],
    targets: &[Target],
) -> Result<MessageFormat> {
    let keeps_messages = |one: &Target| one.socket_type().keeps_messages();
    let pairs = || {
        let each = listens.iter();
        each.flat_map(|from| targets.iter().map(move |to| (from, to)))
    };
    let usage = |cause: &str| {
        let named = words(targets);
        Err(Error::because("relay", named, ErrorKind::Usage, cause))
    };
    let bridged = pairs().find(|(from, to)| keeps_messages(from) != keeps_messages(to));
    let are_streams = |(from, to): (&Target, &Target)| !keeps_messages(from) && !keeps_messages(to);
    match (args.framing, bridged) {
        (None, Some((from, to))) => {
            let (stream, other) = if keeps_messages(to) {
                (from, to)
            } else {
                (to, from)
            };
            let cause = format!("{stream} is a stream, {other} keeps messages apart");
            let hint = "say where a message ends in the stream: --framing line, null or length";
            return Err(Error::because("relay", to, ErrorKind::Usage, cause).with_hint(hint));
        }
        (Some(_), None) => {
            return usage(
                "--framing applies only between a stream and a socket that keeps messages apart",
            );
        }
        _ => {}
    }
    if args.max_message.is_some() && pairs().all(are_streams) {
        return usage("--max-message applies only to messages, and both sides are streams");
    }
    if args.copy && !pairs().any(are_streams) {
        return usage("--copy applies only between two streams");
    }
    let framing = args.framing.map(BridgeFramingArg::framing);
    Ok(MessageFormat {
        framing: framing.unwrap_or_default(),
        max_message: args
            .max_message
            .unwrap_or_else(|| MessageFormat::default().max_message),
    })
}

/// What is done with descriptors: by default they are passed on, or refused if a target cannot have
/// them.
fn descriptors(
    wanted: Option<DescriptorsArg>,
    listens: &[Target],
    targets: &[Target],
) -> Result<Descriptors> {
    // A name is that of a host.
    let passes = |one: &Target| {
        let address = one.as_address();
        address.is_some_and(|address| address.family().facts().passes_descriptors)
    };
    match wanted {
        Some(_) if !targets.iter().chain(listens).any(passes) => {
            let cause = "--descriptors means nothing here: no side passes any";
            let named = words(targets);
            Err(Error::because("relay", named, ErrorKind::Usage, cause))
        }
        Some(wanted) => Ok(wanted.descriptors()),
        // The same for each client, whichever target it gets.
        None if targets.iter().all(passes) => Ok(Descriptors::Pass),
        None => Ok(Descriptors::Refuse),
    }
}

/// The addresses to listen on, without names. Refuses the local address towards the target among them.
fn check_source<'a>(
    listens: &'a [Target],
    source: Option<&Address>,
    v6only: bool,
) -> Result<Vec<(Address, &'a Target)>> {
    let mut all: Vec<(Address, &Target)> = Vec::new();
    for listen in listens.iter().filter(|listen| !listen.is_name()) {
        let own = listen.resolve(Purpose::Listen)?;
        let is_taken = |source: &&Address| own.iter().any(|one| reaches(one, source, v6only));
        if let Some(source) = source.filter(is_taken) {
            let cause = format!("--source {source} is LISTEN");
            return Err(Error::because("relay", listen, ErrorKind::Usage, cause));
        }
        all.extend(own.into_iter().map(|one| (one, listen)));
    }
    Ok(all)
}

/// Refuses a target that can never be connected to. A name is not looked up: it is resolved for
/// each client, and a silent name server would delay the start.
fn check_target(
    target: &Target,
    listens: &[(Address, &Target)],
    source: Option<&Address>,
    v6only: bool,
) -> Result<()> {
    target.require_specified()?;
    if target.is_name() {
        return Ok(());
    }
    let to = target.resolve(Purpose::Connect)?;
    to.iter().try_for_each(refuse_unreachable)?;
    let usage = |cause: String| Err(Error::because("relay", target, ErrorKind::Usage, cause));
    if let Some(source) = source
        && to.iter().all(|to| to.family() != source.family())
    {
        return usage(format!(
            "no address in the same family as --source {source}"
        ));
    }
    if let Some(source) = source
        && source.socket_type() != target.socket_type()
    {
        let (own, wanted) = (source.socket_type(), target.socket_type());
        let error = Error::because(
            "relay",
            target,
            ErrorKind::Usage,
            format!("--source {source} is of type {own}, the target of type {wanted}"),
        );
        let typed = Address::new(source.name().clone(), wanted)?;
        return Err(error.with_hint(format!("write --source {typed}")));
    }
    // The local address would be the server's, or replace it.
    if let Some(source) = source.filter(|own| to.iter().any(|to| reaches(to, own, v6only))) {
        return usage(format!("--source {source} is the target's own address"));
    }
    // A relay to itself would connect until the descriptors run out.
    let looped = |own: &Address| to.iter().any(|to| reaches(own, to, v6only));
    if let Some((_, listen)) = listens.iter().find(|(own, _)| looped(own)) {
        return usage(format!(
            "the relay would connect to itself: LISTEN is {listen}"
        ))
        .map_err(|error| error.with_hint("give the address of the server as TARGET"));
    }
    Ok(())
}
