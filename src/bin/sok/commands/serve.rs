//! `sok serve`: accept and answer.

use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use close_fds::{iter_open_fds, set_fds_cloexec};
use humantime::format_duration;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sok::address::Target;
use sok::error::{Error, ErrorKind, Result};
use sok::loops::{
    Answer, Framing, Limits, MemoryLimit, MessageFormat, OnHangup, Stop, connection_loop,
    outlive_file_limit,
};
use sok::net::ListenOptions;
use sok::service::{
    AnswerService, ConnectionTable, Exec, IdleLimit, Lifetime, SendFile, Service, Threads, Tracked,
    discard, echo, suffix,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tracing::info;

use super::access::{Reload, on_hangup, refused_descriptors, set_access};
use super::congestion::congestion;
use super::descriptors::{SERVED_BY_PROGRAM, affordable, own_descriptors};
use super::listening::{listen, listen_options};
use super::memory::{max_connections, max_memory};
use super::program::check_program;
use super::run::{block_on, reap_as_init};
use super::status::{self, StatusPlan};
use super::stdio;
use super::udp::udp_options;
use crate::args::{FramingArg, LimitArgs, ServeArgs, ServiceArgs};
use crate::exit::Exit;
use crate::output::Ui;

pub(crate) fn run(args: ServeArgs, ui: Ui) -> Result<Exit> {
    let target = args.parts.target(args.address.as_ref());
    let target = target.map_err(|error| match (&args.address, &args.services.exec) {
        (None, Some(_)) if !args.parts.is_given() => error
            .with_hint("--exec takes the rest of the command line: write the address before it"),
        _ => error,
    })?;
    check_services(&args, &target)?;
    let stdio = args.services.stdio.then(|| stdio::plan(&args, &target));
    let stdio = stdio.transpose()?;
    let targets = vec![target];
    let format = MessageFormat {
        framing: args
            .framing
            .framing
            .map_or(Framing::Chunk, FramingArg::framing),
        max_message: args.framing.max_message(),
    };
    let memory = args.max_memory.unwrap_or_else(|| max_memory(format));
    let mut options = listen_options(&args.listen, &targets)?;
    options.max_message = format.max_message;
    options.session_idle = args.idle_timeout.unwrap_or(options.session_idle);
    options.udp = udp_options(&args.listen.udp, "listen", &[&targets[0]])?;
    options.congestion = congestion(&args.listen.tcp, "listen", &[&targets[0]])?;
    let mut limits = limits(&args.limits);
    let reload = set_access(&args.access, &targets, &mut options, &mut limits)?;
    // Answers to messages do not use them.
    options.take_descriptors =
        args.services.exec.is_some() || args.services.send.is_some() || stdio.is_some();
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
        options,
        targets,
        limits,
        threads: args.limits.threads.unwrap_or(1),
        idle_timeout: args.idle_timeout,
        lifetime: args.access.lifetime,
        exits_when_idle: args.access.exit_when_idle,
        on_hangup: None,
        reload,
        status: StatusPlan::of(args.observe.status.as_ref(), None)?,
        ui,
    };
    if let Some(exchange) = stdio {
        return stdio::run(server, exchange, keep_open);
    }
    match &exec {
        Some(command) => {
            check_program(&command[0])?;
            check_passed(&pass_fd)?;
            // The program must not inherit descriptors besides the standard streams and these.
            pass_fd.sort_unstable();
            set_fds_cloexec(FIRST_INHERITED, &pass_fd);
            // The limit of open files is not raised: the program would inherit it, which breaks
            // programs that use select(2).
            let refused = refused_descriptors(&server.limits, server.reload.as_ref());
            let own = own_descriptors(server.threads, server.targets.len()) + refused;
            let own = own + server.status.as_ref().map_or(0, |_| status::DESCRIPTORS);
            let descriptors = descriptor_limit();
            let most = affordable(descriptors, own, SERVED_BY_PROGRAM);
            if server.limits.max_connections > most {
                info!(descriptors, connections = most, "limited by ulimit -n");
                server.limits.max_connections = most;
            }
        }
        None => {
            raise_descriptor_limit();
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
            return server
                .run(|stop| {
                    let mut service = SendFile::new(path, stop, memory)?;
                    service.format = format;
                    Ok(service)
                })
                .await;
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

/// Checks that the descriptors for the program are open.
fn check_passed(numbers: &[i32]) -> Result<()> {
    let open: Vec<i32> = iter_open_fds(FIRST_INHERITED).collect();
    match numbers.iter().find(|number| !open.contains(number)) {
        None => Ok(()),
        Some(number) => {
            let option = format!("--pass-fd {number}");
            let error = Error::because("exec", option, ErrorKind::Usage, "it is not open");
            Err(error.with_hint(format!("open it for sok, as with {number}<FILE in a shell")))
        }
    }
}

fn messages<A: Answer>(format: MessageFormat, answer: A, memory: MemoryLimit) -> AnswerService<A> {
    let mut service = AnswerService::new(format, answer);
    service.memory = memory;
    service
}

/// The first descriptor after the standard streams.
pub(crate) const FIRST_INHERITED: i32 = 3;

/// The time that the end of the process waits for another thread that does not get its turn.
const CUT_OFF: Duration = Duration::from_secs(1);

/// A server before it listens.
pub(crate) struct Server {
    pub(crate) targets: Vec<Target>,
    pub(crate) options: ListenOptions,
    pub(crate) limits: Limits,
    pub(crate) threads: usize,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) exits_when_idle: bool,
    pub(crate) on_hangup: Option<OnHangup>,
    pub(crate) reload: Option<Reload>,
    pub(crate) status: Option<StatusPlan>,
    pub(crate) ui: Ui,
}

impl Server {
    /// Listens, prints the ready line, and serves until a stop or a limit.
    pub(crate) async fn run<S: Service>(
        self,
        service: impl FnOnce(Stop) -> Result<S>,
    ) -> Result<Exit> {
        let stop = Stop::on_signals(on_hangup(self.on_hangup, self.reload))
            .map_err(|error| Error::new("watch", "signals", error))?;
        outlive_file_limit().map_err(|error| Error::new("watch", "SIGXFSZ", error))?;
        let table = ConnectionTable::new(self.limits.access.clone());
        on_request(table.clone(), self.ui)?;
        reap_as_init()?;
        let service = IdleLimit::new(self.idle_timeout, service(stop.clone())?);
        let service = Lifetime::new(self.lifetime, service);
        let service = Threads::new(service, self.threads)?;
        let drained = service.drained();
        let bound = async {
            let status = match &self.status {
                Some(plan) => plan.listen().await?,
                None => Vec::new(),
            };
            Ok::<_, Error>((status, listen(&self.targets, &self.options).await?))
        };
        let (status, listeners) = tokio::select! {
            biased;
            bound = bound => bound?,
            () = stop.requested() => return Ok(Exit::Done),
        };
        status.iter().for_each(|one| self.ui.status_on(one));
        let about = status::Server {
            table: table.clone(),
            stop: stop.clone(),
            exit_after: self.limits.exit_after,
            listening: listeners
                .iter()
                .map(|one| one.local_addr().to_string())
                .collect(),
        };
        let status = self.status.map(|plan| plan.serve(status, about));
        for listener in &listeners {
            self.ui.listening(listener);
        }
        let accept_timeout = self.limits.accept_timeout;
        let at = listeners.iter().map(|one| one.local_addr().to_string());
        let at = at.collect::<Vec<_>>().join(" ");
        let counted = self.limits.exit_after.is_some();
        let service = Tracked::new(table, service);
        let served = connection_loop(listeners, service, self.limits, stop).await;
        // Connections that were cut off send their resets and signals before the process ends.
        let _ = timeout(CUT_OFF, drained).await;
        if let Some(status) = status {
            status.end().await;
        }
        let served = served?;
        match served.first_failure {
            Some(error) if counted || served.cut > 0 => Err(error),
            _ if served.was_idle && !self.exits_when_idle => {
                let limit = format_duration(accept_timeout.unwrap_or_default());
                let cause = format!("no client was connected for {limit}");
                Err(Error::because("accept", at, ErrorKind::TimedOut, cause))
            }
            _ => Ok(Exit::Done),
        }
    }
}

/// Prints the table at each SIGUSR1.
fn on_request(table: ConnectionTable, ui: Ui) -> Result<()> {
    let mut requests = signal(SignalKind::user_defined1())
        .map_err(|error| Error::new("watch", "SIGUSR1", error))?;
    tokio::spawn(async move {
        while requests.recv().await.is_some() {
            ui.connections(&table);
        }
    });
    Ok(())
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

/// The framings that say where a message ends.
pub(crate) const FRAMINGS: &str = "line, null or length";

pub(crate) fn limits(args: &LimitArgs) -> Limits {
    let mut limits = Limits::default();
    limits.max_connections = if args.one_at_a_time {
        1
    } else {
        args.max_connections.map_or_else(max_connections, |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        })
    };
    limits.exit_after = if args.once { Some(1) } else { args.exit_after };
    limits.grace = args.grace;
    limits
}

/// The limit of open files of this process.
fn descriptor_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

/// Raises the limit of open files, since each connection takes one, and returns the new one: the
/// soft limit is for programs that use `select(2)`.
pub(crate) fn raise_descriptor_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return u64::MAX;
    };
    // With the old limit, the server pauses earlier, but still serves.
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}
