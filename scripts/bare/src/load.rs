//! Load: each connection sends a message, waits for its echo, repeats.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv};
use socket2::Socket;

use crate::{Result, address, say};

struct Client {
    socket: Socket,
    message: Vec<u8>,
    received: usize,
    sent_at: Instant,
}

pub fn load(text: &str, count: &str, seconds: &str, size: &str) -> Result<()> {
    let (count, size) = (count.parse::<usize>()?, size.parse::<usize>()?);
    if size < 16 {
        return Err("a message has at least 16 bytes".into());
    }
    address::raise_descriptor_limit()?;
    let is_datagram = address::is_datagram(text)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut clients = Vec::new();
    for index in 0..count {
        let socket = address::connect_as(text, index)?;
        epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
        // Each message is its connection's own, so that a mix-up does not pass.
        let mut message: Vec<u8> = (0..size).map(|at| (at * 31 + index) as u8).collect();
        message[8..16].copy_from_slice(&(index as u64).to_le_bytes());
        message[size - 1] = b'\n';
        clients.push(Client {
            socket,
            message,
            received: 0,
            sent_at: Instant::now(),
        });
    }
    // A datagram server may have no room for all messages at once: sends block, receives do not.
    for client in clients.iter().filter(|_| !is_datagram) {
        client.socket.set_nonblocking(true)?;
    }
    let began = Instant::now();
    let end = began + Duration::from_secs_f64(seconds.parse()?);
    for client in &mut clients {
        client.send(0, Instant::now())?;
    }
    let mut buffer = vec![0; size + 1];
    let mut events = vec![EpollEvent::empty(); 1024];
    let mut nanos: Vec<u32> = Vec::with_capacity(1 << 20);
    let mut under_way = count;
    // At the end the echoes that are under way are still received: to close before would be a reset.
    while under_way > 0 {
        let ready = epoll.wait(&mut events, EpollTimeout::from(1000_u16))?;
        if ready == 0 {
            return Err("no echo came for a second".into());
        }
        for event in &events[..ready] {
            let client = &mut clients[usize::try_from(event.data())?];
            if client.receive(&mut buffer)? {
                let now = Instant::now();
                nanos.push(u32::try_from((now - client.sent_at).as_nanos()).unwrap_or(u32::MAX));
                match now < end {
                    true => client.send(nanos.len() as u64, now)?,
                    false => under_way -= 1,
                }
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    nanos.sort_unstable();
    let at = |share: f64| f64::from(nanos[(nanos.len() as f64 * share) as usize]) / 1000.0;
    if nanos.is_empty() {
        return Err("no round trip was done".into());
    }
    say(&format!(
        r#"{{"trips": {}, "per_second": {:.0}, "p50_us": {:.1}, "p99_us": {:.1}}}"#,
        nanos.len(),
        nanos.len() as f64 / seconds,
        at(0.5),
        at(0.99),
    ))?;
    Ok(())
}

impl Client {
    fn send(&mut self, number: u64, now: Instant) -> Result<()> {
        self.message[..8].copy_from_slice(&number.to_le_bytes());
        self.received = 0;
        self.sent_at = now;
        match (&self.socket).write(&self.message)? {
            all if all == self.message.len() => Ok(()),
            _ => Err("a message was not taken whole".into()),
        }
    }

    /// Receives some of the echo; whether it is whole.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let count = match recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(count) => count,
            Err(nix::Error::EAGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let expected = self.message.get(self.received..self.received + count);
        if expected != Some(&buffer[..count]) {
            return Err("the echo differs from the message".into());
        }
        self.received += count;
        Ok(self.received == self.message.len())
    }
}
