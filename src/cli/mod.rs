//! The command line: arguments to the library to an exit code.

mod address;
mod args;
mod bench;
mod bench_files;
mod bench_output;
mod bench_server;
mod call;
mod check;
mod congestion;
mod connect;
mod descriptors;
mod dump;
mod exit;
mod json;
mod listening;
mod memory;
mod parse;
mod program;
mod prompt;
mod relay;
mod reports;
mod serve;
mod standard;
mod style;
mod svg;
mod table;
mod talk;
mod tour;
mod ui;
mod usage;
mod values;
mod wait;

use std::future::Future;

use tokio::runtime::Builder;

use self::args::{Cli, Command};
use self::exit::Exit;
use self::ui::Ui;
#[cfg(any(test, fuzzing))]
pub(crate) use self::usage::fuzz as fuzz_usage;
use crate::error::{Error, Result};
use crate::loops::EndSignals;

/// Runs the program with the arguments of this process, and ends it with its exit code.
pub fn main() -> ! {
    let Cli { talk, command } = parse::command_line().unwrap_or_else(|error| usage::refuse(&error));
    let ui = Ui::new(
        &talk,
        matches!(command, Command::Serve(_) | Command::Relay(_)),
    );
    descriptors::explain_a_missing_event_loop(ui);
    let done = match command {
        Command::Serve(args) => apart(|| serve::run(args, ui)),
        Command::Relay(args) => apart(|| relay::run(&args, ui)),
        Command::Wait(args) => apart(|| wait::run(&args)),
        Command::Check(args) => apart(|| check::run(&args, ui)),
        Command::Connect(args) => apart(|| connect::run(args)),
        Command::Call(args) => apart(|| call::run(args, ui)),
        Command::Bench(args) => apart(|| bench::run(args, ui)),
        Command::BenchServer(args) => apart(|| bench_server::run(&args, ui)),
        Command::Tour(args) => apart(|| tour::run(args, ui)),
    };
    let exit = done.unwrap_or_else(|error| {
        ui.failed(&error);
        Exit::from(&error)
    });
    exit.leave()
}

/// Runs one command on a stack frame of its own.
///
/// Inlined into one function, all commands have the frame of the largest, and each process touches
/// its pages one by one: that took 1/25 of the time of a whole `sok call` (scripts/compare call).
#[inline(never)]
fn apart(run: impl FnOnce() -> Result<Exit>) -> Result<Exit> {
    run()
}

/// Runs `command` on this thread.
///
/// A thread that still waits at the end, for a name server or the writer of a pipe, is left
/// behind: it must not hold up the end of the program.
fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    // A runtime of several threads would bring in the library of mathematics for its statistics;
    // a server spreads its connections by itself.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| match descriptors::need_event_loop() {
            Err(missing) => missing,
            Ok(()) => Error::new("start", "the event loop", error),
        })?;
    descriptors::end_explaining();
    let done = runtime.block_on(command);
    runtime.shutdown_background();
    done
}

/// Runs `work` until it is done or a signal ends the program; one that was ignored when the program
/// started stays so. Then too it is dropped, and gives back what it holds: a socket file, the modes
/// of a terminal.
async fn until_signal(work: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    until_killed(true, work).await
}

/// The same for work that may have nothing to give back: then the signal itself ends the process.
/// The kernel spares PID 1, the first process of a container, unless it listens.
async fn until_killed(gives_back: bool, work: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    let listens = gives_back || is_init();
    let watched = listens.then(EndSignals::watch).transpose();
    let mut signals = watched.map_err(|error| Error::new("watch", "signals", error))?;
    tokio::select! {
        done = work => done,
        Some(signal) = async { Some(signals.as_mut()?.next().await) } => {
            let number = u8::try_from(signal.as_raw_value()).unwrap_or_default();
            Ok(Exit::Signal(number))
        }
    }
}

/// Whether this is the first process of the machine or of a container.
fn is_init() -> bool {
    std::process::id() == 1
}
