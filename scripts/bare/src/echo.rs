//! The bare epoll echo loop: one thread, one buffer, level-triggered.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, SockaddrStorage, recvfrom, sendto};
use socket2::Socket;

use crate::{Result, address};

const BUFFER: usize = 64 * 1024;
const EVENTS: usize = 1024;

struct Connection {
    socket: Socket,
    unsent: Vec<u8>,
}

pub fn echo(text: &str) -> Result<()> {
    if address::is_datagram(text)? {
        return echo_datagrams(text);
    }
    address::raise_descriptor_limit()?;
    let listener = address::listen(text)?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let accepts = listener.as_raw_fd();
    epoll.add(&listener, interest(EpollFlags::EPOLLIN, accepts))?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = vec![0; BUFFER];
    let mut events = vec![EpollEvent::empty(); EVENTS];
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..count] {
            let index = usize::try_from(event.data())?;
            if event.data() == accepts as u64 {
                while let Ok((socket, _)) = listener.accept() {
                    socket.set_nonblocking(true)?;
                    address::no_delay(&socket)?;
                    let fd = socket.as_raw_fd();
                    epoll.add(&socket, interest(EpollFlags::EPOLLIN, fd))?;
                    let index = usize::try_from(fd)?;
                    if connections.len() <= index {
                        connections.resize_with(index + 1, || None);
                    }
                    connections[index] = Some(Connection {
                        socket,
                        unsent: Vec::new(),
                    });
                }
                continue;
            }
            let Some(connection) = connections[index].as_mut() else {
                continue;
            };
            let waited = !connection.unsent.is_empty();
            if !connection.turn(&mut buffer) {
                connections[index] = None;
            } else if waited == connection.unsent.is_empty() {
                let wanted = match waited {
                    true => EpollFlags::EPOLLIN,
                    false => EpollFlags::EPOLLOUT,
                };
                let fd = connection.socket.as_raw_fd();
                epoll.modify(&connection.socket, &mut interest(wanted, fd))?;
            }
        }
    }
}

/// The least that a datagram server can do: two calls for each datagram, and no event loop.
fn echo_datagrams(text: &str) -> Result<()> {
    let socket = address::listen(text)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let (count, sender) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut buffer)?;
        if let Some(sender) = sender {
            // A client that has gone takes no answer.
            let _ = sendto(
                socket.as_raw_fd(),
                &buffer[..count],
                &sender,
                MsgFlags::empty(),
            );
        }
    }
}

impl Connection {
    /// Takes one turn; `false` at the end.
    fn turn(&mut self, buffer: &mut [u8]) -> bool {
        if self.unsent.is_empty() {
            let count = match (&self.socket).read(buffer) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            return match (&self.socket).write(&buffer[..count]) {
                Ok(sent) => {
                    self.unsent.extend_from_slice(&buffer[sent..count]);
                    true
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent.extend_from_slice(&buffer[..count]);
                    true
                }
                Err(_) => false,
            };
        }
        match (&self.socket).write(&self.unsent) {
            Ok(sent) => {
                self.unsent.drain(..sent);
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

fn interest(flags: EpollFlags, fd: i32) -> EpollEvent {
    EpollEvent::new(flags, fd as u64)
}

/// The least that a program which makes one call can do.
pub fn call(text: &str, message: &str) -> Result<()> {
    let mut socket = address::connect_plain(text)?;
    socket.write_all(format!("{message}\n").as_bytes())?;
    let mut reply = [0; 4096];
    let count = socket.read(&mut reply)?;
    std::io::stdout().write_all(&reply[..count])?;
    Ok(())
}
