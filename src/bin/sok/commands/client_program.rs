//! `sok connect --exec`: a program that talks to a server.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use close_fds::set_fds_cloexec;
use nix::libc::{SIGPIPE, SIGTERM};
use sok::address::Target;
use sok::client::ConnectPlan;
use sok::error::{Error, ErrorKind, Result};
use sok::loops::{Connection, EndSignals, Framing, MessageFormat, Stop};
use sok::net::{ListenOptions, Peer, ProxyVersion, Stream};
use sok::service::{Exec, IdleLimit, Service};
use tokio::time::sleep;

use super::connection_log::ConnectionLog;
use super::exchange::Messages;
use super::program::check_program;
use super::proxy::connect_by;
use super::run::{block_on, reap_as_init};
use super::server::{FIRST_INHERITED, FRAMINGS};
use crate::exit::Exit;
use crate::output::{Ui, standard};

/// A program for a connection, as the options say.
pub(crate) struct ClientProgram {
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// The frames in its pipes.
    pub(crate) messages: Messages,
    /// The PROXY header before its data.
    pub(crate) send_proxy: Option<ProxyVersion>,
    pub(crate) idle_timeout: Option<Duration>,
}

/// Runs a program on a connection to `target`.
pub(crate) fn run(
    target: &Target,
    plan: &ConnectPlan,
    program: ClientProgram,
    ui: Ui,
) -> Result<Exit> {
    let ClientProgram {
        mut command,
        messages,
        send_proxy,
        idle_timeout,
    } = program;
    let format = format(target, &messages)?;
    check_program(&command[0])?;
    // As under serve, it inherits only the standard streams.
    set_fds_cloexec(FIRST_INHERITED, &[]);
    let stop = Stop::new();
    let mut exec = Exec::new(command.remove(0), stop.clone());
    exec.arguments = command;
    exec.format = format;
    exec.waits_for_close = false;
    // The program may ask for a password, and only the group of the terminal can read from it.
    exec.has_own_group = !standard::has_terminal();
    exec.peer_idle = Some(idle_timeout.unwrap_or(ListenOptions::SESSION_IDLE));
    let grace = exec.grace;
    // The peer of a datagram socket counts as ended then; otherwise that is an error.
    let limit = idle_timeout.filter(|_| target.socket_type().has_connection());
    let service = IdleLimit::new(limit, Program::of(exec));
    block_on(async {
        let watched = EndSignals::watch();
        let mut signals = watched.map_err(|error| Error::new("watch", "signals", error))?;
        reap_as_init()?;
        let connected = tokio::select! {
            connected = connect_by(target, plan, send_proxy) => connected?,
            signal = signals.next() => return Ok(Exit::of_signal(signal)),
        };
        let (stream, address) = connected;
        let mut peer = Peer::new(address);
        // If a sandbox refuses credentials, the program runs without.
        peer.credentials = stream.peer_cred().unwrap_or(None);
        let connection = Arc::new(Connection::new(1, peer));
        let report = ConnectionLog::connected(&connection.peer().address);
        let stopped_by = OnceLock::new();
        let given_up = async {
            let signal = signals.next().await;
            let _ = stopped_by.set(signal);
            stop.request();
            tokio::select! {
                () = sleep(grace) => {}
                _ = signals.next() => {}
            }
            Exit::of_signal(signal)
        };
        let done = tokio::select! {
            served = service.serve(stream, &connection) => match service.service.status.get() {
                // The terminal signals both: the program may end by that signal, or by the stop.
                Some(status) if status.signal() == Some(SIGTERM) && stopped_by.get().is_some() => {
                    Ok(stopped_by.get().map_or(Exit::Failure, |signal| Exit::of_signal(*signal)))
                }
                Some(status) => exit(*status, served, ui),
                None => served.map(|()| Exit::Done),
            },
            cut = given_up => Ok(cut),
        };
        report.ended(connection.traffic(), &done);
        done
    })
}

/// The frames in the pipes.
fn format(target: &Target, messages: &Messages) -> Result<MessageFormat> {
    messages.check("connect", target)?;
    if target.socket_type().keeps_messages() && messages.framing.is_none() {
        let cause = "a pipe to a program does not keep messages apart";
        let error = Error::because("connect", target, ErrorKind::Usage, cause);
        return Err(error.with_hint(format!("give --framing {FRAMINGS}")));
    }
    Ok(MessageFormat {
        framing: messages.framing.unwrap_or(Framing::Chunk),
        max_message: messages.max_message,
    })
}

/// A program whose status is kept.
struct Program {
    exec: Exec,
    status: OnceLock<ExitStatus>,
}

impl Program {
    const fn of(exec: Exec) -> Self {
        let status = OnceLock::new();
        Self { exec, status }
    }
}

impl Service for Program {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        let ended = self.exec.run(stream, connection).await?;
        // It is served once.
        let _ = self.status.set(ended.status);
        let is_cut = ended.lost_output || is_pipe_signal(ended.status);
        match ended.fault {
            Some(fault) => Err(fault),
            None if ended.was_left && is_cut => {
                let cause = "the server closed the connection before the program had sent all";
                let peer = connection.peer();
                Err(Error::because("send", peer, ErrorKind::Broken, cause))
            }
            None => Ok(()),
        }
    }
}

/// Whether the program was killed as it wrote to a pipe that nobody reads.
fn is_pipe_signal(status: ExitStatus) -> bool {
    status.signal() == Some(SIGPIPE)
}

/// The result of a program: its failure, unless that only follows from the end of the connection.
fn exit(status: ExitStatus, served: Result<()>, ui: Ui) -> Result<Exit> {
    match served {
        Ok(()) => Ok(Exit::of_program(status)),
        Err(error) if status.success() || is_pipe_signal(status) => Err(error),
        Err(error) => {
            ui.failed(&error);
            Ok(Exit::of_program(status))
        }
    }
}
