//! Runs a program for each connection, with the socket as its standard input and output.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;
use tracing::info;

use crate::error::{Error, Kind, Result};
use crate::loops::{Connection, Service, Stop};
use crate::net::{EXEC_NAMES, Stream, exec_environment};

/// Runs a program for each connection. It sees the end when the client ends, and may still answer.
/// Its own end is the client's, and a reset if a signal ended it: what it said may not be all.
///
/// A requested stop sends SIGTERM to the program and its children, and SIGKILL when the grace is
/// over. Its environment is described at [`exec_environment`]; a variable of such a name that we
/// were started with is not passed on.
#[derive(Debug, Clone)]
pub struct Exec {
    /// The program, which is looked up in `PATH`.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What stops it.
    pub stop: Stop,
}

impl Service for Exec {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        let failed = |source| Error::new("exec", self.shown(), source).with_kind(Kind::Other);
        let local = stream.local().map_err(failed)?;
        connection.leave_uncounted();
        stream.reset_unless_done();
        let has_reset = stream.family().facts().has_reset;
        let (socket, _) = stream.into_blocking().map_err(failed)?;
        let end = || socket.to_descriptor().map(Stdio::from).map_err(failed);
        let mut command = Command::new(&self.program);
        for name in EXEC_NAMES {
            command.env_remove(name);
        }
        command
            .args(&self.arguments)
            .envs(exec_environment(&local, connection.peer()))
            .stdin(end()?)
            .stdout(end()?)
            // A group of its own: a terminal's Ctrl-C asks us to stop, and we ask the program.
            .process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        // The client must see the end when the program ends: the command has descriptors of it too.
        // Ours is kept until then where it can make that end a reset.
        drop(command);
        let socket = has_reset.then_some(socket);
        let pid = child.id();
        let group = Group::of(pid);
        let (status, stopped) = tokio::select! {
            status = child.wait() => (status, false),
            () = self.stop.requested() => {
                group.signal(Signal::SIGTERM);
                (child.wait().await, true)
            }
        };
        let status = status.map_err(failed)?;
        if let Some(socket) = socket {
            socket.set_resets(status.signal().is_some());
        }
        info!(connection = connection.id(), pid, %status, "program ended");
        if stopped {
            group.ended().await;
        }
        group.done();
        match failure(status) {
            None => Ok(()),
            Some(cause) => Err(Error::because("exec", self.shown(), Kind::Other, cause)),
        }
    }
}

impl Exec {
    fn shown(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }
}

/// Why a program's end is a failure, if it is one.
fn failure(status: ExitStatus) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("the program ended with status {code}")),
        (None, Some(signal)) => Some(format!("the program was ended by signal {signal}")),
        (None, None) => Some("the program ended in an unknown way".to_owned()),
    }
}

/// How often a group that was asked to end is looked at.
const GROUP_PAUSE: Duration = Duration::from_millis(20);

/// The process group of a running program, which is killed when this value is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(pid: Option<u32>) -> Self {
        Self(
            pid.and_then(|pid| i32::try_from(pid).ok())
                .map(Pid::from_raw),
        )
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // A group that has ended needs no signal.
            let _ = killpg(group, signal);
        }
    }

    /// Waits until the last process of it has ended, which nothing tells of.
    async fn ended(&self) {
        while self.0.is_some_and(|group| killpg(group, None).is_ok()) {
            tokio::time::sleep(GROUP_PAUSE).await;
        }
    }

    /// The program has ended: its children may go on, as they do under a shell.
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::{EXEC_NAMES, exec_environment};
    use crate::address::Address;
    use crate::net::{Credentials, Peer};

    #[test]
    fn every_name_that_is_set_is_removed_before() {
        for word in ["inet:127.0.0.1:1", "inet6:[::1]:1", "unix:/s", "unix:@s"] {
            let address: Address = word.parse().unwrap();
            let credentials = Some(Credentials {
                pid: 1,
                uid: 1,
                gid: 1,
            });
            let peer = Peer {
                address: address.clone(),
                credentials,
            };
            for (name, _) in exec_environment(&address, &peer) {
                assert!(EXEC_NAMES.contains(&name), "{name}");
            }
        }
    }
}
