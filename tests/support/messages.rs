//! Raw peers that keep messages apart: sequenced packets and datagrams, independent of the library.
//!
//! Each of their calls has a time limit, as in `raw.rs`.

use std::io::{self, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, UnixAddr, UnixCredentials, recvmsg};
use socket2::{SockAddr, Socket, Type};

use super::Place;
use super::place::Nobody;
use super::raw::{bound, encode, limited, name_of, open};

/// The largest message that a raw peer takes.
const LARGEST: usize = 1 << 20;

/// A socket that clients send messages to: it listens, or is only bound.
#[derive(Debug)]
pub(crate) struct RawMessageListener {
    socket: Socket,
    address: String,
}

/// One end of a conversation in messages.
#[derive(Debug)]
pub(crate) struct RawMessages {
    socket: Socket,
    /// The peer of a bound datagram socket; a connected socket has one in the kernel.
    peer: Option<SockAddr>,
}

impl RawMessageListener {
    /// Takes messages on a fresh address of `place`.
    pub(crate) fn bind(place: &Place) -> Self {
        Self::at(&place.word())
    }

    /// Takes messages on a free address.
    pub(crate) fn of(nobody: Nobody) -> Self {
        // Both sockets reuse the address, so that the port is never free in between.
        Self::at(&nobody.address)
    }

    /// Takes messages on an address in full form.
    pub(crate) fn at(word: &str) -> Self {
        let socket = bound(word);
        if has_connection(&socket) {
            tell_the_end(&socket);
            socket.listen(128).unwrap();
        }
        let address = match encode(word).as_socket() {
            Some(_) => name_of(&socket),
            None => word.to_owned(),
        };
        Self { socket, address }
    }

    /// The address to send to.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The socket, for its options.
    pub(crate) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The next client: the one that connects, or the sender of the first datagram that waits, which
    /// is still to be received.
    pub(crate) fn accept(&self) -> RawMessages {
        if has_connection(&self.socket) {
            let (socket, _) = self.socket.accept().expect("a client connects");
            let socket = limited(socket);
            return RawMessages { socket, peer: None };
        }
        let peer = self.socket.peek_sender().expect("a client sends");
        RawMessages {
            socket: self.socket.try_clone().unwrap(),
            peer: Some(peer),
        }
    }
}

impl RawMessages {
    /// Connects to an address in full form; a datagram socket of AF_UNIX gets a name, so that the
    /// peer can answer.
    pub(crate) fn connect(address: &str) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("connect {address}: {error}"))
    }

    pub(crate) fn try_connect(address: &str) -> io::Result<Self> {
        let socket = open(address);
        if !has_connection(&socket) && encode(address).is_unix() {
            nix::sys::socket::bind(socket.as_raw_fd(), &UnixAddr::new_unnamed())?;
        }
        Self::connected(socket, address)
    }

    /// The same from a socket without a name: on AF_UNIX, nobody can answer it.
    pub(crate) fn connect_unnamed(address: &str) -> Self {
        let connected = Self::connected(open(address), address);
        connected.unwrap_or_else(|error| panic!("connect {address}: {error}"))
    }

    /// The same from a socket bound to `own`.
    pub(crate) fn connect_from(own: &str, address: &str) -> Self {
        let connected = Self::connected(bound(own), address);
        connected.unwrap_or_else(|error| panic!("connect {own} to {address}: {error}"))
    }

    fn connected(socket: Socket, address: &str) -> io::Result<Self> {
        if has_connection(&socket) {
            tell_the_end(&socket);
        }
        socket.connect(&encode(address))?;
        Ok(Self { socket, peer: None })
    }

    /// The kernel's form of an address.
    pub(crate) fn name(address: &str) -> SockAddr {
        encode(address)
    }

    /// The socket, for its options.
    pub(crate) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The name of the peer.
    pub(crate) fn peer(&self) -> SockAddr {
        let connected = || self.socket.peer_addr().unwrap();
        self.peer.clone().unwrap_or_else(connected)
    }

    /// Sends one message.
    pub(crate) fn send(&self, message: &[u8]) {
        self.try_send(message).expect("the peer takes the message");
    }

    pub(crate) fn try_send(&self, message: &[u8]) -> io::Result<()> {
        let sent = match &self.peer {
            Some(peer) => self.socket.send_to(message, peer),
            None => self.socket.send(message),
        }?;
        assert_eq!(sent, message.len(), "the kernel takes a message whole");
        Ok(())
    }

    /// The next message.
    pub(crate) fn receive(&self) -> Vec<u8> {
        let received = self.try_receive().expect("a message comes");
        received.expect("a message comes, not the end")
    }

    /// The next message, `None` at the end of the connection, or the error.
    pub(crate) fn try_receive(&self) -> io::Result<Option<Vec<u8>>> {
        if let Some(peer) = &self.peer {
            let sender = self.socket.peek_sender()?;
            assert_eq!(&sender, peer, "the next message is of another peer");
        }
        let mut bytes = vec![0; LARGEST];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut control = nix::cmsg_space!(UnixCredentials);
        let descriptor = self.socket.as_raw_fd();
        let received = recvmsg::<()>(
            descriptor,
            &mut parts,
            Some(&mut control),
            MsgFlags::empty(),
        )?;
        assert!(
            !received.flags.contains(MsgFlags::MSG_TRUNC),
            "a message has more than {LARGEST} bytes"
        );
        let count = received.bytes;
        // An empty message has the credentials of its sender, the end has none: see `tell_the_end`.
        let is_end =
            count == 0 && has_connection(&self.socket) && received.cmsgs()?.next().is_none();
        bytes.truncate(count);
        Ok((!is_end).then_some(bytes))
    }

    /// Whether the peer has ended its messages; panics if it sends another one.
    pub(crate) fn assert_end(&self) {
        let more = self.try_receive().expect("the peer ends well");
        assert_eq!(more, None, "the end comes");
    }

    /// Half-closes the connection.
    pub(crate) fn finish(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// The same conversation, for another thread.
    pub(crate) fn twin(&self) -> Self {
        Self {
            socket: self.socket.try_clone().unwrap(),
            peer: self.peer.clone(),
        }
    }
}

fn has_connection(socket: &Socket) -> bool {
    socket.r#type().unwrap() != Type::DGRAM
}

/// Makes the end of the connection differ from an empty message: both are receives of 0 bytes.
fn tell_the_end(socket: &Socket) {
    socket.set_passcred(true).unwrap();
}
