//! The program `sok`: it reads the command line, runs one command, and ends with its exit code. What
//! it does with sockets is in the library of the same name.

mod args;
mod bench;
mod check;
mod commands;
mod exit;
#[cfg(test)]
mod fuzzing;
mod output;
mod tour;

fn main() {
    let exit = match args::command_line() {
        Ok(line) => commands::run(line),
        Err(refusal) => output::refuse(&refusal),
    };
    exit.leave()
}
