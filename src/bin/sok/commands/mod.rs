//! One file for each command: passes its arguments to the library, and the result to an exit code.

mod bench;
mod bench_server;
mod call;
mod check;
mod congestion;
mod connect;
mod descriptors;
mod listening;
mod memory;
mod program;
mod relay;
mod run;
mod serve;
mod tour;
mod wait;

use sok::error::Result;

use crate::args::{Cli, Command};
use crate::exit::Exit;
use crate::output::Ui;

/// Runs the given command, and prints its error.
pub(crate) fn run(Cli { talk, command }: Cli) -> Exit {
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
    done.unwrap_or_else(|error| {
        ui.failed(&error);
        Exit::from(&error)
    })
}

/// Runs one command on a separate stack frame.
/// || Inlined into one function, all commands have the frame of the largest, and each process
/// touches its pages one by one: that took 1/25 of the time of a whole `sok call` (scripts/compare
/// call).
#[inline(never)]
fn apart(run: impl FnOnce() -> Result<Exit>) -> Result<Exit> {
    run()
}
