//! Blocking connections: one system call per operation, no event loop.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::call_trace::CallTrace;
use super::family::{self, ConnectFault};
use super::faults::no_answer;
use super::options::ConnectOptions;
use super::received::Received;
use super::sockaddr::encode;
use super::socket::Socket;
use crate::address::Address;
use crate::error::{ErrorKind, Result};

impl Socket {
    /// Connects to `address` in blocking mode, see `connect(2)`. Later calls fail with `WouldBlock`
    /// after `limit`.
    ///
    /// # Errors
    /// As [`Stream::connect`](super::Stream::connect); [`ErrorKind::TimedOut`] after `limit`.
    pub fn connect_blocking(address: &Address, limit: Duration) -> Result<Self> {
        let failed = |source: io::Error| family::connect_error(address, source);
        // Keeps the system's congestion control on loopback too, to measure its cost.
        let socket = Self::open(address.family(), address.socket_type()).map_err(failed)?;
        let name = encode(address).map_err(failed)?;
        if !address.socket_type().has_connection() {
            let options = ConnectOptions::default();
            let family = family::of(address.family());
            let prepared = family.prepare_client(socket.inner(), address, &options);
            prepared.map_err(failed)?;
        }
        socket.set_blocking_within(limit).map_err(failed)?;
        let watch = CallTrace::start(address.family(), "connect");
        let connected = socket.connect(&name.name);
        let descriptor = socket.as_raw_fd();
        watch.done(
            &connected,
            || format!("{descriptor}, {address}"),
            |()| "0".to_owned(),
        );
        match connected {
            Ok(()) => family::of(address.family())
                .connected(socket.inner(), address)
                .map_err(failed)?,
            // A blocking connect that times out fails with the errors of a non-blocking one.
            Err(error) => match family::connect_fault(address.family(), &error) {
                ConnectFault::InProgress => return Err(no_answer(address, false)),
                ConnectFault::BacklogFull => return Err(no_answer(address, true)),
                ConnectFault::Failed if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(failed(error).with_kind(ErrorKind::TimedOut));
                }
                ConnectFault::Failed => return Err(failed(error)),
            },
        }
        Ok(socket)
    }

    /// Sets blocking mode; calls fail with `WouldBlock` after `limit`.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn set_blocking_within(&self, limit: Duration) -> io::Result<()> {
        self.set_blocking()?;
        self.inner().set_read_timeout(Some(limit))?;
        self.inner().set_write_timeout(Some(limit))
    }

    /// Receives one message of a socket that keeps them apart, see `recv(2)`.
    ///
    /// # Errors
    /// What the kernel reports, and `InvalidData` for a message that does not fit into `buffer`.
    pub fn receive_message(&self, buffer: &mut [u8]) -> io::Result<Received> {
        self.receive(buffer, None).map(|(received, _)| received)
    }

    /// Sends one message, which may be empty, or some bytes of a stream.
    ///
    /// # Errors
    /// What `send(2)` reports: `EMSGSIZE` for a message that the kernel does not take.
    pub fn send_message(&self, message: &[u8]) -> io::Result<usize> {
        self.send(message)
    }

    /// Whether each receive returns one message, and each send sends one.
    #[must_use]
    pub const fn keeps_messages(&self) -> bool {
        self.socket_type().keeps_messages()
    }

    /// The size of the largest message that it sends; a stream has none.
    ///
    /// # Errors
    /// What `getsockopt(2)` reports.
    pub fn longest_message(&self) -> io::Result<Option<usize>> {
        match self.keeps_messages() {
            true => family::of(self.family())
                .longest_sent(self.inner())
                .map(Some),
            false => Ok(None),
        }
    }

    /// Sets non-blocking mode: calls fail with `WouldBlock` instead of waiting.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn set_polled(&self) -> io::Result<()> {
        self.inner().set_nonblocking(true)
    }

    /// Makes close send a reset, which leaves no `TIME_WAIT`; see `SO_LINGER` in `socket(7)`. On
    /// families without a reset, a normal close.
    pub fn reset_when_closed(&self) {
        self.set_resets(true);
    }

    /// Whether small sends wait for an acknowledgement of earlier ones (Nagle), see `tcp(7)`.
    ///
    /// # Errors
    /// What `getsockopt(2)` reports.
    pub fn delays_small_sends(&self) -> io::Result<bool> {
        family::of(self.family()).delays_small_sends(self.inner())
    }
}
