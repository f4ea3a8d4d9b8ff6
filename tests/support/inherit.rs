//! Sockets that the program under test inherits.

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread::{self, JoinHandle};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::UnixAddr;
use socket2::Socket;

use super::Place;
use super::raw::{bound, encode, limited, name_of, open};

/// A socket that the test has made, and passes to the program: both have the same one.
#[derive(Debug)]
pub(crate) struct Passed {
    socket: Socket,
    address: String,
}

impl Passed {
    /// A socket that clients of `place` reach: it listens, or is bound.
    pub(crate) fn listening(place: &Place) -> Self {
        let word = place.word();
        let socket = bound(&word);
        if place.has_connection() {
            socket.listen(128).unwrap();
        }
        let address = match place.is_network() {
            true => name_of(&socket),
            false => word,
        };
        Self { socket, address }
    }

    /// A socket that is connected to `address`, and that can be answered.
    pub(crate) fn connected(place: &Place, address: &str) -> Self {
        let socket = open(address);
        if !place.has_connection() && !place.is_network() {
            nix::sys::socket::bind(socket.as_raw_fd(), &UnixAddr::new_unnamed()).unwrap();
        }
        socket.connect(&encode(address)).unwrap();
        let address = address.to_owned();
        Self { socket, address }
    }

    /// The next client of a listening socket.
    pub(crate) fn accepted(&self) -> Self {
        let (socket, _) = self.socket.accept().unwrap();
        let address = self.address.clone();
        Self { socket, address }
    }

    /// Accepts on a thread, and sends what each client sends back, until the socket listens no more;
    /// returns the number of clients. In blocking mode, it waits in accept(2).
    pub(crate) fn answer_on_a_thread(&self) -> JoinHandle<usize> {
        let socket = self.socket.try_clone().unwrap();
        thread::spawn(move || {
            let mut count = 0;
            loop {
                match socket.accept() {
                    Ok((client, _)) => {
                        let client = limited(client);
                        let mut bytes = [MaybeUninit::uninit(); 16];
                        let length = client.recv(&mut bytes).unwrap();
                        client.send(&vec![b'x'; length]).unwrap();
                        count += 1;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
                        poll(&mut polled, PollTimeout::NONE).unwrap();
                        let events = polled[0].revents().unwrap();
                        if events.contains(PollFlags::POLLHUP) {
                            return count;
                        }
                    }
                    Err(_) => return count,
                }
            }
        })
    }

    /// Has each accept(2) of it fail from now on.
    pub(crate) fn stop_listening(&self) {
        self.socket.shutdown(Shutdown::Both).unwrap();
    }

    /// The same socket, in non-blocking mode if `polled`.
    pub(crate) fn polled(self, polled: bool) -> Self {
        self.socket.set_nonblocking(polled).unwrap();
        self
    }

    /// Whether it is in non-blocking mode now.
    pub(crate) fn is_polled(&self) -> bool {
        let flags = fcntl(&self.socket, FcntlArg::F_GETFL).unwrap();
        OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
    }

    /// The address that clients connect to, or that it is connected to.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The socket, for its options.
    pub(crate) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Its descriptor, to be inherited.
    pub(crate) fn descriptor(&self) -> OwnedFd {
        self.socket.try_clone().unwrap().into()
    }

    /// The descriptor alone: this process keeps no other one.
    pub(crate) fn given_away(self) -> OwnedFd {
        self.socket.into()
    }
}
