//! Writes the man pages: `man OUTDIR DATE`, as `scripts/man` runs it. A page has the options of the
//! definitions that parse them, and the sections that are written in `docs/man/*.roff`.
//!
//! It is an example for Cargo, as those may use crates that the program does not. The parts of the
//! program stand at the root here, as in `src/bin/sok/main.rs`.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)]

#[path = "../../src/bin/sok/args/mod.rs"]
mod args;
#[path = "../../src/bin/sok/bench/mod.rs"]
mod bench;
#[path = "../../src/bin/sok/completions/mod.rs"]
mod completions;
#[path = "../../src/bin/sok/exit.rs"]
mod exit;
#[path = "../../src/bin/sok/full_receiver.rs"]
mod full_receiver;
mod page;
mod style;
#[path = "../../src/bin/sok/tour/mod.rs"]
mod tour;

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use clap::CommandFactory;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args_os().skip(1);
    let (Some(folder), Some(date)) = (words.next(), words.next()) else {
        return Err("usage: man OUTDIR DATE".into());
    };
    let folder = PathBuf::from(folder);
    let date = date.to_string_lossy();
    fs::create_dir_all(&folder)?;
    let mut cli = args::Cli::command();
    cli.build();
    for (name, text) in page::pages(&cli, &date)? {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}
