//! A server that receives messages: an actor like those of `actors`.

use std::io;
use std::time::Duration;

use sok::address::Address;
use sok::error::{Error, Result};
use sok::net::{ListenOptions, Listener, Received, ReceivingSocket, Sender, Stream};

use super::actors::{SERVER, listen};
use super::recorder::{done_by, played_by};

/// The time limit of a receive.
const LIMIT: Duration = Duration::from_secs(2);
/// The largest message that it receives.
const BUFFER: usize = 1024;

/// A socket that clients send messages to.
#[derive(Debug)]
pub(super) enum MessageServer {
    /// It accepts a connection, and receives from it.
    Listening(Listener),
    /// It receives datagrams of every client.
    Bound(ReceivingSocket),
}

impl MessageServer {
    /// Binds to `address`, and listens if the type has connections.
    pub(super) fn start(address: &Address) -> Result<Self> {
        let options = ListenOptions::default();
        match address.socket_type().has_connection() {
            true => listen(address, &options).map(Self::Listening),
            false => bind(address).map(Self::Bound),
        }
    }

    pub(super) fn address(&self) -> &Address {
        match self {
            Self::Listening(listener) => listener.local_addr(),
            Self::Bound(socket) => socket.local_addr(),
        }
    }

    /// Receives `count` messages of the client that has sent them.
    pub(super) async fn receive(&self, count: usize) -> Result<Vec<String>> {
        let mut messages = Vec::new();
        match self {
            Self::Listening(listener) => {
                let failed = |error: io::Error| Error::new("accept", self.address(), error);
                let (stream, _) = played_by(SERVER, listener.accept()).await.map_err(failed)?;
                for _ in 0..count {
                    messages.push(received(&stream).await?);
                }
                done_by(SERVER, || drop(stream));
            }
            Self::Bound(socket) => {
                for _ in 0..count {
                    messages.push(receive_from(socket)?.0);
                }
            }
        }
        Ok(messages)
    }

    /// Closes its socket.
    pub(super) fn stop(self) {
        done_by(SERVER, || drop(self));
    }
}

/// Binds a datagram socket, as the server.
pub(super) fn bind(address: &Address) -> Result<ReceivingSocket> {
    done_by(SERVER, || {
        let socket = ReceivingSocket::bind(address)?;
        let limited = socket.socket().set_blocking_within(LIMIT);
        limited.map_err(|error| Error::new("bind", address, error))?;
        Ok(socket)
    })
}

/// Receives one datagram and its sender, as the server.
pub(super) fn receive_from(socket: &ReceivingSocket) -> Result<(String, Sender)> {
    let mut buffer = [0; BUFFER];
    let received = done_by(SERVER, || socket.receive_from(&mut buffer));
    let failed = |error| Error::new("receive", socket.local_addr(), error);
    let (count, sender) = received.map_err(failed)?;
    Ok((text(&buffer[..count]), sender))
}

async fn received(stream: &Stream) -> Result<String> {
    let mut buffer = [0; BUFFER];
    let received = played_by(SERVER, stream.receive(&mut buffer)).await;
    let failed = |error| Error::new("receive", "the client", error);
    match received.map_err(failed)? {
        Received::End => Ok("end of file".to_owned()),
        received => Ok(text(&buffer[..received.count()])),
    }
}

fn text(message: &[u8]) -> String {
    match message {
        [] => "(empty)".to_owned(),
        message => String::from_utf8_lossy(message).into_owned(),
    }
}
