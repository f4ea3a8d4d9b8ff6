//! The program `sok`: parses the command line, runs one command, and exits with its exit code. The
//! library of the same name handles the sockets.

mod activate;
mod args;
mod bench;
mod check;
mod commands;
mod completions;
mod exit;
mod full_receiver;
#[cfg(test)]
mod fuzzing;
mod output;
mod status;
mod tour;

fn main() {
    let exit = match args::command_line() {
        Ok(line) => commands::run(line),
        Err(refusal) => output::refuse(&refusal),
    };
    exit.leave()
}
