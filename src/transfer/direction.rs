//! One direction of a transfer: Running, then ShuttingDown, then Done.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::task::{Context, Poll, ready};

use super::pipe::Pipe;
use super::yielding::Yielding;
use super::{Side, Tap};
use crate::memory::{KeptBytes, MemoryLimit};
use crate::net::{Stream, is_refused};

/// What one receive of messages takes at most.
const PIECE: usize = 64 * 1024;
/// What one receive of a copied stream takes at most. TCP cuts 64 KiB into one full segment and one
/// of a few bytes, so that to send such pieces costs about twice what one large piece does.
const STREAM_PIECE: usize = 4 * PIECE;
/// After so many receives that took all they could, a direction is a stream.
const FULL_PIECES: u8 = 3;
/// A piece of a stream below this is small; after [`SMALL_PIECES`] of them it is one no more.
const SMALL_PIECE: usize = 16 * 1024;
const SMALL_PIECES: u8 = 4;
/// What may pass in one turn before other connections have theirs.
const TURN: usize = 1 << 20;

thread_local! {
    /// The buffer of every direction that copies on this thread: it is empty between two turns, and
    /// takes no memory beyond what was received at once.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; STREAM_PIECE]);
}

/// How bytes are moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Engine {
    /// Copied while they come as messages, spliced while they come as a stream, where that is faster.
    #[default]
    Adaptive,
    /// Always copied.
    Copy,
}

/// Which end failed, as seen from this direction, in what, and why.
pub(super) type EndFault = (Side, &'static str, io::Error);

#[derive(Debug)]
enum State {
    Running,
    ShuttingDown,
    Done,
}

/// What the bytes come as, and so how they are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Messages,
    CopiedStream,
    SplicedStream,
}

/// The bytes from one end to the other.
pub(super) struct Direction<'a> {
    state: State,
    engine: Engine,
    passed: u64,
    flow: Flow,
    /// The last pieces in a row that speak for the other flow: full messages, small ones of a stream.
    streak: u8,
    /// What the other end did not take at once.
    unsent: KeptBytes,
    /// The pipe that holds bytes of it; an empty one is in the pool.
    pipe: Option<Pipe>,
    /// Whether to yield to who sends, and to who receives.
    yielding: (Yielding, Yielding),
    /// Who sees the bytes, and which end they come from.
    tap: Option<(Side, Tap<'a>)>,
}

impl<'a> Direction<'a> {
    /// What the other end does not take counts in `memory`.
    pub(super) fn new(engine: Engine, memory: MemoryLimit, tap: Option<(Side, Tap<'a>)>) -> Self {
        let state = State::Running;
        Self {
            state,
            engine,
            passed: 0,
            flow: Flow::Messages,
            streak: 0,
            unsent: KeptBytes::new(memory),
            pipe: None,
            yielding: <(Yielding, Yielding)>::default(),
            tap,
        }
    }

    /// The bytes that the other end has taken.
    pub(super) const fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether there are bytes that the other end has yet to take.
    pub(super) fn holds_bytes(&self) -> bool {
        !self.unsent.is_empty() || self.pipe.as_ref().is_some_and(|pipe| pipe.held() > 0)
    }

    /// Moves bytes until an end blocks; ready when `to` has been shut down after the end of `from`.
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
                        Flow::SplicedStream if self.unsent.is_empty() => {
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

    /// Learns from a piece of `count` bytes what they come as.
    fn see(&mut self, count: usize, from: &Stream, to: &Stream) {
        let (is_other, enough) = match self.flow {
            Flow::Messages => (count == PIECE, FULL_PIECES),
            Flow::CopiedStream | Flow::SplicedStream => (count < SMALL_PIECE, SMALL_PIECES),
        };
        self.streak = if is_other { self.streak + 1 } else { 0 };
        if self.streak < enough {
            return;
        }
        self.streak = 0;
        self.flow = match self.flow {
            Flow::CopiedStream | Flow::SplicedStream => Flow::Messages,
            Flow::Messages if self.engine == Engine::Adaptive && from.splices_well(to) => {
                to.expect_bulk();
                Flow::SplicedStream
            }
            Flow::Messages => Flow::CopiedStream,
        };
    }

    /// Copies one piece; false at the end.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<bool, EndFault>> {
        while !self.unsent.is_empty() {
            let sent = ready!(to.poll_send(cx, &self.unsent));
            let sent = sent.map_err(|error| (Side::Far, "send", error))?;
            self.passed += sent as u64;
            self.unsent.consume(sent);
        }
        let room = match self.flow {
            Flow::Messages => PIECE,
            Flow::CopiedStream | Flow::SplicedStream => STREAM_PIECE,
        };
        let count = BUFFER.with_borrow_mut(|buffer| {
            let received = ready!(from.poll_receive(cx, &mut buffer[..room]));
            let count = received.map_err(|error| (Side::Near, "receive", error))?;
            if count > 0 {
                if let Some((from, tap)) = self.tap {
                    tap(from, &buffer[..count]);
                }
                let sent = to.try_send(&buffer[..count]);
                let sent = sent.map_err(|error| (Side::Far, "send", error))?;
                self.passed += sent as u64;
                let kept = self.unsent.push(&buffer[sent..count], 0);
                kept.map_err(|error| (Side::Far, "send", error))?;
            }
            Poll::Ready(Ok(count))
        });
        let count = ready!(count)?;
        self.see(count, from, to);
        Poll::Ready(Ok(count > 0))
    }

    /// Copies one piece, and whatever comes after it.
    fn poll_copy_instead(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<bool, EndFault>> {
        (self.flow, self.engine) = (Flow::CopiedStream, Engine::Copy);
        self.poll_copy(cx, from, to)
    }

    /// Moves one piece through a pipe; false at the end.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
    ) -> Poll<Result<bool, EndFault>> {
        let Ok(mut pipe) = self.pipe.take().map_or_else(Pipe::take, Ok) else {
            // No pipe to be had is no fault: this stream is copied.
            return self.poll_copy_instead(cx, from, to);
        };
        if pipe.held() == 0 && from.is_urgent() {
            // A splice would stop for good where the urgent data was.
            pipe.give_back();
            return self.poll_copy_instead(cx, from, to);
        }
        // What blocked before is the rest of a piece, and tells nothing of the flow.
        let mut whole = None;
        if pipe.held() == 0 {
            let again = || self.yielding.0.give_way();
            let filled = from.poll_splice_into(cx, pipe.entry(), pipe.room(), again);
            let Poll::Ready(filled) = filled else {
                // While nothing comes, the pipe is for others.
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
            // The end, or urgent data that we are not told of yet: a receive knows.
            Some(0) => return self.poll_copy(cx, from, to),
            Some(count) => self.see(count, from, to),
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

    #[tokio::test]
    async fn a_stream_becomes_messages_after_four_small_pieces_in_a_row() -> io::Result<()> {
        let ((from, _client), (to, _server)) = (Stream::pair()?, Stream::pair()?);
        let mut direction = Direction::new(Engine::Adaptive, MemoryLimit::default(), None);
        let mut flow_after = |count, pieces| {
            (0..pieces).for_each(|_| direction.see(count, &from, &to));
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
    async fn what_is_not_taken_is_bounded_and_given_back() -> io::Result<()> {
        let ((from, client), (to, _server)) = (Stream::pair()?, Stream::pair()?);
        let memory = MemoryLimit::new(1000);
        let mut direction = Direction::new(Engine::Copy, memory.clone(), None);
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

    /// A peer whose socket is not the runtime's, and our end of the connection; `None` where this
    /// machine lacks the family.
    async fn connected_to(address: &str) -> io::Result<Option<(TcpStream, Stream)>> {
        let address: Address = address.parse().expect("it is an address");
        let Ok(listener) = Listener::bind(&address, &ListenOptions::default()) else {
            return Ok(None);
        };
        let peer = TcpStream::connect(listener.local_addr().as_ip().expect("an IP address"))?;
        Ok(Some((peer, listener.accept().await?.0)))
    }

    #[tokio::test]
    async fn a_splice_that_moves_nothing_at_urgent_data_is_not_the_end() -> io::Result<()> {
        for address in ["inet:127.0.0.1:0", "inet6:[::1]:0"] {
            let Some((mut client, from)) = connected_to(address).await? else {
                continue;
            };
            let (to, server) = Stream::pair()?;
            client.write_all(b"before")?;
            assert_eq!(from.arrived(6).await?, 6);
            // From here on the runtime looks at no socket until the direction has been polled: it
            // knows that something came, and does not know of the urgent data.
            socket2::SockRef::from(&client).send_out_of_band(b"!")?;
            client.write_all(b"after")?;
            client.shutdown(Shutdown::Write)?;
            let ended = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
            for flags in [PollFlags::POLLPRI, ended] {
                poll(&mut [PollFd::new(from.as_fd(), flags)], PollTimeout::NONE)?;
            }
            let mut direction = Direction::new(Engine::Adaptive, MemoryLimit::default(), None);
            direction.flow = Flow::SplicedStream;
            let moved = poll_fn(|cx| direction.poll(cx, &from, &to)).await;
            moved.map_err(|(_, _, error)| error)?;
            let mut received = [0; 64];
            let count = server.receive(&mut received).await?;
            assert_eq!(&received[..count], b"beforeafter", "{address}");
        }
        Ok(())
    }
}
