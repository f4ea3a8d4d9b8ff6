//! One request, one reply.

use std::future::poll_fn;
use std::io::{self, Write};
use std::net::Shutdown;
use std::pin::pin;

use crate::address::Address;
use crate::client::{Counter, output_error};
use crate::error::{Error, Result};
use crate::loops::{Framing, MemoryLimit, MessageDecoder, MessageFormat};
use crate::net::Stream;

/// What one receive takes at first: most replies are short, and to touch new memory is most of
/// what a short call costs.
const RECEIVE: usize = 4 * 1024;
/// What one receive takes of a long reply.
const RECEIVE_MAX: usize = 64 * 1024;

/// Where a reply ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Until {
    /// After so many messages.
    Messages(u64),
    /// After a message that is one of these; a carriage return at the end of either is not compared.
    OneOf(Vec<Vec<u8>>),
    /// After so many bytes, whatever they are.
    Bytes(u64),
    /// Where the peer ends.
    End,
}

/// What is sent, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The message without its frame.
    pub message: Vec<u8>,
    /// Whether it is sent as it is, without a frame.
    pub bare: bool,
    /// Whether our sending half ends after it, so that the peer sees the end.
    pub finish: bool,
}

/// One call: the frame of its messages, and where the reply begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallOptions {
    /// How messages are framed, both ways.
    pub format: MessageFormat,
    /// How many messages the peer sends before it takes a request: they are no part of the reply.
    pub greeting: u64,
    /// Where the reply ends.
    pub until: Until,
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
        }
    }
}

/// Sends `request` and writes the reply to `output`; it ends as soon as the reply is complete,
/// even when the peer keeps the connection open. After a greeting the request is sent only once the
/// greeting has come, as some servers break off with a client that does not wait for it.
///
/// A line and a NUL-ended message are written with their delimiter, a length-framed one without
/// its length. Returned is how many bytes came with the end of the reply and are no part of it: they
/// are not written. The `counter` counts all that pass, frames and greeting too.
///
/// # Errors
/// [`ErrorKind::Broken`](crate::ErrorKind::Broken) if the peer ends or resets before the reply is complete: what has come of it
/// is written all the same.
pub async fn call(
    stream: &Stream,
    address: &Address,
    request: Request,
    call: CallOptions,
    output: &mut impl Write,
    counter: &Counter,
) -> Result<usize> {
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
        tokio::select! {
            biased;
            result = &mut sending, if sent.is_none() && reply.greeting == 0 => sent = Some(result),
            // As only this task receives, the way that touches the fewest pages.
            received = poll_fn(|cx| stream.poll_receive(cx, &mut buffer)) => match received {
                Ok(0) => break reply.finish(output)?,
                Ok(count) => {
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
        // A reply may be complete before the request is all sent: none of it may be lost, and the
        // peer may take no more of it before it is rid of what else it says.
        None => {
            tokio::select! {
                result = sending => result,
                error = drain(stream, &mut buffer, counter) => Err(error),
            }
        }
    }
    .map_err(|error| broken("send", error))?;
    Ok(reply.surplus)
}

/// Takes what the peer says beyond its reply, until that fails.
async fn drain(stream: &Stream, buffer: &mut [u8], counter: &Counter) -> io::Error {
    loop {
        match poll_fn(|cx| stream.poll_receive(cx, buffer)).await {
            // The peer may still receive: sending tells.
            Ok(0) => std::future::pending().await,
            Ok(count) => counter.count_received(count),
            Err(error) => return error,
        }
    }
}

/// The message in its frame; a line that has its newline gets no second one.
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

/// Writes what belongs to the reply, and knows when it is complete.
struct ReplyReader {
    format: MessageFormat,
    /// The messages that are still to come before the reply.
    greeting: u64,
    until: Until,
    decoder: MessageDecoder,
    /// What came after its end.
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

    /// Takes what was received; whether the reply is complete.
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
                // Written at once: whoever reads a line gets it whole.
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

    /// The peer ended: writes what has come of an unfinished reply, and says whether it is one.
    fn finish(&mut self, output: &mut impl Write) -> Result<io::Result<()>> {
        let missing = match self.until {
            _ if self.greeting > 0 => "before its greeting was complete".to_owned(),
            Until::End => return Ok(Ok(())),
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
    /// Counts a message; whether it is the last one of the reply.
    fn ends_with(&mut self, message: &[u8]) -> bool {
        match self {
            Self::Messages(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            Self::OneOf(last) => last.iter().any(|last| text_of(last) == text_of(message)),
            Self::Bytes(_) | Self::End => false,
        }
    }
}
