//! `sok activate`: binds sockets for a program, and `sok activated`: the step that becomes it.

use std::fs::File;
use std::io::{self, IsTerminal, stdin};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio, id};
use std::time::Duration;

use close_fds::set_fds_cloexec;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use sok::address::Target;
use sok::error::{Error, ErrorKind, Result};
use sok::loops::outlive_file_limit;
use sok::net::{BoundSocket, ListenOptions, take};

use super::congestion::congestion;
use super::descriptors::need;
use super::inherited::ListenOn;
use super::listening::{listen_options, look_up};
use super::program::{check_program, not_run};
use super::readiness::Readiness;
use super::run::{block_on, reap_as_init};
use super::server::FIRST_INHERITED;
use super::twice::refuse_twice;
use super::udp::udp_options;
use crate::activate::{Plan, Signals, supervise};
use crate::args::{ActivateArgs, ActivatedArgs, as_one_word};
use crate::exit::Exit;
use crate::output::Ui;

/// How long a new program runs beside the one that it replaces.
const OVERLAP: Duration = Duration::from_secs(1);

/// The descriptors to start a program, besides copies of the sockets.
const TO_START: usize = 4;

/// The variables of socket activation and of a service manager, which are for this process.
const OWN_NAMES: [&str; 7] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

pub(crate) fn run(args: &ActivateArgs, ui: Ui) -> Result<Exit> {
    let places = ListenOn {
        bound: targets(args)?,
        inherited: Vec::new(),
    };
    refuse_twice("activate", &places.bound, args.listen.v6only)?;
    let mut options = listen_options(&args.listen, &places)?;
    let targets = places.bound;
    let all: Vec<&Target> = targets.iter().collect();
    options.udp = udp_options(&args.listen.udp, "listen", &all)?;
    options.congestion = congestion(&args.listen.tcp, "listen", &all)?;
    options.bind_in_place = true;
    check_program(&args.command[0])?;
    let readiness = Readiness::prepare(&args.ready, &targets)?;
    // The program inherits only the standard streams and the sockets.
    set_fds_cloexec(FIRST_INHERITED, &[]);
    let plan = Plan {
        program: Path::new(&args.command[0]).display().to_string(),
        nonblocking: args.nonblocking,
        on_demand: args.on_demand,
        restart: args.restart,
        overlap: args.overlap.unwrap_or(OVERLAP),
        stop_signal: args.stop_signal,
        grace: args.grace,
    };
    block_on(async {
        let watched = |what| move |error| Error::new("watch", what, error);
        let mut signals = Signals::watch().map_err(watched("signals"))?;
        outlive_file_limit().map_err(watched("SIGXFSZ"))?;
        reap_as_init()?;
        let (sockets, names) = tokio::select! {
            biased;
            bound = bind(&targets, &args.fdname, &options) => bound?,
            _ = signals.stop() => return Ok(Exit::Done),
        };
        let shown: Vec<String> = targets.iter().map(Target::to_string).collect();
        need(TO_START + sockets.len(), "activate", shown.join(" "))?;
        let addresses = sockets.iter().map(BoundSocket::local_addr);
        let show = || {
            for socket in &sockets {
                ui.listening_on(socket.local_addr(), socket.also_takes(), None);
            }
        };
        let notified = readiness.notify(addresses, show, None)?;
        let command = |sockets: &[BoundSocket]| command(args, ui, sockets, &names);
        let stopping = || notified.stopping();
        supervise(&plan, sockets, command, &mut signals, stopping).await
    })
}

/// The targets of the command line, each with its name if there are names.
fn targets(args: &ActivateArgs) -> Result<Vec<Target>> {
    let targets = (0..).zip(&args.addresses).map(|(place, word)| {
        Target::parse(word).map_err(|error| {
            let next = args.addresses.get(place + 1);
            match next.and_then(|port| as_one_word(word, port)) {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        })
    });
    let targets: Vec<Target> = targets.collect::<Result<_>>()?;
    let (names, addresses) = (args.fdname.len(), targets.len());
    if names == 0 || names == addresses {
        return Ok(targets);
    }
    let shown: Vec<String> = targets.iter().map(Target::to_string).collect();
    let cause = format!("--fdname is given {names} times, and ADDRESS {addresses} times");
    let error = Error::because("activate", shown.join(" "), ErrorKind::Usage, cause);
    Err(error.with_hint("give one for each address, in their order, or none"))
}

/// Binds all addresses of the targets, and returns the names of the sockets, if they have names.
async fn bind(
    targets: &[Target],
    names: &[String],
    options: &ListenOptions,
) -> Result<(Vec<BoundSocket>, Vec<String>)> {
    let (mut sockets, mut own) = (Vec::new(), Vec::new());
    for (place, target) in targets.iter().enumerate() {
        let addresses = look_up(target).await?;
        sockets.extend(BoundSocket::bind_resolved(target, addresses, options)?);
        if let Some(name) = names.get(place) {
            own.resize(sockets.len(), name.clone());
        }
    }
    Ok((sockets, own))
}

/// This program, which becomes the command once it knows its own process number.
fn command(
    args: &ActivateArgs,
    ui: Ui,
    sockets: &[BoundSocket],
    names: &[String],
) -> io::Result<tokio::process::Command> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["activated", "--parent", &id().to_string()]);
    for socket in sockets {
        // This process starts no other programs.
        fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let number = socket.as_fd().as_raw_fd();
        command.arg("--socket").arg(number.to_string());
    }
    if ui.is_json() {
        command.arg("--json");
    }
    command.arg("--").args(&args.command);
    for name in OWN_NAMES {
        command.env_remove(name);
    }
    command.env("LISTEN_FDS", sockets.len().to_string());
    if !names.is_empty() {
        command.env("LISTEN_FDNAMES", names.join(":"));
    }
    // A process group that is not that of the terminal would be stopped when it reads it.
    if stdin().is_terminal() {
        command.stdin(Stdio::null());
    }
    Ok(command.into())
}

/// Becomes the command, whose LISTEN_PID must be its own number: the number of this process.
pub(crate) fn become_command(args: &ActivatedArgs) -> Result<Exit> {
    // Without its supervisor, the program would hold the addresses, and nobody would restart it. If
    // the kernel refuses, it still works.
    let _ = set_pdeathsig(Signal::SIGTERM);
    if getppid().as_raw() != args.parent {
        return Ok(Exit::Signal(Signal::SIGTERM as u8));
    }
    place(&args.sockets).map_err(|error| Error::new("inherit", "the sockets", error))?;
    let Some((program, arguments)) = args.command.split_first() else {
        return Ok(Exit::Done);
    };
    let mut command = Command::new(program);
    let error = command
        .args(arguments)
        .env("LISTEN_PID", id().to_string())
        .exec();
    Err(not_run(program, error))
}

/// Moves the sockets to the first numbers after the standard streams, in their order.
fn place(numbers: &[i32]) -> io::Result<()> {
    let places = FIRST_INHERITED..;
    let end = places.clone().nth(numbers.len()).unwrap_or(i32::MAX);
    let mut fillers = Vec::new();
    let mut sockets: Vec<OwnedFd> = Vec::new();
    for number in numbers {
        // All numbers below are taken, so that the copy is above them.
        fill(&mut fillers, end)?;
        sockets.push(take(*number)?);
    }
    fill(&mut fillers, end)?;
    drop(fillers);
    for (place, socket) in places.zip(&sockets) {
        let placed = fcntl(socket, FcntlArg::F_DUPFD(FIRST_INHERITED))?;
        if placed != place {
            return Err(io::Error::other(format!("descriptor {place} is in use")));
        }
    }
    Ok(())
}

/// Opens files until all numbers below `end` are taken.
fn fill(fillers: &mut Vec<File>, end: i32) -> io::Result<()> {
    loop {
        let file = File::open("/dev/null")?;
        if file.as_raw_fd() >= end {
            return Ok(());
        }
        fillers.push(file);
    }
}
