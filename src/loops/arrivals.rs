//! Between accept and admission: the PROXY header of a connection.

use std::future::pending;
use std::io;
use std::time::Duration;

use humantime::format_duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::access::{Refusal, Rules};
use crate::error::{Error, ErrorKind};
use crate::net::{Peer, Proxied, Stream};

/// Requires a PROXY header at the beginning of each connection: one that has no valid header is reset.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AcceptProxy {
    /// The time limit for the header.
    pub timeout: Duration,
    /// The peers that may send one: the others are refused. By default, all; then every peer that
    /// reaches the listener can name any client, and any process as the client.
    pub from: Rules,
}

impl Default for AcceptProxy {
    fn default() -> Self {
        Self {
            // A packet may be lost once, see section 2 of the specification.
            timeout: Duration::from_secs(3),
            from: Rules::default(),
        }
    }
}

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) stream: Stream,
    /// The peer of its socket.
    pub(super) peer: Peer,
    /// What its header describes, or why it has no valid one.
    pub(super) proxied: Result<Option<Proxied>, NoHeader>,
}

/// Why a connection has no valid header.
#[derive(Debug)]
pub(super) struct NoHeader {
    pub(super) refusal: Refusal,
    pub(super) kind: ErrorKind,
}

impl Arrival {
    fn with_header(stream: Stream, peer: Peer, received: io::Result<Option<Proxied>>) -> Self {
        let proxied = received.map_err(|error| NoHeader {
            refusal: Refusal::Header(cause(&error)),
            kind: Error::new("receive", &peer, error).kind(),
        });
        Self {
            stream,
            peer,
            proxied,
        }
    }

    /// It is handed out: from now on, dropping its stream is no reset.
    fn handed_out(self) -> Self {
        self.stream.close_on_drop();
        self
    }
}

/// The accepted connections whose header has not arrived. They wait side by side.
#[derive(Debug)]
pub(super) struct Arrivals {
    headers: Option<AcceptProxy>,
    waiting: JoinSet<Arrival>,
}

impl Arrivals {
    pub(super) fn new(headers: Option<AcceptProxy>) -> Self {
        let waiting = JoinSet::new();
        Self { headers, waiting }
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Takes an accepted connection, and returns it unless it has to wait.
    pub(super) fn accepted(&mut self, stream: Stream, peer: Peer) -> Option<Arrival> {
        let Some(headers) = &self.headers else {
            let proxied = Ok(None);
            return Some(Arrival {
                stream,
                peer,
                proxied,
            });
        };
        let list = headers.from.list();
        if let Err(refusal) = list.decide(&peer, || stream.peer_groups()) {
            let cause = format!("it may not send a PROXY header: {refusal}");
            let proxied = Err(NoHeader {
                refusal: Refusal::Header(cause),
                kind: ErrorKind::Denied,
            });
            return Some(Arrival {
                stream,
                peer,
                proxied,
            });
        }
        // If it is given up, even when its header has arrived meanwhile.
        stream.reset_on_drop();
        let mut header = Vec::new();
        match stream.try_receive_proxy_header(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let arriving = arrival(stream, peer, header, headers.timeout);
                self.waiting.spawn(arriving);
                None
            }
            // It has mostly arrived, as a proxy sends it at once: then no task is needed.
            received => Some(Arrival::with_header(stream, peer, received).handed_out()),
        }
    }

    /// The next connection that has waited; forever if none waits.
    pub(super) async fn next(&mut self) -> Option<Arrival> {
        match self.waiting.join_next().await {
            // If it panicked, its connection is closed.
            Some(arrival) => arrival.ok().map(Arrival::handed_out),
            None => pending().await,
        }
    }

    /// Resets those that wait, and those whose header has just arrived.
    pub(super) async fn give_up(&mut self) {
        self.waiting.shutdown().await;
    }
}

/// Waits for the rest of a connection's header.
async fn arrival(stream: Stream, peer: Peer, header: Vec<u8>, limit: Duration) -> Arrival {
    let receiving = stream.receive_rest_of_proxy_header(header);
    match timeout(limit, receiving).await {
        Ok(received) => Arrival::with_header(stream, peer, received),
        Err(_) => {
            let limit = format_duration(limit);
            let proxied = Err(NoHeader {
                refusal: Refusal::Header(format!("no PROXY header within {limit}")),
                kind: ErrorKind::TimedOut,
            });
            Arrival {
                stream,
                peer,
                proxied,
            }
        }
    }
}

fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => error.to_string(),
        _ => format!("no PROXY header: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use nix::libc;
    use tokio::task::yield_now;

    use super::*;
    use crate::net::{ConnectOptions, ListenOptions, Listener};

    #[tokio::test]
    async fn a_connection_whose_header_has_just_arrived_is_reset_when_it_is_given_up()
    -> Result<(), Box<dyn std::error::Error>> {
        let listener = Listener::bind(&"inet:127.0.0.1:0".parse()?, &ListenOptions::default())?;
        let client = Stream::connect(listener.local_addr(), &ConnectOptions::default()).await?;
        let (stream, peer) = listener.accept().await?;
        let mut arrivals = Arrivals::new(Some(AcceptProxy::default()));
        stream.reset_on_drop();
        let arriving = arrival(stream, peer, Vec::new(), Duration::from_secs(60));
        let task = arrivals.waiting.spawn(arriving);
        client.send_all(b"PROXY UNKNOWN\r\n").await?;
        while !task.is_finished() {
            yield_now().await;
        }
        arrivals.give_up().await;
        let end = client.receive(&mut [0]).await;
        let reset = end.map_err(|error| error.raw_os_error()).err();
        assert_eq!(reset, Some(Some(libc::ECONNRESET)));
        Ok(())
    }
}
