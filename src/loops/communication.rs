//! The communication loop: receive, answer, send, until the peer ends.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};

use super::framing::{Framing, Inbox, Rule};
use super::service::Connection;
use crate::error::{Error, Kind, Result};
use crate::net::Stream;

/// What one receive takes at most, and what is answered before it is sent.
const SCRATCH: usize = 64 * 1024;

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
/// A peer that does not read its replies is not read from either, so that a connection holds at
/// most one unfinished message and the replies to one receive. While it is idle it holds no
/// buffer: all connections of a thread share one.
///
/// # Errors
/// [`Kind::Broken`] if the peer resets the connection, or ends in the middle of a message;
/// [`Kind::Other`] for a message above the bound. The peer then sees a reset, where its family
/// has one.
pub async fn communication_loop(
    stream: Stream,
    connection: &Connection,
    rule: Rule,
    answer: &impl Answer,
) -> Result<()> {
    stream.reset_unless_done();
    let ended = Exchange::new(&stream, connection, rule, answer).run().await;
    match ended {
        Ok(()) => {
            stream.done();
            Ok(())
        }
        Err((operation, source)) => {
            let error = Error::new(operation, connection.peer(), source);
            Err(match error.kind() {
                Kind::Other => error.with_hint("raise --max-message, or mend the client"),
                _ => error,
            })
        }
    }
}

/// The two buffers of a thread: what one receive brought, and the replies to it.
struct Scratch {
    received: Vec<u8>,
    replies: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Scratch> =
        RefCell::new(Scratch { received: vec![0; SCRATCH], replies: Vec::new() });
}

/// One connection's loop with what it keeps between two receives.
struct Exchange<'a, A> {
    stream: &'a Stream,
    connection: &'a Connection,
    rule: Rule,
    answer: &'a A,
    inbox: Inbox,
    unsent: Vec<u8>,
}

type Fault = (&'static str, io::Error);

impl<'a, A: Answer> Exchange<'a, A> {
    fn new(stream: &'a Stream, connection: &'a Connection, rule: Rule, answer: &'a A) -> Self {
        let inbox = Inbox::new(rule);
        Self {
            stream,
            connection,
            rule,
            answer,
            inbox,
            unsent: Vec::new(),
        }
    }

    async fn run(&mut self) -> std::result::Result<(), Fault> {
        while self.receive_and_answer().await? {
            while !self.unsent.is_empty() {
                let unsent = std::mem::take(&mut self.unsent);
                self.stream
                    .send_all(&unsent)
                    .await
                    .map_err(|error| ("send", error))?;
                self.connection.count_sent(unsent.len());
                // More messages may have come with those that were just answered.
                BUFFERS.with_borrow_mut(|buffers| self.answer_framed(&mut buffers.replies))?;
            }
        }
        self.inbox.finish().map_err(|error| ("receive", error))
    }

    /// One receive and the answers to it in one step, which leaves no buffer behind; `false` at
    /// the end.
    async fn receive_and_answer(&mut self) -> std::result::Result<bool, Fault> {
        poll_fn(|cx| {
            BUFFERS.with_borrow_mut(|Scratch { received, replies }| {
                let count = ready!(self.stream.poll_receive(cx, received))
                    .map_err(|error| ("receive", error))?;
                let bytes = &received[..count];
                self.connection.count_received(count);
                if self.rule.framing == Framing::Chunk && count > 0 {
                    replies.clear();
                    self.answer_one(bytes, replies)?;
                    self.send_now(replies)?;
                } else {
                    self.inbox.push(bytes);
                    self.answer_framed(replies)?;
                }
                Poll::Ready(Ok(count > 0))
            })
        })
        .await
    }

    /// Answers the whole messages of the inbox until it is empty or the peer takes no more.
    fn answer_framed(&mut self, replies: &mut Vec<u8>) -> std::result::Result<(), Fault> {
        let mut more = true;
        while more && self.unsent.is_empty() {
            replies.clear();
            while more && replies.len() < SCRATCH {
                match self.inbox.next_message() {
                    Ok(Some(message)) => self.answer_one(&message, replies)?,
                    Ok(None) => more = false,
                    Err(error) => {
                        // What was said before is answered, however it came in.
                        self.send_now(replies)?;
                        return Err(("receive", error));
                    }
                }
            }
            self.send_now(replies)?;
            replies.shrink_to(SCRATCH);
        }
        Ok(())
    }

    fn answer_one(&self, message: &[u8], replies: &mut Vec<u8>) -> std::result::Result<(), Fault> {
        let enclosed =
            self.rule
                .enclose(replies, |reply| match self.answer.answer(message, reply) {
                    Reply::Send => Some(()),
                    Reply::Nothing => None,
                });
        enclosed.map(drop).map_err(|error| ("send", error))
    }

    /// Sends what the peer takes at once, and keeps the rest.
    fn send_now(&mut self, replies: &[u8]) -> std::result::Result<(), Fault> {
        if !replies.is_empty() {
            let sent = self
                .stream
                .try_send(replies)
                .map_err(|error| ("send", error))?;
            self.connection.count_sent(sent);
            self.unsent.extend_from_slice(&replies[sent..]);
        }
        Ok(())
    }
}
