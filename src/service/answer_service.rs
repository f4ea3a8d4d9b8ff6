//! Services that answer messages with the communication loop.

use std::sync::Arc;

use crate::error::Result;
use crate::loops::{
    Answer, Connection, MemoryLimit, MessageFormat, Reply, Service, communication_loop,
};
use crate::net::Stream;

/// Runs the communication loop on each connection.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AnswerService<A> {
    /// The framing.
    pub format: MessageFormat,
    /// The answer.
    pub answer: A,
    /// The memory limit of all connections together.
    pub memory: MemoryLimit,
}

impl<A: Answer> AnswerService<A> {
    /// Answers each message of `format` with `answer`.
    #[must_use]
    pub fn new(format: MessageFormat, answer: A) -> Self {
        let memory = MemoryLimit::default();
        Self {
            format,
            answer,
            memory,
        }
    }
}

impl<A: Answer> Service for AnswerService<A> {
    fn serve(
        &self,
        stream: Stream,
        connection: &Arc<Connection>,
    ) -> impl Future<Output = Result<()>> + Send {
        communication_loop(stream, connection, self.format, &self.memory, &self.answer)
    }
}

/// Answers each message with itself.
pub fn echo(message: &[u8], reply: &mut Vec<u8>) -> Reply {
    reply.extend_from_slice(message);
    Reply::Send
}

/// Reads each message and does not answer.
pub const fn discard(_: &[u8], _: &mut Vec<u8>) -> Reply {
    Reply::Nothing
}

/// Answers each message with itself followed by `text`.
pub fn suffix(text: Vec<u8>) -> impl Answer {
    move |message: &[u8], reply: &mut Vec<u8>| {
        reply.extend_from_slice(message);
        reply.extend_from_slice(&text);
        Reply::Send
    }
}
