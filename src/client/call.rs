//! One request, one reply.

use std::future::poll_fn;
use std::io::{self, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::time::Duration;

use crate::address::Address;
use crate::client::{Counter, message_call, output_error};
use crate::error::{Error, Result};
use crate::loops::{Framing, MemoryLimit, MessageDecoder, MessageFormat};
use crate::net::Stream;

/// The first receive buffer: most replies are short, and touching new memory is most of the cost of
/// a short call.
const RECEIVE: usize = 4 * 1024;
/// The receive buffer for a long reply.
const RECEIVE_MAX: usize = 64 * 1024;

/// Where a reply ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Until {
    /// After this many messages.
    Messages(u64),
    /// After one of these messages; a final carriage return is ignored on both sides.
    OneOf(Vec<Vec<u8>>),
    /// After this many bytes.
    Bytes(u64),
    /// At end of file.
    End,
    /// There is none: the call ends once the request is sent, and on a stream has arrived.
    Nothing,
}

/// The request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The message without its frame.
    pub message: Vec<u8>,
    /// Whether it is sent unchanged, without a frame.
    pub bare: bool,
    /// Whether to half-close after it, so that the peer gets end of file.
    pub finish: bool,
}

/// One call: the frame of its messages, and where the reply begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallOptions {
    /// How messages are framed, both ways.
    pub format: MessageFormat,
    /// The number of messages that the peer sends before the request, or on a datagram socket before
    /// the reply; they are not part of the reply.
    pub greeting: u64,
    /// Where the reply ends.
    pub until: Until,
    /// On a datagram socket, send the request again each time that so long nothing has come.
    pub resend: Option<Duration>,
    /// How long to send a refused datagram again: without a connection, only its refusal says that no
    /// server is there yet.
    pub retry_for: Option<Duration>,
}

impl Request {
    /// A message in its frame, after which our sending half stays open.
    #[must_use]
    pub fn new(message: impl Into<Vec<u8>>) -> Self {
        Self {
            message: message.into(),
            bare: false,
            finish: false,
        }
    }
}

impl Default for CallOptions {
    /// One line is the reply.
    fn default() -> Self {
        Self {
            format: MessageFormat {
                framing: Framing::Line,
                ..MessageFormat::default()
            },
            greeting: 0,
            until: Until::Messages(1),
            resend: None,
            retry_for: None,
        }
    }
}

/// Sends `request` and writes the reply to `output`; it ends as soon as the reply is complete, even
/// if the peer keeps the connection open. The request is sent only after the greeting, as some
/// servers disconnect a client that does not wait.
///
/// A line and a NUL-ended message are written with their delimiter, a length-framed one without its
/// length. On a socket that keeps messages apart, the request is one message, sent unchanged, and the
/// messages of the reply are written as if they came framed. Returns the number of bytes received beyond the reply, which are not written. The
/// `counter` counts all bytes, including frames and greeting.
///
/// # Errors
/// [`ErrorKind::Broken`](crate::ErrorKind::Broken) if the peer ends or resets before the reply is
/// complete: the partial reply is still written. [`ErrorKind::NoServer`](crate::ErrorKind::NoServer)
/// if a datagram was refused.
pub async fn call(
    stream: &Stream,
    address: &Address,
    request: Request,
    call: CallOptions,
    output: &mut impl Write,
    counter: &Counter,
) -> Result<usize> {
    if stream.keeps_messages() {
        // On the heap, so that a call on a stream touches no more of the stack.
        let called = message_call::call(stream, address, request, call, output, counter);
        return Box::pin(called).await.map(|()| 0);
    }
    let broken = |operation, source| Error::new(operation, address, source);
    let framed = match request.bare {
        true => request.message,
        false => frame(&request.message, call.format).map_err(|error| broken("send", error))?,
    };
    let mut sending = pin!(async {
        let mut unsent = &framed[..];
        while !unsent.is_empty() {
            let count = poll_fn(|cx| stream.poll_send(cx, unsent)).await?;
            counter.count_sent(count);
            unsent = &unsent[count..];
        }
        if request.finish {
            stream.shutdown(Shutdown::Write)
        } else {
            Ok(())
        }
    });
    let mut sent = None;
    let mut reply = ReplyReader::new(call);
    let mut buffer = vec![0; RECEIVE];
    let ended = loop {
        if reply.is_nothing() {
            break Ok(());
        }
        tokio::select! {
            biased;
            result = &mut sending, if sent.is_none() && reply.greeting == 0 => sent = Some(result),
            // Only this task receives: `poll_receive` touches the fewest pages.
            received = poll_fn(|cx| stream.poll_receive(cx, &mut buffer)) => match received {
                Ok(received) if received.is_end() => break reply.finish(output)?,
                Ok(received) => {
                    let count = received.count();
                    counter.count_received(count);
                    match reply.take(&buffer[..count], output) {
                        Ok(true) => break Ok(()),
                        Ok(false) => {}
                        Err(TakeError::Output(error)) => return Err(error),
                        Err(TakeError::Reply(error)) => break Err(error),
                    }
                    if count == buffer.len() {
                        buffer.resize(RECEIVE_MAX, 0);
                    }
                }
                Err(error) => {
                    reply.finish(output)?.ok();
                    break Err(error);
                }
            },
        }
    };
    output.flush().map_err(output_error)?;
    ended.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => broken("receive", error).with_hint("raise --max-message"),
        _ => broken("receive", error),
    })?;
    match sent {
        Some(result) => result,
        // A reply may complete before the request is sent: send the rest, and drain what the peer
        // sends, as it may otherwise receive no more.
        None => {
            tokio::select! {
                result = sending => result,
                error = drain(stream, &mut buffer, counter) => Err(error),
            }
        }
    }
    .map_err(|error| broken("send", error))?;
    if reply.is_nothing() {
        let left = Box::pin(leave(stream, &mut buffer, counter)).await;
        left.map_err(|error| broken("send", error))?;
    }
    Ok(reply.surplus)
}

/// Discards what the peer sends beyond its reply, until an error.
async fn drain(stream: &Stream, buffer: &mut [u8], counter: &Counter) -> io::Error {
    loop {
        match poll_fn(|cx| stream.poll_receive(cx, buffer)).await {
            // The peer may still receive: a send will tell.
            Ok(received) if received.is_end() => std::future::pending().await,
            Ok(received) => counter.count_received(received.count()),
            Err(error) => return error,
        }
    }
}

/// Waits until the request has arrived, and prepares for the close: one with bytes unread would reset
/// the connection, and the peer might not read the request.
pub(super) async fn leave(stream: &Stream, buffer: &mut [u8], counter: &Counter) -> io::Result<()> {
    tokio::select! {
        biased;
        delivered = stream.delivered() => delivered?,
        error = drain(stream, buffer, counter) => return Err(error),
    }
    stream.shutdown(Shutdown::Both)?;
    // Now the peer can send nothing more. An error means that it has gone.
    while let Ok(received) = poll_fn(|cx| stream.poll_receive(cx, buffer)).await
        && !received.is_end()
    {
        counter.count_received(received.count());
    }
    Ok(())
}

/// The message in its frame; a line that has a newline gets no second.
fn frame(message: &[u8], format: MessageFormat) -> io::Result<Vec<u8>> {
    let delimiter = format.framing.delimiter();
    let bare = message.strip_suffix(delimiter).unwrap_or(message);
    let mut framed = Vec::with_capacity(bare.len() + 4);
    format.enclose(&mut framed, |out| {
        out.extend_from_slice(bare);
        Some(())
    })?;
    Ok(framed)
}

enum TakeError {
    Output(Error),
    Reply(io::Error),
}

/// Writes the reply, and detects its end.
struct ReplyReader {
    format: MessageFormat,
    /// The remaining messages before the reply.
    greeting: u64,
    until: Until,
    decoder: MessageDecoder,
    /// The bytes after its end.
    surplus: usize,
}

impl ReplyReader {
    fn new(call: CallOptions) -> Self {
        Self {
            format: call.format,
            greeting: call.greeting,
            until: call.until,
            decoder: MessageDecoder::new(call.format, MemoryLimit::new(usize::MAX)),
            surplus: 0,
        }
    }

    /// Whether nothing more has to come.
    fn is_nothing(&self) -> bool {
        self.greeting == 0 && self.until == Until::Nothing
    }

    /// Handles received bytes; returns whether the reply is complete.
    fn take(
        &mut self,
        bytes: &[u8],
        output: &mut impl Write,
    ) -> std::result::Result<bool, TakeError> {
        if self.greeting == 0 {
            return self.take_reply(bytes, output);
        }
        let mut received = bytes;
        while self.greeting > 0 {
            let message = self.decoder.next_message(&mut received);
            match message.map_err(TakeError::Reply)? {
                Some(_) => self.greeting -= 1,
                None => return Ok(false),
            }
        }
        self.take_reply(received, output)
    }

    fn take_reply(
        &mut self,
        bytes: &[u8],
        output: &mut impl Write,
    ) -> std::result::Result<bool, TakeError> {
        let mut write = |bytes: &[u8]| {
            output
                .write_all(bytes)
                .map_err(|e| TakeError::Output(output_error(e)))
        };
        match &mut self.until {
            Until::Nothing => Ok(true),
            Until::End => {
                write(bytes)?;
                Ok(false)
            }
            Until::Bytes(left) => {
                let count = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                write(&bytes[..count])?;
                *left -= count as u64;
                self.surplus = bytes.len() - count;
                Ok(*left == 0)
            }
            until @ (Until::Messages(_) | Until::OneOf(_)) => {
                let mut received = bytes;
                // One write: a reader of a line gets it whole.
                let mut whole = Vec::new();
                let taken = loop {
                    match self.decoder.next_message(&mut received) {
                        Ok(Some(message)) => {
                            whole.extend_from_slice(message);
                            whole.extend_from_slice(self.format.framing.delimiter());
                            if until.ends_with(message) {
                                self.surplus = received.len();
                                break Ok(true);
                            }
                        }
                        Ok(None) => break Ok(false),
                        Err(error) => break Err(TakeError::Reply(error)),
                    }
                };
                write(&whole)?;
                taken
            }
        }
    }

    /// At end of file, writes the partial reply, if any, and returns whether the reply is complete.
    fn finish(&mut self, output: &mut impl Write) -> Result<io::Result<()>> {
        let missing = match self.until {
            _ if self.greeting > 0 => "before its greeting was complete".to_owned(),
            Until::End | Until::Nothing => return Ok(Ok(())),
            Until::Bytes(left) => format!("{left} bytes before the reply was complete"),
            Until::Messages(_) | Until::OneOf(_) if !self.decoder.unfinished().is_empty() => {
                output
                    .write_all(self.decoder.unfinished())
                    .map_err(output_error)?;
                "in the middle of the reply".to_owned()
            }
            Until::Messages(_) | Until::OneOf(_) => "before the reply was complete".to_owned(),
        };
        Ok(Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the peer closed the connection {missing}"),
        )))
    }
}

/// A line without the carriage return before its newline.
fn text_of(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl Until {
    /// Counts a message; returns whether it is the last of the reply.
    pub(super) fn ends_with(&mut self, message: &[u8]) -> bool {
        match self {
            Self::Messages(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            Self::OneOf(last) => last.iter().any(|last| text_of(last) == text_of(message)),
            Self::Bytes(left) => {
                *left = left.saturating_sub(message.len() as u64);
                *left == 0
            }
            Self::End | Self::Nothing => false,
        }
    }
}
