//! One direction between two streams: bytes, which are copied or spliced.

use std::cell::RefCell;
use std::io;
use std::mem;
use std::net::Shutdown;
use std::task::{Context, Poll, ready};

use super::descriptors::Rights;
use super::flow::{Flow, STREAM_PIECE};
use super::pipe::Pipe;
use super::turn::{EndFault, State, TURN};
use super::yielding::Yielding;
use super::{Engine, Side, Tap};
use crate::memory::{KeptBytes, MemoryLimit};
use crate::net::{Stream, WaitingDescriptors, is_refused};

thread_local! {
    /// The buffer of all copying directions on this thread. It is empty between two turns, and
    /// takes no memory beyond that of one receive.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; STREAM_PIECE]);
}

/// The bytes from one end to the other.
pub(super) struct Bytes<'a> {
    state: State,
    engine: Engine,
    rights: Rights<'a>,
    passed: u64,
    flow: Flow,
    /// The latest pieces in a row that suggest the other kind: full messages, small pieces of a
    /// stream.
    streak: u8,
    /// The bytes that the other end did not take at once.
    unsent: KeptBytes,
    /// The descriptors that go with the first of these bytes.
    files: Option<Box<WaitingDescriptors>>,
    /// Whether descriptors have passed.
    has_carried: bool,
    /// The bytes that may come with descriptors and are to be received before a splice.
    unchecked: u64,
    /// The pipe, while it holds bytes; an empty one is in the pool.
    pipe: Option<Pipe>,
    /// Whether to yield to the sender, and to the receiver.
    yielding: (Yielding, Yielding),
    /// The observer of the bytes, and the end that they come from.
    tap: Option<(Side, Tap<'a>)>,
}

impl<'a> Bytes<'a> {
    /// Bytes that the other end does not take count in `memory`.
    pub(super) fn new(
        engine: Engine,
        rights: Rights<'a>,
        memory: MemoryLimit,
        tap: Option<(Side, Tap<'a>)>,
    ) -> Self {
        let state = State::Running;
        Self {
            state,
            engine,
            rights,
            passed: 0,
            flow: Flow::Messages,
            streak: 0,
            unsent: KeptBytes::new(memory),
            files: None,
            has_carried: false,
            unchecked: 0,
            pipe: None,
            yielding: <(Yielding, Yielding)>::default(),
            tap,
        }
    }

    /// The bytes that the other end has taken.
    pub(super) const fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether the other end has yet to take bytes.
    pub(super) fn holds_bytes(&self) -> bool {
        !self.unsent.is_empty() || self.pipe.as_ref().is_some_and(|pipe| pipe.held() > 0)
    }

    /// Moves bytes until an end blocks; ready once `to` is half-closed after end of file on `from`.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<(), EndFault>> {
        let turn_ends = self.passed + TURN as u64;
        loop {
            match self.state {
                State::Done => return Poll::Ready(Ok(())),
                State::ShuttingDown => {
                    to.shutdown(Shutdown::Write)
                        .map_err(|error| (Side::Far, "shutdown", error))?;
                    self.state = State::Done;
                }
                State::Running => {
                    if self.passed >= turn_ends {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    let moved = match self.flow {
                        Flow::SplicedStream if self.unsent.is_empty() && self.unchecked == 0 => {
                            self.poll_splice(cx, from, to)
                        }
                        _ => self.poll_copy(cx, from, to),
                    };
                    if !ready!(moved)? {
                        self.state = State::ShuttingDown;
                    }
                }
            }
        }
    }

    /// Updates the kind of traffic after a piece of `count` bytes.
    fn classify(&mut self, count: usize, from: &Stream, to: &Stream) {
        let (is_other, enough) = self.flow.is_other(count);
        self.streak = if is_other { self.streak + 1 } else { 0 };
        if self.streak < enough {
            return;
        }
        self.streak = 0;
        if self.flow != Flow::Messages {
            return self.change(Flow::Messages, from);
        }
        let may_splice = self.engine == Engine::Adaptive && !self.has_carried;
        let unchecked = match may_splice && from.splices_well(to) {
            true => self.rights.before_splice(from),
            false => None,
        };
        match unchecked {
            Some(unchecked) => {
                to.expect_bulk();
                self.unchecked = unchecked;
                self.flow = Flow::SplicedStream;
            }
            None => self.flow = Flow::CopiedStream,
        }
    }

    /// Continues with a flow that copies.
    fn change(&mut self, flow: Flow, from: &Stream) {
        if self.flow == Flow::SplicedStream {
            self.rights.after_splice(from);
            self.unchecked = 0;
        }
        self.flow = flow;
    }

    /// Copies one piece; returns false at end of file.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<bool, EndFault>> {
        while !self.unsent.is_empty() {
            let sent = ready!(match &self.files {
                Some(files) => to.poll_send_passing(cx, &self.unsent, files),
                None => to.poll_send(cx, &self.unsent),
            });
            let sent = sent.map_err(|error| (Side::Far, "send", error))?;
            self.files = None;
            self.passed += sent as u64;
            self.unsent.consume(sent);
        }
        let room = self.flow.room();
        let mut files = Vec::new();
        let count = BUFFER.with_borrow_mut(|buffer| {
            let room = &mut buffer[..room];
            let received = ready!(self.rights.poll_receive(cx, from, room, &mut files));
            let count = received
                .map_err(|error| (Side::Near, "receive", error))?
                .count();
            if count > 0 {
                if let Some((from, tap)) = self.tap {
                    tap(from, &buffer[..count]);
                }
                let sent = match files.is_empty() {
                    true => to.try_send(&buffer[..count]),
                    false => to.try_send_passing(&buffer[..count], &files),
                };
                let sent = match sent {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                    sent => sent,
                };
                let sent = sent.map_err(|error| (Side::Far, "send", error))?;
                self.passed += sent as u64;
                let kept = self.unsent.push(&buffer[sent..count], 0);
                kept.map_err(|error| (Side::Far, "send", error))?;
                if !files.is_empty() {
                    self.has_carried = true;
                    if sent == 0 {
                        let waiting = WaitingDescriptors::new(mem::take(&mut files));
                        let waiting = waiting.map_err(|error| (Side::Near, "receive", error))?;
                        self.files = Some(Box::new(waiting));
                    }
                }
            }
            Poll::Ready(Ok(count))
        });
        let count = ready!(count)?;
        self.unchecked = self.unchecked.saturating_sub(count as u64);
        if self.has_carried && self.flow == Flow::SplicedStream {
            self.change(Flow::CopiedStream, from);
        }
        self.classify(count, from, to);
        Poll::Ready(Ok(count > 0))
    }

    /// Copies one piece, of either kind.
    fn poll_copy_instead(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<bool, EndFault>> {
        self.change(Flow::CopiedStream, from);
        self.engine = Engine::Copy;
        self.poll_copy(cx, from, to)
    }

    /// Moves one piece through a pipe; returns false at end of file.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<bool, EndFault>> {
        let Ok(mut pipe) = self.pipe.take().map_or_else(Pipe::take, Ok) else {
            // Without a pipe, this stream is copied.
            return self.poll_copy_instead(cx, from, to);
        };
        if pipe.held() == 0 && from.is_urgent() {
            // A splice would stop for ever at urgent data.
            pipe.give_back();
            return self.poll_copy_instead(cx, from, to);
        }
        // After a block, the rest of a piece says nothing about the kind of traffic.
        let mut whole = None;
        if pipe.held() == 0 {
            let again = || self.yielding.0.give_way();
            let filled = from.poll_splice_into(cx, pipe.entry(), pipe.room(), again);
            let Poll::Ready(filled) = filled else {
                // While no data arrives, other connections can use the pipe.
                pipe.give_back();
                return Poll::Pending;
            };
            let count = match filled {
                Err(error) if is_refused(&error) => {
                    pipe.give_back();
                    return self.poll_copy_instead(cx, from, to);
                }
                filled => filled.map_err(|error| (Side::Near, "receive", error))?,
            };
            pipe.filled(count);
            whole = Some(count);
        }
        while pipe.held() > 0 {
            let again = || self.yielding.1.give_way();
            match to.poll_splice_from(cx, pipe.exit(), pipe.held(), again) {
                Poll::Pending => {
                    self.pipe = Some(pipe);
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) if is_refused(&error) => {
                    let taken = pipe.take_out(&mut self.unsent);
                    taken.map_err(|error| (Side::Near, "receive", error))?;
                    pipe.give_back();
                    return self.poll_copy_instead(cx, from, to);
                }
                Poll::Ready(moved) => {
                    let count = moved.map_err(|error| (Side::Far, "send", error))?;
                    pipe.drained(count);
                    self.passed += count as u64;
                }
            }
        }
        pipe.give_back();
        match whole {
            // End of file, or urgent data that is not reported yet: a receive tells which.
            Some(0) => return self.poll_copy(cx, from, to),
            Some(count) => self.classify(count, from, to),
            None => {}
        }
        Poll::Ready(Ok(true))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;
    use std::net::{Shutdown, TcpStream};
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;
    use crate::address::Address;
    use crate::net::{ListenOptions, Listener};
    use crate::transfer::Descriptors;
    use crate::transfer::flow::{PIECE, SMALL_PIECE};

    fn direction(
        engine: Engine,
        memory: MemoryLimit,
        from: &Stream,
        to: &Stream,
    ) -> Bytes<'static> {
        let rights = Rights::of(from, to, Descriptors::Pass, None);
        Bytes::new(engine, rights, memory, None)
    }

    #[tokio::test]
    async fn a_stream_becomes_messages_after_four_small_pieces_in_a_row() -> io::Result<()> {
        let ((from, _client), (to, _server)) = (Stream::pair()?, Stream::pair()?);
        let mut direction = direction(Engine::Adaptive, MemoryLimit::default(), &from, &to);
        let mut flow_after = |count, pieces| {
            (0..pieces).for_each(|_| direction.classify(count, &from, &to));
            direction.flow
        };
        for _ in 0..2 {
            assert_eq!(flow_after(PIECE, 2), Flow::Messages);
            assert_eq!(flow_after(PIECE - 1, 1), Flow::Messages);
            assert_eq!(flow_after(PIECE, 2), Flow::Messages);
            assert_eq!(flow_after(PIECE, 1), Flow::SplicedStream);
            assert_eq!(flow_after(SMALL_PIECE - 1, 3), Flow::SplicedStream);
            assert_eq!(flow_after(SMALL_PIECE, 1), Flow::SplicedStream);
            assert_eq!(flow_after(SMALL_PIECE - 1, 3), Flow::SplicedStream);
            assert_eq!(flow_after(SMALL_PIECE - 1, 1), Flow::Messages);
        }
        Ok(())
    }

    #[tokio::test]
    async fn untaken_bytes_are_limited_and_freed() -> io::Result<()> {
        let ((from, client), (to, _server)) = (Stream::pair()?, Stream::pair()?);
        let memory = MemoryLimit::new(1000);
        let mut direction = direction(Engine::Copy, memory.clone(), &from, &to);
        let bytes = vec![7; 4 << 20];
        let refused = tokio::select! {
            moved = poll_fn(|cx| direction.poll(cx, &from, &to)) => moved.map_err(|(_, _, e)| e),
            sent = client.send_all(&bytes) => sent,
        };
        let kind = refused.map_err(|error| error.kind());
        assert_eq!(kind, Err(io::ErrorKind::QuotaExceeded));
        drop(direction);
        assert_eq!(memory.taken(), 0);
        Ok(())
    }

    /// A peer whose socket is not registered with the runtime, and the other end of the connection;
    /// `None` if this machine lacks the family.
    async fn connected_to(address: &str) -> io::Result<Option<(TcpStream, Stream)>> {
        let address: Address = address.parse().expect("it is an address");
        let Ok(listener) = Listener::bind(&address, &ListenOptions::default()) else {
            return Ok(None);
        };
        let peer = TcpStream::connect(listener.local_addr().as_ip().expect("an IP address"))?;
        Ok(Some((peer, listener.accept().await?.0)))
    }

    #[tokio::test]
    async fn a_splice_that_stops_at_urgent_data_is_not_end_of_file() -> io::Result<()> {
        for address in ["inet:127.0.0.1:0", "inet6:[::1]:0"] {
            let Some((mut client, from)) = connected_to(address).await? else {
                continue;
            };
            let (to, server) = Stream::pair()?;
            client.write_all(b"before")?;
            assert_eq!(from.arrived(6).await?, 6);
            // From here on the runtime checks no socket until the direction has been polled: it
            // knows that data arrived, but not about the urgent data.
            socket2::SockRef::from(&client).send_out_of_band(b"!")?;
            client.write_all(b"after")?;
            client.shutdown(Shutdown::Write)?;
            let ended = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
            for flags in [PollFlags::POLLPRI, ended] {
                poll(&mut [PollFd::new(from.as_fd(), flags)], PollTimeout::NONE)?;
            }
            let mut direction = direction(Engine::Adaptive, MemoryLimit::default(), &from, &to);
            direction.flow = Flow::SplicedStream;
            let moved = poll_fn(|cx| direction.poll(cx, &from, &to)).await;
            moved.map_err(|(_, _, error)| error)?;
            let mut received = [0; 64];
            let count = server.receive(&mut received).await?.count();
            assert_eq!(&received[..count], b"beforeafter", "{address}");
        }
        Ok(())
    }
}
