//! The server that is measured where none is given, as a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::plan::ServerEnd;
use crate::address::Address;
use crate::error::{Error, Kind, Result};
use crate::net::Socket;

/// A child process that serves; it is ended when this value is dropped.
///
/// Its standard input is a pipe of ours, so that it sees its end also when this process is killed.
#[derive(Debug)]
pub struct OwnServer {
    child: Child,
    address: Address,
}

impl OwnServer {
    /// Starts `command`, which says `listening on ADDRESS` on its standard error once clients can
    /// connect, and ends when its standard input does.
    ///
    /// # Errors
    /// What kept it from listening.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(Stdio::piped());
        let failed = |error| Error::new("start", "the server to be measured", error);
        let mut child = command.spawn().map_err(failed)?;
        let mut said = String::new();
        let read = match child.stderr.take() {
            Some(talk) => BufReader::new(talk).read_line(&mut said),
            None => Ok(0),
        };
        let line = said.trim_end();
        let address = match (read, line.strip_prefix("listening on ")) {
            (Ok(_), Some(word)) => word.parse(),
            (Err(error), _) => Err(failed(error)),
            (Ok(_), None) => {
                let cause = line.strip_prefix("sok: ").unwrap_or(line);
                let address = "the server to be measured";
                Err(Error::because("start", address, Kind::Other, cause))
            }
        };
        match address {
            Ok(address) => Ok(Self { child, address }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// The same server, once a connection to it was made.
    ///
    /// # Errors
    /// As [`Socket::connect_blocking`].
    pub fn reached_within(self, limit: Duration) -> Result<Self> {
        Socket::connect_blocking(&self.address, limit)?;
        Ok(self)
    }

    /// Where and what it is.
    #[must_use]
    pub fn end(&self) -> ServerEnd {
        ServerEnd {
            address: self.address.clone(),
            own: Some(self.child.id()),
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Lets a child end by itself, as it has a socket file to remove.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    if let Ok(pid) = i32::try_from(child.id()) {
        // It may have ended already; its pid is ours until it is waited for.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    let _ = child.wait();
}
