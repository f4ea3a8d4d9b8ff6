//! One file for each command: passes its arguments to the library, and the result to an exit code.

mod access;
mod activate;
mod bench;
mod bench_server;
mod call;
mod check;
mod client_program;
mod completions;
mod congestion;
mod connect;
mod connection_log;
mod descriptors;
mod exchange;
mod inherited;
mod listening;
mod memory;
mod program;
mod proxy;
mod readiness;
mod relay;
mod run;
mod serve;
mod server;
mod status;
mod stdio;
mod tour;
mod twice;
mod udp;
mod wait;

use sok::error::Result;

use crate::args::{Cli, Command};
use crate::exit::Exit;
use crate::output::Ui;

/// Runs the given command, and prints its error.
pub(crate) fn run(Cli { talk, command }: Cli) -> Exit {
    let ui = Ui::new(
        &talk,
        command.log(),
        matches!(
            command,
            Command::Serve(_) | Command::Relay(_) | Command::Connect(_) | Command::Activate(_)
        ),
    );
    descriptors::explain_a_missing_event_loop(ui);
    let done = match command {
        Command::Serve(args) => on_own_frame(|| serve::run(args, ui)),
        Command::Relay(args) => on_own_frame(|| relay::run(&args, ui)),
        Command::Wait(args) => on_own_frame(|| wait::run(&args)),
        Command::Check(args) => on_own_frame(|| check::run(&args, ui)),
        Command::Connect(args) => on_own_frame(|| connect::run(args, ui)),
        Command::Call(args) => on_own_frame(|| call::run(args, ui)),
        Command::Activate(args) => on_own_frame(|| activate::run(&args, ui)),
        Command::Activated(args) => on_own_frame(|| activate::become_command(&args)),
        Command::Bench(args) => on_own_frame(|| bench::run(args, ui)),
        Command::BenchServer(args) => on_own_frame(|| bench_server::run(&args, ui)),
        Command::Completions(args) => on_own_frame(|| completions::run(&args)),
        Command::Tour(args) => on_own_frame(|| tour::run(args, ui)),
    };
    done.unwrap_or_else(|error| {
        ui.failed(&error);
        Exit::from(&error)
    })
}

/// Runs one command on a separate stack frame.
///
/// Inlined into one function, all commands have the frame of the largest, and each process touches
/// its pages one by one: that took 1/25 of the time of a whole `sok call` (scripts/compare call).
#[inline(never)]
fn on_own_frame(run: impl FnOnce() -> Result<Exit>) -> Result<Exit> {
    run()
}
