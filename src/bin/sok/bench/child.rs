//! The server measured by default, in a separate process.

use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sok::address::Address;
use sok::error::{Error, ErrorKind, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStderr;

use super::plan::ServerEnd;

/// A child process that serves; it is stopped on drop.
///
/// Its standard input is a pipe from this process, so that it gets end of file even if this process
/// is killed.
#[derive(Debug)]
pub(crate) struct OwnServer {
    child: Ending,
    address: Address,
}

/// A child that is killed on drop.
#[derive(Debug)]
struct Ending(Child);

impl OwnServer {
    /// Starts `command`, which prints `listening on ADDRESS` on its standard error once clients can
    /// connect, and ends at the end of its standard input.
    ///
    /// # Errors
    /// The reason why it does not listen.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub(crate) async fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(Stdio::piped());
        let failed = |error| Error::new("start", "the server to measure", error);
        let mut child = Ending(command.spawn().map_err(failed)?);
        let mut said = String::new();
        let read = match child.0.stderr.take().map(ChildStderr::from_std) {
            Some(Ok(talk)) => BufReader::new(talk).read_line(&mut said).await,
            Some(Err(error)) => Err(error),
            None => Ok(0),
        };
        let line = said.trim_end();
        let address = match (read, line.strip_prefix("listening on ")) {
            (Ok(_), Some(word)) => word.parse(),
            (Err(error), _) => Err(failed(error)),
            (Ok(_), None) => {
                let cause = line.strip_prefix("sok: ").unwrap_or(line);
                let address = "the server to measure";
                Err(Error::because("start", address, ErrorKind::Other, cause))
            }
        };
        Ok(Self {
            address: address?,
            child,
        })
    }

    /// Its address and process.
    #[must_use]
    pub(crate) fn end(&self) -> ServerEnd {
        ServerEnd {
            address: self.address.clone(),
            own: Some(self.child.0.id()),
        }
    }
}

impl Drop for Ending {
    /// Lets it end by itself, since it has a socket file to remove.
    fn drop(&mut self) {
        let child = &mut self.0;
        drop(child.stdin.take());
        if let Ok(pid) = i32::try_from(child.id()) {
            // It may have ended already; its pid stays reserved until it is waited for.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_server_times_out() {
        let mut command = Command::new("sleep");
        command.arg("300");
        tokio::select! {
            biased;
            _ = OwnServer::start(command) => panic!("it prints nothing"),
            () = std::future::ready(()) => {}
        }
    }
}
