//! A client of any form of address that says one thing and expects to hear it, or to be refused.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::UnixAddr;
use socket2::{Socket, Type};

use super::raw::{bound, encode, open};
use super::{RawStream, Server, sok};

/// Asks the server at `address` with the program, and checks the reply.
pub(crate) fn assert_answers(address: &str, message: &str, reply: &str) {
    let done = sok(&["call", address, message]);
    assert_eq!(done.text(), format!("{reply}\n"), "{}", done.stderr);
}

/// Checks that a server of streams at `address` sends back what a client sends.
pub(crate) fn assert_echoes(address: &str) {
    let reply = RawStream::connect(address).exchange(b"hello");
    assert_eq!(reply, b"hello", "{address}");
}

/// A client of an echo server.
#[derive(Debug)]
pub(crate) struct Client {
    /// The error if it was refused at once.
    socket: io::Result<Socket>,
    is_datagram: bool,
}

impl Client {
    /// Connects to an address in full form.
    pub(crate) fn connect(address: &str) -> Self {
        let socket = open(address);
        if encode(address).is_unix() && socket.r#type().unwrap() == Type::DGRAM {
            nix::sys::socket::bind(socket.as_raw_fd(), &UnixAddr::new_unnamed()).unwrap();
        }
        Self::of(socket, address)
    }

    /// The same from the address `own`.
    pub(crate) fn connect_from(own: &str, address: &str) -> Self {
        Self::of(bound(own), address)
    }

    fn of(socket: Socket, address: &str) -> Self {
        let is_datagram = socket.r#type().unwrap() == Type::DGRAM;
        let socket = match socket.connect(&encode(address)) {
            Ok(()) => Ok(socket),
            Err(error) => {
                assert!(RawStream::is_broken(&error), "connect {address}: {error}");
                Err(error)
            }
        };
        Self {
            socket,
            is_datagram,
        }
    }

    /// The address of this end, as the program prints it after the prefix.
    pub(crate) fn socket(&self) -> &Socket {
        self.socket.as_ref().expect("it is connected")
    }

    /// Sends `message`; a refused client may not be able to.
    pub(crate) fn send(&self, message: &[u8]) -> io::Result<usize> {
        self.socket()
            .send_with_flags(message, nix::libc::MSG_NOSIGNAL)
    }

    /// Sends `message` and expects it back.
    pub(crate) fn assert_echoed(&self, message: &[u8]) {
        self.send(message).expect("the server takes it");
        let mut reply = vec![0; message.len() + 1];
        let count = io::Read::read(&mut self.socket(), &mut reply).expect("a reply comes");
        assert_eq!(&reply[..count], message);
    }

    /// Expects the end of the connection without a byte, as an error; a datagram is only sent.
    pub(crate) fn assert_refused(&self) {
        if self.is_datagram {
            self.send(b"hello").expect("a datagram is sent");
            return;
        }
        let Ok(mut socket) = self.socket.as_ref() else {
            return;
        };
        let sent = self.send(b"hello");
        let received = sent.and_then(|_| io::Read::read(&mut socket, &mut [0]));
        let error = received.expect_err("it is refused");
        assert!(RawStream::is_broken(&error), "{error}");
    }

    /// Whether `server` serves it, where its log has told of `refused` clients before.
    pub(crate) fn is_served(&self, server: &Server, refused: usize) -> bool {
        if self.socket.is_err() || self.send(b"hello").is_err() {
            return false;
        }
        if !self.is_datagram {
            let mut reply = [0; 8];
            return match io::Read::read(&mut self.socket(), &mut reply) {
                Ok(count) => &reply[..count] == b"hello",
                Err(error) => {
                    assert!(RawStream::is_broken(&error), "{error}");
                    false
                }
            };
        }
        // Nothing tells a sender of datagrams that it is refused.
        let decided = |log: &str| {
            log.matches(" connected ").count() > 0 || log.matches(" refused ").count() > refused
        };
        let log = server.stderr().wait_until("a decision", decided);
        let is_refused = log.matches(" refused ").count() > refused;
        if !is_refused {
            let mut reply = [0; 8];
            let count = io::Read::read(&mut self.socket(), &mut reply).expect("a reply comes");
            assert_eq!(&reply[..count], b"hello");
        }
        !is_refused
    }
}
