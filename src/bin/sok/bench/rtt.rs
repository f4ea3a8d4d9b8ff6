//! Round trips: a message and its echo, repeated on one connection.

use std::hint::spin_loop;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sok::address::Address;
use sok::error::{Error, ErrorKind, Result};
use sok::net::{Received, Socket};

use super::plan::{BenchPlan, Measure};
use super::server::filled;

/// How an end waits for data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// In the receive call.
    Block,
    /// In `poll(2)`, for sending and receiving at once.
    Both,
    /// Not at all: it retries.
    Spin,
}

/// For a larger message, a server that echoes piece by piece and the client could each wait for the
/// other to receive: buffers need not hold more.
const BLOCKING_MAX: usize = 64 * 1024;

/// Datagrams may be lost. A reply that does not come within this share of the time limit is, and so
/// many lost in a row are a server that does not reply.
const LOST_IN_A_ROW: u32 = 5;

/// The number of attempts between two looks at the clock.
const SPINS: u32 = 4096;

/// One connection to an echo server.
#[derive(Debug)]
pub(super) struct Trip<'a> {
    address: &'a Address,
    socket: Socket,
    waiting: Waiting,
    /// The time limit for a reply.
    limit: Duration,
    /// The time limit of the plan.
    timeout: Duration,
    /// The replies that did not come, and those since the last one.
    lost: u32,
    silent: u32,
    handshake: Duration,
    number: u64,
    message: Vec<u8>,
    // One byte more than the message has.
    reply: Vec<u8>,
}

impl<'a> Trip<'a> {
    /// Connects; on drop, the connection is reset.
    ///
    /// After a complete exchange, a reset destroys no data, and leaves no `TIME_WAIT` at either
    /// end: a run of many connections does not run out of ports.
    pub(super) fn connect(
        address: &'a Address,
        plan: &BenchPlan,
        measure: Measure,
    ) -> Result<Self> {
        let size = plan.size_of(measure);
        let limit = match address.socket_type().has_connection() {
            true => plan.timeout,
            false => plan.timeout / LOST_IN_A_ROW,
        };
        let began = Instant::now();
        let socket = Socket::connect_blocking(address, limit)?;
        let handshake = began.elapsed();
        socket.reset_when_closed();
        let waiting = match (plan.polls(measure), size > BLOCKING_MAX) {
            (true, _) => Waiting::Spin,
            (false, true) => Waiting::Both,
            (false, false) => Waiting::Block,
        };
        if waiting != Waiting::Block {
            let polled = socket.set_polled();
            polled.map_err(|error| Error::new("connect", address, error))?;
        }
        let failed = |error| Error::new("connect", address, error);
        Ok(Self {
            address,
            socket,
            waiting,
            limit,
            timeout: plan.timeout,
            lost: 0,
            silent: 0,
            handshake,
            number: 0,
            message: filled(size, b'.').map_err(failed)?,
            reply: filled(size + 1, 0).map_err(failed)?,
        })
    }

    /// Whether this end waits for an acknowledgement before it sends a small piece.
    pub(super) fn delays_small_sends(&self) -> bool {
        self.socket.delays_small_sends().unwrap_or(false)
    }

    /// The time of the handshake: the network round trip, without the server.
    pub(super) const fn handshake(&self) -> Duration {
        self.handshake
    }

    /// Sends one message, different from the previous one, and receives its echo; `None` if a
    /// datagram was lost.
    pub(super) fn exchange(&mut self) -> Result<Option<()>> {
        self.number += 1;
        let number = self.number.to_le_bytes();
        let stamped = self.message.len().min(number.len());
        self.message[..stamped].copy_from_slice(&number[..stamped]);
        match self.socket.keeps_messages() {
            true => self.exchange_message(),
            false => self.exchange_bytes().map(Some),
        }
    }

    fn exchange_message(&mut self) -> Result<Option<()>> {
        let mut sent = false;
        let mut idle = Idle::default();
        loop {
            let passed = match sent {
                false => self.socket.send_message(&self.message).map(|_| None),
                true => self.socket.receive_message(&mut self.reply).map(Some),
            };
            match passed {
                Ok(None) => sent = true,
                Ok(Some(Received::End)) => return Err(self.ended(0)),
                Ok(Some(received)) if self.reply[..received.count()] == self.message[..] => {
                    self.silent = 0;
                    return Ok(Some(()));
                }
                // The reply to one that counts as lost.
                Ok(Some(_)) if self.lost > 0 => {}
                Ok(Some(received)) => return Err(self.no_echo(received.count())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.wait(&mut idle, !sent)? {
                        return self.is_lost();
                    }
                }
                // It is larger than the buffer.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(self.no_echo(self.reply.len()));
                }
                Err(error) => {
                    let operation = if sent { "receive" } else { "send" };
                    return Err(self.broken(operation, error, 0));
                }
            }
        }
    }

    /// No reply came in time.
    fn is_lost(&mut self) -> Result<Option<()>> {
        self.lost += 1;
        self.silent += 1;
        let has_connection = self.address.socket_type().has_connection();
        match has_connection || self.silent == LOST_IN_A_ROW {
            true => Err(self.late(0)),
            false => Ok(None),
        }
    }

    fn exchange_bytes(&mut self) -> Result<()> {
        let size = self.message.len();
        // Asking for more than the message makes the kernel look again. The first receive does so
        // to detect a longer reply; later, extra bytes do not match the next message.
        let room = size + usize::from(self.number == 1);
        let (mut sent, mut received) = (0, 0);
        let mut idle = Idle::default();
        while received < size {
            if sent < size {
                match (&self.socket).write(&self.message[sent..]) {
                    Ok(count) => sent += count,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                        return Err(self.broken("send", error, received));
                    }
                    // It has waited for its time limit.
                    Err(_) if self.waiting == Waiting::Block => return Err(self.late(received)),
                    Err(_) => {}
                }
                if self.waiting == Waiting::Block && sent < size {
                    continue;
                }
            }
            match (&self.socket).read(&mut self.reply[received..room]) {
                Ok(0) => return Err(self.ended(received)),
                Ok(count) => {
                    let end = received + count;
                    if self.message.get(received..end) != Some(&self.reply[received..end]) {
                        return Err(self.no_echo(end));
                    }
                    received = end;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.wait(&mut idle, sent < size)? {
                        return Err(self.late(received));
                    }
                }
                Err(error) => return Err(self.broken("receive", error, received)),
            }
        }
        Ok(())
    }

    /// Waits for buffer space or for data; returns `false` at the time limit.
    fn wait(&self, idle: &mut Idle, sending: bool) -> Result<bool> {
        match self.waiting {
            Waiting::Block => Ok(false),
            Waiting::Spin => {
                spin_loop();
                Ok(idle.spins_on(self.limit))
            }
            Waiting::Both => {
                let mut wanted = PollFlags::POLLIN;
                wanted.set(PollFlags::POLLOUT, sending);
                let limit = PollTimeout::try_from(self.limit).unwrap_or(PollTimeout::MAX);
                let ready = poll(&mut [PollFd::new(self.socket.as_fd(), wanted)], limit);
                let ready = ready.map_err(|error| Error::new("poll", self.address, error))?;
                Ok(ready > 0)
            }
        }
    }

    fn broken(&self, operation: &'static str, error: io::Error, received: usize) -> Error {
        let error = Error::new(operation, self.address, error);
        match (error.kind(), received) {
            (ErrorKind::Broken, 0) => error.with_hint("the server closed the connection"),
            _ => error,
        }
    }

    fn ended(&self, received: usize) -> Error {
        let size = self.message.len();
        let cause = format!("the server closed the connection after {received} of {size} bytes");
        Error::because("receive", self.address, ErrorKind::Broken, cause)
    }

    fn no_echo(&self, received: usize) -> Error {
        let size = self.message.len();
        let cause = if received > size && self.reply.starts_with(&self.message) {
            format!(
                "the reply is longer than the {size} bytes of the message: this is not an echo server"
            )
        } else {
            "the reply differs from the message: this is not an echo server".to_owned()
        };
        Error::because("receive", self.address, ErrorKind::Other, cause).with_hint(ECHO)
    }

    fn late(&self, received: usize) -> Error {
        let (size, limit) = (self.message.len(), self.timeout);
        let cause = format!("only {received} of {size} bytes came back within {limit:?}");
        Error::because("receive", self.address, ErrorKind::TimedOut, cause).with_hint(ECHO)
    }
}

/// The error for a server that replies to no message, each of which counts as lost.
pub(super) fn no_reply(address: &Address, plan: &BenchPlan, measure: Measure) -> Error {
    let (size, limit) = (plan.size_of(measure), plan.timeout / LOST_IN_A_ROW);
    let cause = format!("only 0 of {size} bytes came back within {limit:?}");
    Error::because("receive", address, ErrorKind::TimedOut, cause).with_hint(ECHO)
}

const ECHO: &str = "measure an echo server, such as 'sok serve ADDRESS --echo'";

/// The time without any data.
#[derive(Default)]
struct Idle {
    spins: u32,
    since: Option<Instant>,
}

impl Idle {
    /// Counts a failed attempt; returns whether there is time for more. It reads the clock only
    /// sometimes.
    fn spins_on(&mut self, limit: Duration) -> bool {
        self.spins += 1;
        if !self.spins.is_multiple_of(SPINS) {
            return true;
        }
        self.since.get_or_insert_with(Instant::now).elapsed() < limit
    }
}
