//! The connection of an exchange, as its threads use it: a socket in blocking mode, or a session,
//! which has none of its own.

use std::future::pending;
use std::io;
use std::net::Shutdown;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::net::{LONGEST_MESSAGE, Received, Socket, Stream};

/// The connection of an exchange.
#[derive(Debug)]
pub(super) enum Wire {
    Socket(Socket),
    Session(SessionEnds),
}

/// The ends of two channels to a task that has the session.
#[derive(Debug)]
pub(super) struct SessionEnds {
    to_send: mpsc::Sender<Outgoing>,
    /// Only the thread that receives locks it.
    received: Mutex<mpsc::Receiver<io::Result<Vec<u8>>>>,
}

/// A message, and where its result is awaited.
#[derive(Debug)]
struct Outgoing {
    message: Vec<u8>,
    sent: oneshot::Sender<io::Result<usize>>,
}

impl Wire {
    /// Its socket, unless it is a session.
    pub(super) const fn socket(&self) -> Option<&Socket> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Session(_) => None,
        }
    }

    /// Sends one message; waits while there is no room.
    pub(super) fn send_message(&self, message: &[u8]) -> io::Result<usize> {
        let session = match self {
            Self::Socket(socket) => return socket.send_message(message),
            Self::Session(session) => session,
        };
        let (sent, result) = oneshot::channel();
        let message = message.to_vec();
        let ended = || io::Error::from(io::ErrorKind::BrokenPipe);
        let passed = session.to_send.blocking_send(Outgoing { message, sent });
        passed.map_err(|_| ended())?;
        result.blocking_recv().map_err(|_| ended())?
    }

    /// Waits for the next message.
    pub(super) fn receive_message(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let session = match self {
            Self::Socket(socket) => return socket.receive_message(buffer),
            Self::Session(session) => session,
        };
        let mut received = session
            .received
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(message) = received.blocking_recv().transpose()? else {
            return Ok(Received::End);
        };
        // Whoever discards it has a small buffer.
        let count = message.len().min(buffer.len());
        buffer[..count].copy_from_slice(&message[..count]);
        Ok(Received::Message(count))
    }

    /// Cuts the connection off: its peer gets an error if the family has a reset, and calls on it
    /// return.
    pub(super) fn cut(&self) {
        if let Self::Socket(socket) = self {
            // That the peer has reset it is no failure here.
            let _ = socket.abort();
        }
        // The task that has the session ends with the exchange, and its ends then fail.
    }

    /// Closes both halves for all calls.
    pub(super) fn shut_down(&self) -> io::Result<()> {
        match self {
            Self::Socket(socket) => match socket.shutdown(Shutdown::Both) {
                Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
                _ => Ok(()),
            },
            Self::Session(_) => Ok(()),
        }
    }
}

/// A session, as the task of its exchange has it.
struct OwnSession {
    stream: Stream,
    /// The exchange only sends: what has come until its end is no loss.
    discards: bool,
}

impl Drop for OwnSession {
    fn drop(&mut self) {
        if self.discards {
            self.stream.discard_arrived();
        }
    }
}

/// Divides a session into what threads use, and a task that never ends and moves its messages while
/// it is polled.
pub(super) fn divided(
    stream: Stream,
    max_message: usize,
    discards: bool,
) -> (Wire, impl Future<Output = ()>) {
    let own = OwnSession { stream, discards };
    let (to_send, mut outgoing) = mpsc::channel::<Outgoing>(1);
    let (incoming, received) = mpsc::channel(1);
    let moving = async move {
        let session = &own.stream;
        let sending = async {
            while let Some(Outgoing { message, sent }) = outgoing.recv().await {
                let done = tokio::select! {
                    biased;
                    done = session.send_all(&message) => done.map(|()| message.len()),
                    // Its peer takes nothing, and another one needs its place.
                    _ = session.peer_closed() => Err(io::ErrorKind::BrokenPipe.into()),
                };
                let _ = sent.send(done);
            }
        };
        let receiving = async {
            let mut buffer = vec![0; max_message.min(LONGEST_MESSAGE)];
            loop {
                let message = match session.receive(&mut buffer).await {
                    Ok(Received::End) => break,
                    Ok(received) => Ok(buffer[..received.count()].to_vec()),
                    Err(error) => Err(error),
                };
                if incoming.send(message).await.is_err() {
                    break;
                }
            }
            drop(incoming);
        };
        tokio::join!(sending, receiving);
        pending().await
    };
    let received = Mutex::new(received);
    let ends = SessionEnds { to_send, received };
    (Wire::Session(ends), moving)
}
