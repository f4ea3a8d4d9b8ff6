//! Runs a program for each connection, with pipes as its standard input and output.

use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::net::Shutdown;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::info;

use super::group::{ProcessGroup, is_exiting};
use super::orphans::{Awaited, spawn};
use super::{broken, counting};
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};
use crate::loops::{Connection, Framing, Limits, MessageFormat, Service, Stop};
use crate::memory::MemoryLimit;
use crate::net::{EXEC_NAMES, PipeReader, PipeWriter, Stream, exec_environment};
use crate::transfer::{Passed, PipeEvent, PipeTransfer, unless_idle};

/// Runs a program for each connection. The program gets end of file when the client ends its
/// sending half, and can still answer. The client gets end of file when the last process that holds
/// the program's output closes it, and a reset if a signal ended the program, since its output may
/// be incomplete.
///
/// The program gets two pipes instead of the socket: a close of either is seen at once on every
/// family, its output arrives complete even if it did not read its input, and `SO_PEERCRED` on its
/// input fails instead of naming the server.
///
/// A pipe does not keep messages apart. On a socket that does, each message is in a frame in the
/// pipes, see [`MessageFormat::frame`], and a last line without a newline is a message too. Without
/// a framing, such a connection fails. A session ends when its program does. If the session ends
/// first, the program gets end of file, SIGTERM after the grace period, and SIGKILL after another
/// one, as a peer that sends nothing more must not keep a program.
///
/// A requested stop sends SIGTERM to the program and its children, and SIGKILL at the end of the
/// grace period. [`exec_environment`] describes its environment; inherited variables of these names
/// are not passed on, nor those of a service manager, such as `LISTEN_FDS` and `NOTIFY_SOCKET`. After a
/// PROXY header, both ends are those of the client's connection.
///
/// [`run`](Self::run) does the same for a client's connection: the program then talks to the server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Exec {
    /// The program, searched in `PATH`.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The stop.
    pub stop: Stop,
    /// The time that a client has to close after the program and its output have ended. Bytes that
    /// it sends meanwhile are received and discarded, so that no reset destroys data that it has
    /// yet to read.
    pub grace: Duration,
    /// Whether to wait for that close. Otherwise the connection ends once the host of the peer has all
    /// output, as is enough for the program of a client.
    pub waits_for_close: bool,
    /// Whether the program has a process group of its own: a stop then reaches its children too, and
    /// the keys of a terminal only this process. Without one, it can read from the terminal.
    pub has_own_group: bool,
    /// On a datagram socket of a client, whose peer has no end: the time without a message after which
    /// the peer counts as ended, as that of a session does.
    pub peer_idle: Option<Duration>,
    /// The memory limit for bytes that a side of any connection did not take at once.
    pub memory: MemoryLimit,
    /// The frames in the pipes, if the socket keeps messages apart.
    pub format: MessageFormat,
}

/// How a program on a connection has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExecEnd {
    /// Its status.
    pub status: ExitStatus,
    /// Why the connection broke, if it did.
    pub fault: Option<Error>,
    /// Whether the peer closed the connection before the program had closed its output.
    pub was_left: bool,
    /// Whether the program had then written more than the connection had taken.
    pub lost_output: bool,
}

impl Exec {
    /// Runs `program` without arguments for each connection, until `stop`.
    #[must_use]
    pub fn new(program: impl Into<OsString>, stop: Stop) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            stop,
            grace: Limits::default().grace,
            waits_for_close: true,
            has_own_group: true,
            peer_idle: None,
            memory: MemoryLimit::default(),
            format: MessageFormat::default(),
        }
    }
}

/// During a requested stop, a client that has the whole reply and sends nothing for this time is
/// not waited for, and the program of a session has this time to end by itself.
const QUIET: Duration = Duration::from_millis(500);

impl Service for Exec {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        let ExecEnd { status, fault, .. } = self.run(stream, connection).await?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        match failure(status) {
            None => Ok(()),
            Some(cause) => Err(Error::because(
                "exec",
                self.shown(),
                ErrorKind::Other,
                cause,
            )),
        }
    }
}

impl Exec {
    /// Runs the program on a connection until both have ended.
    ///
    /// # Errors
    /// If the program cannot be started: [`ErrorKind::NoProgram`] or [`ErrorKind::CannotRun`] if that
    /// is its fault.
    pub async fn run(&self, stream: Stream, connection: &Arc<Connection>) -> Result<ExecEnd> {
        let local = match connection.proxied() {
            Some(proxied) => proxied.destination.clone(),
            None => stream.local_addr().map_err(|source| self.failed(source))?,
        };
        stream.reset_on_drop();
        if stream.keeps_messages() && self.format.framing == Framing::Chunk {
            let cause = "a pipe does not keep messages apart; choose a framing";
            let error = Error::because("exec", self.shown(), ErrorKind::Usage, cause);
            return Err(error);
        }
        let (mut child, mut awaited, input, output) = self.start(&local, connection)?;
        let pid = child.id();
        let mut group = ProcessGroup::of_program(pid, self.has_own_group);
        let mut transfer =
            PipeTransfer::new(&stream, Some(input), output, self.format, &self.memory);
        let passed = counting(connection);
        let (mut status, mut fault, mut finished) = (None, None, false);
        // A datagram socket has no peer that could close it: a session ends, and a client waits.
        let (has_end, is_session) = (stream.has_connection(), stream.ends_when_idle());
        let peer_idle = self.peer_idle.filter(|_| !has_end && !is_session);
        let mut silence = pin!(silence(connection, peer_idle));
        let (mut patience, mut is_stopping) = (None, false);
        let (mut was_left, mut lost_output) = (false, false);
        let status = loop {
            if let Some(status) = status
                && transfer.output_ended()
            {
                break status;
            }
            tokio::select! {
                event = transfer.next(passed), if fault.is_none() => match event {
                    PipeEvent::PeerEnded if !has_end && patience.is_none() => {
                        patience = Some(Instant::now() + self.grace);
                    }
                    PipeEvent::PeerEnded | PipeEvent::OutputEnded => {}
                    PipeEvent::Broken(operation, error) => fault = Some(broken(operation, connection, error)),
                },
                () = &mut silence, if !transfer.peer_ended() => {
                    transfer.end_input();
                    patience = Some(Instant::now() + self.grace);
                }
                () = sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() => {
                    patience = (!group.is_asked()).then(|| Instant::now() + self.grace);
                    match patience {
                        Some(_) => group.ask_to_end(),
                        None => {
                            group.signal(Signal::SIGKILL);
                            transfer.abandon();
                        }
                    }
                }
                gone = stream.peer_closed(), if has_end && transfer.peer_ended() && !transfer.output_ended() => {
                    lost_output = transfer.abandon();
                    was_left = true;
                    fault = gone.err().map(|error| broken("receive", connection, error));
                }
                ended = child.wait(), if status.is_none() => {
                    let ended = ended.map_err(|source| self.failed(source))?;
                    info!(connection = connection.id(), pid, status = %ended, "program ended");
                    status = Some(ended);
                    drop(awaited.take());
                    group.program_ended();
                }
                () = group.ended(), if status.is_some() && group.is_asked() && group.may_be_there() => {
                    group.leave();
                }
                () = self.stop.requested(), if !is_session && !group.is_asked() => group.ask_to_end(),
                // A stop ends the session: the program first answers what has arrived.
                () = self.stop.requested(), if is_session && !is_stopping => {
                    is_stopping = true;
                    patience = Some(Instant::now() + QUIET);
                }
            }
            if status.is_some() && transfer.output_ended() && !group.is_asked() {
                // The program's children may continue, as under a shell.
                group.leave();
            }
            let may_finish = match status {
                Some(status) => !was_killed(status),
                // A signal may end it: its status is available in a moment.
                None => !is_exiting(pid),
            };
            if transfer.output_ended() && fault.is_none() && may_finish && !finished {
                stream
                    .shutdown(Shutdown::Write)
                    .map_err(|error| broken("shutdown", connection, error))?;
                finished = true;
            }
        };
        if finished && has_end && !was_killed(status) {
            fault = match self.waits_for_close {
                true if transfer.peer_ended() => None,
                true => self.linger(&mut transfer, connection, passed).await,
                false => leave(&stream, &mut transfer, connection, passed).await,
            };
        }
        if !has_end && !is_session && fault.is_none() {
            fault = refusal(&stream).map(|error| broken("send", connection, error));
        }
        tokio::select! {
            () = group.ended() => {}
            // Its children may ignore the signal, and close their output.
            () = sleep(self.grace) => group.signal(Signal::SIGKILL),
        }
        group.leave();
        if fault.is_none() && !was_killed(status) {
            stream.close_on_drop();
        }
        Ok(ExecEnd {
            status,
            fault,
            was_left,
            lost_output,
        })
    }

    /// Starts the program, and returns the server's ends of its two pipes.
    fn start(
        &self,
        local: &Address,
        connection: &Connection,
    ) -> Result<(Child, Option<Awaited>, PipeWriter, PipeReader)> {
        let failed = |source| self.failed(source);
        let (input, its_input) = PipeWriter::open().map_err(failed)?;
        let (output, its_output) = PipeReader::open().map_err(failed)?;
        let mut command = Command::new(&self.program);
        for name in EXEC_NAMES {
            command.env_remove(name);
        }
        command
            .args(&self.arguments)
            .envs(exec_environment(local, connection.peer()))
            .stdin(its_input)
            .stdout(its_output);
        if self.has_own_group {
            // Ctrl-C on a terminal stops the server, which then stops the program.
            command.process_group(0);
        }
        // The command holds the program's ends; drop it to close them here.
        let (child, awaited) = spawn(&mut command).map_err(|source| self.not_started(source))?;
        Ok((child, awaited, input, output))
    }

    /// Receives and discards what the peer still sends, until it ends or its time is up.
    async fn linger(
        &self,
        transfer: &mut PipeTransfer<'_>,
        connection: &Connection,
        passed: impl FnMut(Passed),
    ) -> Option<Error> {
        let quiet = async {
            self.stop.requested().await;
            let mut before = None;
            while before != Some(connection.traffic()) {
                before = Some(connection.traffic());
                sleep(QUIET).await;
            }
        };
        tokio::select! {
            event = transfer.next(passed) => match event {
                PipeEvent::PeerEnded | PipeEvent::OutputEnded => None,
                PipeEvent::Broken(operation, error) => {
                    Some(broken(operation, connection, error))
                }
            },
            () = sleep(self.grace) => None,
            () = quiet => None,
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::new("exec", self.shown(), source).with_kind(ErrorKind::Other)
    }

    fn not_started(&self, source: io::Error) -> Error {
        use nix::Error as E;
        let kind = match source.raw_os_error().map(E::from_raw) {
            Some(E::ENOENT) => ErrorKind::NoProgram,
            Some(E::EAGAIN | E::ENOMEM | E::EMFILE | E::ENFILE) | None => ErrorKind::Other,
            Some(_) => ErrorKind::CannotRun,
        };
        self.failed(source).with_kind(kind)
    }

    fn shown(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }
}

/// Waits until the host of the peer has all output; discards what the peer sends, since unread bytes
/// would turn the end of the connection into a reset.
async fn leave(
    stream: &Stream,
    transfer: &mut PipeTransfer<'_>,
    connection: &Connection,
    passed: impl Fn(Passed) + Copy,
) -> Option<Error> {
    loop {
        tokio::select! {
            biased;
            delivered = stream.delivered() => match delivered {
                Ok(()) => break,
                Err(error) => return Some(broken("send", connection, error)),
            },
            event = transfer.next(passed) => if let PipeEvent::Broken(operation, error) = event {
                return Some(broken(operation, connection, error));
            },
        }
    }
    if let Err(error) = stream.shutdown(Shutdown::Both) {
        return Some(broken("shutdown", connection, error));
    }
    if !transfer.peer_ended() {
        // Now it can send nothing more.
        connection.count_received(stream.discard_rest(&mut [0; 4096]));
    }
    None
}

/// The refusal of a datagram that was sent last, if there was one.
fn refusal(stream: &Stream) -> Option<io::Error> {
    let refused = stream.try_receive(&mut [0]).err()?;
    (refused.kind() == io::ErrorKind::ConnectionRefused).then_some(refused)
}

/// Ends when nothing has passed for `limit`; never without a limit.
async fn silence(connection: &Connection, limit: Option<Duration>) {
    let passed = || {
        let traffic = connection.traffic();
        traffic.received + traffic.sent
    };
    let _ = unless_idle(pending::<()>(), || limit, passed).await;
}

/// The error for the program's exit status, if it is a failure.
fn failure(status: ExitStatus) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("the program exited with status {code}")),
        (None, Some(signal)) => Some(format!("the program was killed by signal {signal}")),
        (None, None) => Some("the program ended in an unknown way".to_owned()),
    }
}

/// Whether a signal ended the program.
fn was_killed(status: ExitStatus) -> bool {
    status.signal().is_some()
}
