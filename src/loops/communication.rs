//! The communication loop: receive, answer, send, until the peer ends.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::framing::{Inbox, Rule};
use super::service::Connection;
use crate::error::{Error, Result};
use crate::memory::{Kept, MemoryLimit};
use crate::net::Stream;

/// What one receive takes at most, and what is answered before it is sent.
const SCRATCH: usize = 64 * 1024;
/// What an answer may be longer than its message, besides its frame, and never be short of memory.
const ANSWER_ROOM: usize = 128 * 1024;
/// The room that the replies keep: enough for all but large messages.
const REPLIES: usize = 2 * SCRATCH + ANSWER_ROOM;

/// Whether a message is replied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Send what was written as the reply, be it empty.
    Send,
    /// Send nothing.
    Nothing,
}

/// What a server says to a message.
///
/// ```
/// use sok::loops::Reply;
/// fn shout(message: &[u8], reply: &mut Vec<u8>) -> Reply {
///     reply.extend(message.iter().map(u8::to_ascii_uppercase));
///     Reply::Send
/// }
/// fn is_answer(_: impl sok::loops::Answer) {}
/// is_answer(shout);
/// ```
pub trait Answer: Send + Sync + 'static {
    /// Appends the reply to `message`, both without their frames.
    fn answer(&self, message: &[u8], reply: &mut Vec<u8>) -> Reply;
}

impl<F: Fn(&[u8], &mut Vec<u8>) -> Reply + Send + Sync + 'static> Answer for F {
    fn answer(&self, message: &[u8], reply: &mut Vec<u8>) -> Reply {
        self(message, reply)
    }
}

/// Receives messages, sends the answer to each, and ends when the peer ends.
///
/// A peer that does not read its replies is not read from either, so that a connection keeps at
/// most one unfinished message and the replies to one receive, which count in `memory`. While it is
/// idle it holds no buffer: all connections of a thread share two.
///
/// # Errors
/// [`Broken`](crate::Kind::Broken) if the peer resets the connection, or ends in the middle of a message;
/// [`Other`](crate::Kind::Other) for a message above the bound, and where there is no memory to keep one. The
/// peer then sees a reset, where its family has one.
pub async fn communication_loop(
    stream: Stream,
    connection: &Connection,
    rule: Rule,
    memory: &MemoryLimit,
    answer: &impl Answer,
) -> Result<()> {
    stream.reset_unless_done();
    let mut exchange = Exchange {
        stream: &stream,
        connection,
        rule,
        answer,
        inbox: Inbox::new(rule, memory.clone()),
        unsent: Kept::new(memory.clone()),
    };
    match exchange.run().await {
        Ok(()) => {
            stream.done();
            Ok(())
        }
        Err((operation, source)) => Err(failure(operation, connection, source)),
    }
}

fn failure(operation: &'static str, connection: &Connection, source: io::Error) -> Error {
    let hint = match source.kind() {
        io::ErrorKind::InvalidData => Some("raise --max-message, or mend the client"),
        io::ErrorKind::QuotaExceeded => Some("raise --max-memory"),
        _ => None,
    };
    let error = Error::new(operation, connection.peer(), source);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// What the connections of a thread share: room for one receive, and for the replies to it.
struct Buffers {
    received: Vec<u8>,
    replies: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        received: vec![0; SCRATCH],
        replies: Vec::new(),
    });
}

/// One connection's loop with what it keeps between two receives.
struct Exchange<'a, A> {
    stream: &'a Stream,
    connection: &'a Connection,
    rule: Rule,
    answer: &'a A,
    inbox: Inbox,
    unsent: Kept,
}

/// The operation that failed, and why.
type Fault = (&'static str, io::Error);

impl<A: Answer> Exchange<'_, A> {
    async fn run(&mut self) -> std::result::Result<(), Fault> {
        while self.receive_and_answer().await? {
            while !self.unsent.is_empty() {
                self.send_kept().await?;
                // More messages may have come with those that were just answered.
                BUFFERS.with_borrow_mut(|buffers| self.answer_all(&[], &mut buffers.replies))?;
            }
        }
        self.inbox.finish().map_err(receiving)
    }

    /// One receive and the answers to it, without a wait in between, so that the buffers are free
    /// for the next connection; `false` at the end.
    async fn receive_and_answer(&mut self) -> std::result::Result<bool, Fault> {
        poll_fn(|cx| {
            BUFFERS.with_borrow_mut(|Buffers { received, replies }| {
                let received = ready!(self.poll_receive(cx, received))?;
                self.answer_all(received, replies)?;
                Poll::Ready(Ok(!received.is_empty()))
            })
        })
        .await
    }

    fn poll_receive<'b>(
        &self,
        cx: &mut Context<'_>,
        buffer: &'b mut [u8],
    ) -> Poll<std::result::Result<&'b [u8], Fault>> {
        let count = ready!(self.stream.poll_receive(cx, buffer)).map_err(receiving)?;
        self.connection.count_received(count);
        Poll::Ready(Ok(&buffer[..count]))
    }

    /// Answers each whole message, until none is left or the peer takes no more.
    fn answer_all(
        &mut self,
        mut received: &[u8],
        replies: &mut Vec<u8>,
    ) -> std::result::Result<(), Fault> {
        loop {
            let answered = self.answer_some(&mut received, replies);
            // What was said before a broken message is answered, however it came in.
            self.send(replies)?;
            if replies.capacity() > REPLIES {
                replies.shrink_to(REPLIES);
            }
            if !answered? {
                return Ok(());
            }
            if !self.unsent.is_empty() {
                return self.inbox.keep(&mut received).map_err(receiving);
            }
        }
    }

    /// Puts the answers to some messages into `replies`; `false` if no whole message is left.
    fn answer_some(
        &mut self,
        received: &mut &[u8],
        replies: &mut Vec<u8>,
    ) -> std::result::Result<bool, Fault> {
        replies.clear();
        while replies.len() < SCRATCH {
            let Some(message) = self.inbox.next_message(received).map_err(receiving)? else {
                return Ok(false);
            };
            let room = message.len() + ANSWER_ROOM;
            replies.try_reserve(room).map_err(|e| sending(e.into()))?;
            let write = |reply: &mut Vec<u8>| match self.answer.answer(message, reply) {
                Reply::Send => Some(()),
                Reply::Nothing => None,
            };
            self.rule.enclose(replies, write).map_err(sending)?;
        }
        self.inbox.drop_taken();
        Ok(true)
    }

    /// Sends what the peer takes of `replies` at once, and keeps the rest.
    fn send(&mut self, replies: &[u8]) -> std::result::Result<(), Fault> {
        if replies.is_empty() {
            return Ok(());
        }
        let sent = self.stream.try_send(replies).map_err(sending)?;
        self.connection.count_sent(sent);
        match &replies[sent..] {
            [] => Ok(()),
            rest => self.unsent.push(rest, 0).map_err(sending),
        }
    }

    /// Sends what was kept.
    async fn send_kept(&mut self) -> std::result::Result<(), Fault> {
        while !self.unsent.is_empty() {
            let sent = poll_fn(|cx| self.stream.poll_send(cx, &self.unsent)).await;
            let sent = sent.map_err(sending)?;
            self.connection.count_sent(sent);
            self.unsent.consume(sent);
        }
        Ok(())
    }
}

fn receiving(error: io::Error) -> Fault {
    ("receive", error)
}

fn sending(error: io::Error) -> Fault {
    ("send", error)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use nix::Error as E;

    use super::*;
    use crate::address::Form;
    use crate::net::Peer;

    #[test]
    fn only_a_bound_that_was_reached_is_to_be_raised() {
        let peer = Peer {
            address: Form::ALL[0].fresh(Path::new(""), ""),
            credentials: None,
        };
        let connection = Connection::new(1, peer);
        let hint = |source| {
            let error = failure("receive", &connection, source);
            error.hint().map(str::to_owned)
        };
        let oversized = io::ErrorKind::InvalidData.into();
        assert!(hint(oversized).is_some_and(|hint| hint.contains("--max-message")));
        for errno in [E::EHOSTUNREACH, E::ENETDOWN, E::ENOBUFS, E::ECONNRESET] {
            assert_eq!(hint(errno.into()), None);
        }
    }
}
