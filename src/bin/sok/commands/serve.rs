//! `sok serve`: accept and answer.

use std::cell::Cell;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use close_fds::set_fds_cloexec;
use sok::address::Target;
use sok::error::{Error, ErrorKind, Result};
use sok::loops::{Answer, Framing, MemoryLimit, MessageFormat, Traffic};
use sok::service::{AnswerService, ConnectionTable, Exec, SendFile, discard, echo, suffix};
use tracing::info;

use super::access::{refused_descriptors, set_access};
use super::congestion::congestion;
use super::descriptors::{SERVED_BY_PROGRAM, affordable, own_descriptors};
use super::inherited::{ListenOn, Numbered, refuse_own_streams, take};
use super::listening::listen_options;
use super::memory::max_memory;
use super::program::check_program;
use super::proxy::accept_proxy;
use super::readiness::{Readiness, ready_fd};
use super::run::block_on;
use super::server::{
    FIRST_INHERITED, FRAMINGS, Server, descriptor_limit, limits, raise_descriptor_limit,
};
use super::status::{self, StatusPlan};
use super::stdio;
use super::twice::refuse_twice;
use super::udp::udp_options;
use crate::args::{FramingArg, ServeArgs, ServiceArgs};
use crate::exit::Exit;
use crate::output::Ui;
use crate::output::progress::{Count, Progress};

pub(crate) fn run(args: ServeArgs, ui: Ui) -> Result<Exit> {
    let target = args.parts.target(args.address.as_ref());
    let target = target.map_err(|error| match (&args.address, &args.services.exec) {
        (None, Some(_)) if !args.parts.is_given() => error
            .with_hint("--exec takes the rest of the command line: write the address before it"),
        _ => error,
    })?;
    if args.services.stdio {
        refuse_own_streams("serve", &target, &[0, 1])?;
    }
    let (places, status) = places(&args, target)?;
    let given = places.bound.iter().chain(&status.bound);
    refuse_twice("listen", given, args.listen.v6only)?;
    let targets = places.targets();
    let check = |target| check_services(&args, target);
    targets.iter().try_for_each(check)?;
    let stdio = args
        .services
        .stdio
        .then(|| stdio::plan(&args, &targets[0], ui));
    let stdio = stdio.transpose()?;
    let format = MessageFormat {
        framing: args
            .framing
            .framing
            .map_or(Framing::Chunk, FramingArg::framing),
        max_message: args.framing.max_message(),
    };
    let memory = args.max_memory.unwrap_or_else(|| max_memory(format));
    let mut options = listen_options(&args.listen, &places)?;
    options.max_message = format.max_message;
    options.session_idle = args.idle_timeout.unwrap_or(options.session_idle);
    let udp = &args.listen.udp;
    places.refuse_if_inherited(&[(udp.given().unwrap_or_default(), udp.given().is_some())])?;
    options.udp = udp_options(udp, "listen", &places.bound.iter().collect::<Vec<_>>())?;
    let all: Vec<&Target> = targets.iter().collect();
    options.congestion = congestion(&args.listen.tcp, "listen", &all)?;
    let mut limits = limits(&args.limits);
    limits.accept_proxy = accept_proxy(&args.proxy, "listen", &targets)?;
    let reload = set_access(&args.access, &targets, &mut options, &mut limits)?;
    // Answers to messages do not use them.
    options.take_descriptors =
        args.services.exec.is_some() || args.services.send.is_some() || stdio.is_some();
    let progress = Progress::new(ui, args.progress.when(), false);
    let sends_bytes = !targets[0].socket_type().keeps_messages();
    let ServiceArgs {
        echo: _,
        suffix: text,
        discard: quiet,
        send,
        exec,
        stdio: _,
        keep_open,
        mut pass_fd,
    } = args.services;
    let mut server = Server {
        readiness: Readiness::of_server(&args.ready, &places, &status.targets())?,
        places,
        options,
        table: ConnectionTable::new(limits.access.clone()),
        limits,
        threads: args.limits.threads.unwrap_or(1),
        idle_timeout: args.idle_timeout,
        lifetime: args.access.lifetime,
        exits_when_idle: args.access.exit_when_idle,
        on_hangup: None,
        reload,
        status: StatusPlan::of(status, None)?,
        ui,
    };
    if let Some(exchange) = stdio {
        return stdio::run(server, exchange, keep_open);
    }
    match &exec {
        Some(command) => {
            check_program(&command[0])?;
            // The program must not inherit descriptors besides the standard streams and these.
            pass_fd.sort_unstable();
            set_fds_cloexec(FIRST_INHERITED, &pass_fd);
            // The limit of open files is not raised: the program would inherit it, which breaks
            // programs that use select(2).
            let refused = refused_descriptors(&server.limits, server.reload.as_ref());
            let own = own_descriptors(server.threads, server.places.len()) + refused;
            let own = own + server.status.as_ref().map_or(0, |_| status::DESCRIPTORS);
            let descriptors = descriptor_limit();
            let most = affordable(descriptors, own, SERVED_BY_PROGRAM);
            if server.limits.max_connections > most {
                info!(descriptors, connections = most, "limited by ulimit -n");
                server.limits.max_connections = most;
            }
        }
        None => {
            let descriptors = raise_descriptor_limit();
            let has_connections = |target: &Target| target.socket_type().has_connection();
            // Those of the status are held back. Without it, clients wait once none is left.
            if server.status.is_some() && targets.iter().any(has_connections) {
                let refused = refused_descriptors(&server.limits, server.reload.as_ref());
                let own = own_descriptors(server.threads, targets.len()) + refused;
                let own = own + status::held_back(descriptors);
                let most = affordable(descriptors, own, 1);
                if server.limits.max_connections > most {
                    info!(descriptors, connections = most, "limited by ulimit -n");
                    server.limits.max_connections = most;
                }
            }
        }
    }
    let memory = MemoryLimit::new(memory);
    block_on(async {
        if let Some(mut command) = exec {
            let program = command.remove(0);
            let grace = server.limits.grace;
            return server
                .run(|stop| {
                    let mut service = Exec::new(program, stop);
                    service.arguments = command;
                    service.grace = grace;
                    service.memory = memory;
                    service.format = format;
                    Ok(service)
                })
                .await;
        }
        if let Some(path) = send {
            let count = sent_of(&path, sends_bytes, server.table.clone(), progress);
            let serving = server.run(|stop| {
                let mut service = SendFile::new(path.clone(), stop, memory)?;
                service.format = format;
                Ok(service)
            });
            return progress.beside(serving, false, count).await;
        }
        if let Some(text) = text {
            let answer = suffix(text.into_vec());
            return server.run(|_| Ok(messages(format, answer, memory))).await;
        }
        if quiet {
            return server.run(|_| Ok(messages(format, discard, memory))).await;
        }
        server.run(|_| Ok(messages(format, echo, memory))).await
    })
}

/// How much of the file at `path` the open connections have got, but for those that began just now.
fn sent_of(
    path: &Path,
    sends_bytes: bool,
    table: ConnectionTable,
    progress: Progress,
) -> impl Fn() -> Count {
    let after = progress.after().unwrap_or_default();
    let path = path.to_owned();
    // The size is asked for only when a client has come, as the file is opened then too: asking may
    // block, and the line is drawn often.
    let known = Cell::new((0, None));
    let size_now = move |connections: u64| {
        let (clients, size) = known.get();
        if clients == connections {
            return size;
        }
        let file = fs::metadata(&path).ok().filter(Metadata::is_file);
        let size = file.map(|file| file.len());
        known.set((connections, size));
        size
    };
    move || {
        let (totals, open) = table.snapshot();
        let shown = open.iter().filter(|connection| connection.age() >= after);
        let (count, current) = shown.fold((0, 0), |(count, sent), connection| {
            (count + 1, sent + connection.traffic().sent)
        });
        let size = match sends_bytes {
            true => size_now(totals.connections),
            false => None,
        };
        // What clients send is no part of it.
        let traffic = Traffic {
            received: 0,
            ..totals.traffic
        };
        Count {
            traffic,
            current,
            total: size.map(|size| size.saturating_mul(count)),
            open: usize::try_from(count).unwrap_or(usize::MAX),
        }
    }
}

/// Where to listen, and where to serve the status: takes what is inherited.
fn places(args: &ServeArgs, target: Target) -> Result<(ListenOn, ListenOn)> {
    let passed = args.services.pass_fd.iter();
    let passed: Vec<_> = passed
        .map(|number| Numbered::new("--pass-fd", *number))
        .collect();
    let mut words = vec![target];
    words.extend(args.observe.target()?);
    let mut named = take(words, passed.iter().chain(&ready_fd(&args.ready)))?;
    let status = ListenOn::of(named.split_off(1));
    let places = ListenOn::of(named);
    if !(places.inherited.is_empty() && status.inherited.is_empty()) {
        passed.iter().try_for_each(Numbered::keep_on_exec)?;
    }
    Ok((places, status))
}

fn messages<A: Answer>(format: MessageFormat, answer: A, memory: MemoryLimit) -> AnswerService<A> {
    let mut service = AnswerService::new(format, answer);
    service.memory = memory;
    service
}

/// Refuses two services, and options of messages for services without them.
fn check_services(args: &ServeArgs, target: &Target) -> Result<()> {
    let ServiceArgs {
        echo,
        suffix,
        discard,
        send,
        exec,
        stdio,
        keep_open: _,
        pass_fd: _,
    } = &args.services;
    let given: Vec<&str> = [
        ("--echo", *echo),
        ("--suffix", suffix.is_some()),
        ("--discard", *discard),
        ("--send", send.is_some()),
        ("--exec", exec.is_some()),
        ("--stdio", *stdio),
    ]
    .into_iter()
    .filter_map(|(name, given)| given.then_some(name))
    .collect();
    let usage = |cause: String| Error::because("serve", target, ErrorKind::Usage, cause);
    if given.len() > 1 {
        let given = given.join(" and ");
        return Err(usage(format!(
            "{given} cannot be used together; choose one"
        )));
    }
    if *stdio {
        return Ok(());
    }
    if let Some(option) = args.progress.given()
        && send.is_none()
    {
        return Err(usage(format!("{option} needs --send or --stdio")));
    }
    if let Some(option) = args.exchange.given() {
        return Err(usage(format!("{option} needs --stdio")));
    }
    if target.socket_type().keeps_messages() {
        return check_framing(args, target);
    }
    let option = args.framing.given();
    let option = option.or_else(|| args.max_memory.map(|_| "--max-memory"));
    match option {
        Some(option) if *discard || send.is_some() || exec.is_some() => Err(usage(format!(
            "{} has no messages, so no {option}",
            given[0]
        ))),
        _ => Ok(()),
    }
}

/// The same for a socket that keeps messages apart: only pipes and files need a framing.
fn check_framing(args: &ServeArgs, target: &Target) -> Result<()> {
    let (services, framing) = (&args.services, args.framing.framing);
    let frames = framing.is_some_and(|framing| framing.framing() != Framing::Chunk);
    let needs_framing = services.exec.is_some();
    let usage = |cause: String| Error::because("serve", target, ErrorKind::Usage, cause);
    if needs_framing && !frames {
        let cause = "a pipe to a program does not keep messages apart";
        return Err(usage(cause.to_owned()).with_hint(format!("give --framing {FRAMINGS}")));
    }
    if framing.is_some() && !needs_framing && (services.send.is_none() || !frames) {
        let kind = target.socket_type();
        let cause = format!("--framing has no meaning here: a {kind} socket keeps messages apart");
        let hint = match services.send {
            Some(_) => format!("give {FRAMINGS}, or omit it to send the whole file as one message"),
            None => "omit it".to_owned(),
        };
        return Err(usage(cause).with_hint(hint));
    }
    Ok(())
}
