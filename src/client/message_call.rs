//! One request, one reply, on a socket that keeps messages apart.

use std::future::{pending, poll_fn};
use std::io::{self, Write};
use std::net::Shutdown;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::leave::leave;
use super::request::{CallOptions, Request, Until};
use super::{Counter, output_error, passing_error};
use crate::address::Address;
use crate::error::Result;
use crate::net::{LONGEST_MESSAGE, Received, Stream, with_length};

/// The first pause before a refused message is sent again; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// The same as [`call`](super::call()): the kernel says where a message ends, so that none is framed.
pub(super) async fn call(
    stream: &Stream,
    address: &Address,
    request: Request,
    mut call: CallOptions,
    output: &mut impl Write,
    counter: &Counter,
) -> Result<()> {
    let failed = |operation, source| passing_error(operation, address, source);
    let mut messages = Messages {
        stream,
        counter,
        buffer: vec![0; call.format.max_message.min(LONGEST_MESSAGE)],
    };
    let next = |received: io::Result<Received>| match received {
        Ok(Received::End) => Err(failed(
            "receive",
            io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer closed the connection before the reply was complete",
            ),
        )),
        received => received.map_err(|error| failed("receive", error)),
    };
    let mut greeting = call.greeting;
    // Without a connection, no peer knows us before the first message.
    while greeting > 0 && stream.has_connection() {
        let _ = next(messages.receive().await)?;
        greeting -= 1;
    }
    let sent = messages.send(&request.message).await;
    sent.map_err(|error| failed("send", error))?;
    if request.finish {
        let finished = stream.shutdown(Shutdown::Write);
        finished.map_err(|error| failed("shutdown", error))?;
    }
    if call.until == Until::Nothing && stream.has_connection() {
        let left = leave(stream, &mut messages.buffer, counter).await;
        left.map_err(|error| failed("send", error))?;
    }
    if call.until == Until::Nothing
        && !stream.has_connection()
        && let Some(refused) = stream.take_error().ok().flatten()
    {
        // On this host a refusal is known at once.
        return Err(failed("send", refused));
    }
    let give_up = call.retry_for.map(|limit| Instant::now() + limit);
    let mut pause = PAUSE;
    let mut resend = call.resend;
    let mut written = Vec::new();
    'reply: while call.until != Until::Nothing {
        let mut received = tokio::select! {
            biased;
            received = messages.receive() => received,
            // A refusal of a datagram makes the socket not readable.
            refused = stream.reset_by_peer() => Err(refused),
            () = after(resend) => match messages.send(&request.message).await {
                Ok(()) => continue,
                Err(error) => Err(error),
            },
        };
        while is_refused(&received) && give_up.is_some_and(|end| Instant::now() < end) {
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            match messages.send(&request.message).await {
                Ok(()) => continue 'reply,
                // It was not sent, so that no reply and no other refusal comes.
                Err(error) => received = Err(error),
            }
        }
        if call.until == Until::End && matches!(received, Ok(Received::End)) {
            break;
        }
        let message = &messages.buffer[..next(received)?.count()];
        resend = None;
        if greeting > 0 {
            greeting -= 1;
            continue;
        }
        // One write: a reader of a line gets it whole.
        written.clear();
        written.extend_from_slice(call.format.framing.bare(message));
        written.extend_from_slice(call.format.framing.delimiter());
        output.write_all(&written).map_err(output_error)?;
        if call.until.ends_with(message) {
            break;
        }
    }
    output.flush().map_err(output_error)
}

/// Whether no socket had the address of a datagram.
fn is_refused<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Waits for so long; without a time for ever.
async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}

/// The messages of a call, which are counted.
struct Messages<'a> {
    stream: &'a Stream,
    counter: &'a Counter,
    buffer: Vec<u8>,
}

impl Messages<'_> {
    async fn send(&self, message: &[u8]) -> io::Result<()> {
        let sent = poll_fn(|cx| self.stream.poll_send(cx, message)).await;
        let count = sent.map_err(|error| with_length(error, message.len()))?;
        self.counter.count_sent(count);
        Ok(())
    }

    async fn receive(&mut self) -> io::Result<Received> {
        let received = poll_fn(|cx| self.stream.poll_receive(cx, &mut self.buffer)).await?;
        self.counter.count_received(received.count());
        Ok(received)
    }
}
