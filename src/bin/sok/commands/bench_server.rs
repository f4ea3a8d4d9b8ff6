//! `sok bench-server`: the server that `sok bench` measures by default.

use std::io;
use std::path::Path;
use std::thread;

use sok::address::Address;
use sok::error::{Error, ErrorKind, Result};
use sok::loops::Stop;
use sok::net::{Congestion, ListenOptions, Listener, ReceivingSocket};
use sok::offload::no_thread;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::run::{block_on, until_signal};
use crate::args::BenchServerArgs;
use crate::bench::{Role, pin, serve, serve_datagrams};
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
    let address = address.with_type(args.socket_type)?;
    block_on(until_signal(async {
        let mut options = ListenOptions::default();
        // Measures the cost of the family for any program on this machine.
        options.congestion = Congestion::System;
        options.take_descriptors = false;
        let server = Server::bind(&address, args.role, &options)?;
        ui.listening_on(server.address(), None, None);
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
        server.serve(args.role, args.spin, stop).await?;
        Ok(Exit::Done)
    }))
}

/// What is measured.
enum Server {
    Loop(Listener),
    /// As minimal as the threads of connections.
    Datagrams(ReceivingSocket),
}

impl Server {
    fn bind(address: &Address, role: Role, options: &ListenOptions) -> Result<Self> {
        match address.socket_type().has_connection() || role.runs_the_loop() {
            true => Listener::bind(address, options).map(Self::Loop),
            false => ReceivingSocket::bind(address).map(Self::Datagrams),
        }
    }

    fn address(&self) -> &Address {
        match self {
            Self::Loop(listener) => listener.local_addr(),
            Self::Datagrams(socket) => socket.local_addr(),
        }
    }

    async fn serve(self, role: Role, spin: bool, stop: Stop) -> Result<()> {
        let socket = match self {
            Self::Loop(listener) => return serve(listener, role, spin, stop).await,
            Self::Datagrams(socket) => socket,
        };
        let address = socket.local_addr().clone();
        let (sender, failed) = oneshot::channel();
        let serving = move || {
            // Nothing receives it after the server has been stopped.
            let _ = sender.send(serve_datagrams(&socket, role, spin));
        };
        let started = thread::Builder::new().spawn(serving);
        started.map_err(|error| no_thread("serve", "datagrams", error))?;
        tokio::select! {
            ended = failed => match ended {
                Ok(Err(error)) => Err(Error::new("serve", address, error)),
                _ => Ok(()),
            },
            () = stop.requested() => Ok(()),
        }
    }
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
