//! The communication loop: receive, decode, answer, send, until the peer ends.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use super::answer::{Answer, Reply};
use super::buffers::{ANSWER_ROOM, Buffers};
use super::framing::{MessageDecoder, MessageFormat};
use super::service::Connection;
use crate::error::{Error, Result};
use crate::memory::{KeptBytes, MemoryLimit};
use crate::net::Stream;

/// Receives messages, sends the answer to each, and ends when the peer ends.
///
/// While a peer does not read its replies, the loop does not read from it, so that a connection
/// keeps at most one incomplete message, the bytes of one receive, and the replies to them, which
/// count in `memory`. An idle connection holds no buffer: all connections of a thread share two.
///
/// # Errors
/// [`Broken`](crate::ErrorKind::Broken) if the peer resets the connection, or ends in the middle of a message;
/// [`Other`](crate::ErrorKind::Other) for a message above the limit, and if there is no memory to
/// keep one. The peer then gets a reset, if its family has one.
// An `async fn` would hold its arguments twice for each connection.
pub fn communication_loop<'c, 'a, A: Answer>(
    stream: Stream,
    connection: &'c Connection,
    format: MessageFormat,
    memory: &MemoryLimit,
    answer: &'a A,
) -> impl Future<Output = Result<()>> + Send + use<'c, 'a, A> {
    stream.reset_on_drop();
    let keeps_messages = stream.keeps_messages();
    let format = match keeps_messages {
        true => format.without_framing(),
        false => format,
    };
    let mut exchange = Exchange {
        stream,
        keeps_messages,
        connection,
        format,
        answer,
        decoder: MessageDecoder::new(format, memory.clone()),
        unsent: KeptBytes::new(memory.clone()),
    };
    async move {
        match answer_messages(&mut exchange).await {
            Ok(()) => {
                exchange.stream.close_on_drop();
                Ok(())
            }
            Err((operation, source)) => Err(failure(operation, exchange.connection, source)),
        }
    }
}

/// The loop itself.
async fn answer_messages<A: Answer>(
    exchange: &mut Exchange<'_, '_, A>,
) -> std::result::Result<(), SocketFault> {
    // Receive: several messages, or a part of one.
    while let Some(mut buffers) = exchange.receive().await? {
        let mut invalid = None;
        // Decode: one complete message after another.
        while let Some(message) = buffers.received.decode(&mut exchange.decoder, &mut invalid) {
            // Answer: in a frame like that of the message.
            let frame = open_frame(message, exchange.format, &mut buffers.replies)?;
            let reply = exchange.answer.answer(message, &mut buffers.replies).await;
            close_frame(reply, frame, exchange.format, &mut buffers.replies)?;
            // Send: a message, or what an answer that waits would delay.
            let is_message = exchange.keeps_messages && reply == Reply::Send;
            if is_message || A::WAITS || buffers.is_full() {
                exchange.send(&mut buffers, is_message).await?;
            }
        }
        // Send: all replies on a stream at once.
        exchange.send(&mut buffers, false).await?;
        buffers.give_back();
        // Messages before an invalid one are answered, however they arrived.
        invalid.map_or(Ok(()), Err).map_err(receiving)?;
    }
    exchange.decoder.finish().map_err(receiving)
}

/// The operation that failed, and its error.
type SocketFault = (&'static str, io::Error);

/// A connection and its state between two receives.
struct Exchange<'c, 'a, A> {
    stream: Stream,
    /// Whether each receive is one message, and each reply one send.
    keeps_messages: bool,
    connection: &'c Connection,
    format: MessageFormat,
    answer: &'a A,
    decoder: MessageDecoder,
    unsent: KeptBytes,
}

impl<A: Answer> Exchange<'_, '_, A> {
    /// Waits, without a buffer, for bytes; returns `None` at end of file.
    fn receive(
        &mut self,
    ) -> impl Future<Output = std::result::Result<Option<Box<Buffers>>, SocketFault>> {
        poll_fn(move |cx| {
            let mut buffers = Buffers::shared();
            let room = buffers
                .received
                .room(self.keeps_messages, self.format.max_message);
            let received = match self.stream.poll_receive(cx, room) {
                Poll::Ready(Ok(received)) if !received.is_end() => received,
                nothing => {
                    buffers.give_back();
                    return nothing.map_ok(|_| None).map_err(receiving);
                }
            };
            self.connection.count_received(received.count());
            buffers.received.filled(received);
            if A::WAITS {
                // The other connections need the buffers.
                buffers.detach(&mut self.decoder).map_err(receiving)?;
            }
            Poll::Ready(Ok(Some(buffers)))
        })
    }

    /// Sends the replies, or one that may be an empty message. Bytes that the peer does not take at
    /// once are kept, and so is the rest of the input, so that the buffers are free while it waits.
    async fn send(
        &mut self,
        buffers: &mut Box<Buffers>,
        is_message: bool,
    ) -> std::result::Result<(), SocketFault> {
        if buffers.replies.is_empty() && !is_message {
            return Ok(());
        }
        let mut taken = 0;
        match self.stream.try_send(&buffers.replies) {
            Ok(sent) => {
                self.connection.count_sent(sent);
                taken = sent;
                if sent == buffers.replies.len() {
                    buffers.clear_replies();
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(sending(error)),
        }
        self.decoder.drop_taken();
        let unsent = self.unsent.push(&buffers.replies[taken..], 0);
        unsent.map_err(sending)?;
        buffers.detach(&mut self.decoder).map_err(receiving)?;
        loop {
            let sent = poll_fn(|cx| self.stream.poll_send(cx, &self.unsent)).await;
            let sent = sent.map_err(sending)?;
            self.connection.count_sent(sent);
            self.unsent.consume(sent);
            if self.unsent.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Begins the frame of the reply to a message, after the replies before it.
fn open_frame(
    message: &[u8],
    format: MessageFormat,
    replies: &mut Vec<u8>,
) -> std::result::Result<usize, SocketFault> {
    let room = message.len() + ANSWER_ROOM;
    replies.try_reserve(room).map_err(|e| sending(e.into()))?;
    Ok(format.open(replies))
}

/// Ends the frame that begins at `frame`, or removes it if there is no reply.
fn close_frame(
    reply: Reply,
    frame: usize,
    format: MessageFormat,
    replies: &mut Vec<u8>,
) -> std::result::Result<(), SocketFault> {
    match reply {
        Reply::Send => format.close(replies, frame).map_err(sending),
        Reply::Nothing => {
            replies.truncate(frame);
            Ok(())
        }
    }
}

fn failure(operation: &'static str, connection: &Connection, source: io::Error) -> Error {
    let hint = match source.kind() {
        io::ErrorKind::InvalidData => Some("raise --max-message, or fix the client"),
        io::ErrorKind::QuotaExceeded => Some("raise --max-memory"),
        _ => None,
    };
    let error = Error::new(operation, connection.peer(), source);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn receiving(error: io::Error) -> SocketFault {
    ("receive", error)
}

fn sending(error: io::Error) -> SocketFault {
    ("send", error)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use nix::Error as E;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::address::AddressKind;
    use crate::loops::Framing;
    use crate::net::Peer;

    #[test]
    fn only_a_reached_limit_gets_a_hint_to_raise_it() {
        let peer = Peer {
            address: AddressKind::ALL[0].fresh(Path::new(""), ""),
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

    /// An echo of messages with their length, in a task, and the client's end of its connection.
    fn served() -> (Stream, Arc<Connection>, JoinHandle<Result<()>>) {
        let (client, server) = Stream::pair().unwrap();
        let peer = Peer::new(AddressKind::ALL[0].fresh(Path::new(""), ""));
        let connection = Arc::new(Connection::new(1, peer));
        let known = Arc::clone(&connection);
        let format = MessageFormat {
            framing: Framing::Length,
            ..MessageFormat::default()
        };
        let serving = async move {
            communication_loop(server, &known, format, &MemoryLimit::default(), &echo).await
        };
        (client, connection, tokio::spawn(serving))
    }

    fn echo(message: &[u8], reply: &mut Vec<u8>) -> Reply {
        reply.extend_from_slice(message);
        Reply::Send
    }

    /// Sends `bytes` and waits until they were received; whether all replies could be sent.
    async fn sent(client: &Stream, connection: &Connection, bytes: &[u8]) -> bool {
        let before = connection.traffic().received;
        client.send_all(bytes).await.unwrap();
        while connection.traffic().received < before + bytes.len() as u64 {
            tokio::task::yield_now().await;
        }
        // The reply is tried at once.
        tokio::task::yield_now().await;
        connection.traffic().sent >= connection.traffic().received
    }

    #[tokio::test]
    async fn an_invalid_message_behind_unsent_replies_ends_only_its_connection() {
        let message = [&60_000_u32.to_be_bytes()[..], &[b'x'; 60_000]].concat();
        // How many find room is the same each time.
        let (client, connection, _serving) = served();
        let mut fit = 0;
        while sent(&client, &connection, &message).await {
            fit += 1;
        }

        let (client, connection, serving) = served();
        for _ in 0..fit {
            assert!(sent(&client, &connection, &message).await);
        }
        let invalid = [&message[..], &u32::MAX.to_be_bytes()].concat();
        assert!(!sent(&client, &connection, &invalid).await);

        let (other, _, other_serving) = served();
        let hello = [&5_u32.to_be_bytes()[..], b"hello"].concat();
        other.send_all(&hello).await.unwrap();
        let mut reply = [0; 16];
        assert_eq!(
            other.receive(&mut reply).await.unwrap().count(),
            hello.len()
        );
        drop(other);
        other_serving.await.unwrap().unwrap();

        let mut replies = vec![0; (fit + 1) * message.len()];
        let mut received = 0;
        while received < replies.len() {
            received += client
                .receive(&mut replies[received..])
                .await
                .unwrap()
                .count();
        }
        let failure = serving.await.unwrap().unwrap_err();
        assert_eq!(failure.io_error().kind(), io::ErrorKind::InvalidData);
    }
}
