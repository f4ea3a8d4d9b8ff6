//! `sok bench-server`: the server that `sok bench` measures by default.

use std::io;
use std::path::Path;
use std::thread;

use sok::error::{Error, ErrorKind, Result};
use sok::loops::Stop;
use sok::net::{Congestion, ListenOptions, Listener};
use sok::offload::no_thread;
use tempfile::TempDir;

use super::run::{block_on, until_signal};
use crate::args::BenchServerArgs;
use crate::bench::{pin, serve};
use crate::exit::Exit;
use crate::output::Ui;
use crate::output::standard;

/// Serves until the end of the standard input, which comes when `sok bench` ends.
pub(crate) fn run(args: &BenchServerArgs, ui: Ui) -> Result<Exit> {
    if let Some(cpu) = args.cpu {
        pin(cpu)?;
    }
    let nowhere = args.family.local_address(Path::new(""), "s.sock");
    let folder = nowhere.as_path().map(|_| own_folder()).transpose()?;
    let directory = folder.as_ref().map_or_else(|| Path::new(""), TempDir::path);
    let address = args.family.local_address(directory, "s.sock");
    block_on(until_signal(async {
        let mut options = ListenOptions::default();
        // Measures the cost of the family for any program on this machine.
        options.congestion = Congestion::System;
        options.take_descriptors = false;
        let listener = Listener::bind(&address, &options)?;
        ui.listening(&listener);
        let stop = Stop::new();
        let ended = stop.clone();
        let mut stdin = standard::stdin()?;
        let wait_for_end = move || {
            // However it ends, no reader is left.
            let _ = io::copy(&mut stdin, &mut io::sink());
            ended.request();
        };
        let started = thread::Builder::new().spawn(wait_for_end);
        started.map_err(|error| no_thread("read", "standard input", error))?;
        serve(listener, args.role, args.spin, stop).await?;
        Ok(Exit::Done)
    }))
}

/// A directory for the socket file.
fn own_folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("sok-bench").tempdir();
    folder.map_err(|error| {
        Error::new("create", "a temporary directory", error)
            .with_kind(ErrorKind::Other)
            .with_hint("set TMPDIR to a writable directory")
    })
}
