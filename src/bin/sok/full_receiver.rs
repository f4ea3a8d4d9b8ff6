//! What a sender of messages meets when its receiver has no room.

use std::io;
use std::time::Duration;

use sok::address::Address;
use sok::error::{Error, ErrorKind, Result};
use sok::net::{ConnectOptions, ListenOptions, Listener, ReceivingSocket, Socket, Stream};

/// The messages after which the receiver is looked at, at first.
const BURST: usize = 1024;
/// No receiver has room for so many.
const MANY: usize = 1 << 20;
/// A receiver that gets nothing for this long has got all that arrived.
const QUIET: Duration = Duration::from_millis(20);

/// What happened to the messages to a receiver that received none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filled {
    /// How many the receiver had room for.
    pub(crate) fit: usize,
    /// Whether the sender waits with the next one. Otherwise it is dropped.
    pub(crate) waits: bool,
}

/// Two sockets: what one sends, the other receives.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) sender: Socket,
    receiver: Receiver,
}

#[derive(Debug)]
enum Receiver {
    Connected(Socket),
    Bound(ReceivingSocket),
}

impl Ends {
    /// Sends to a fresh `address`, of a type that keeps messages apart. Calls fail with `WouldBlock`
    /// after `limit`.
    ///
    /// # Errors
    /// What the kernel reports.
    pub(crate) async fn at(address: &Address, limit: Duration) -> Result<Self> {
        if !address.socket_type().has_connection() {
            let receiver = ReceivingSocket::bind(address)?;
            let sender = Socket::connect_blocking(receiver.local_addr(), limit)?;
            return Ok(Self {
                sender,
                receiver: Receiver::Bound(receiver),
            });
        }
        let failed = |error: io::Error| Error::new("accept", address, error);
        let listener = Listener::bind(address, &ListenOptions::default())?;
        let client = Stream::connect(listener.local_addr(), &ConnectOptions::default()).await?;
        let (server, _) = listener.accept().await.map_err(failed)?;
        let (sender, _) = client.into_blocking().map_err(failed)?;
        let (receiver, _) = server.into_blocking().map_err(failed)?;
        sender.set_blocking_within(limit).map_err(failed)?;
        Ok(Self {
            sender,
            receiver: Receiver::Connected(receiver),
        })
    }

    pub(crate) const fn receiver(&self) -> &Socket {
        match &self.receiver {
            Receiver::Connected(socket) => socket,
            Receiver::Bound(socket) => socket.socket(),
        }
    }

    /// Sends messages of one byte until the receiver has no more room, and receives them.
    ///
    /// # Errors
    /// What the kernel reports; if messages are lost although the sender waits, and if there is
    /// always room.
    pub(crate) fn fill(&self) -> Result<Filled> {
        let unexpected = |cause| Error::because("send", "", ErrorKind::Other, cause);
        let failed = |error: io::Error| Error::new("send", "", error);
        self.sender.set_polled().map_err(failed)?;
        let receiver = self.receiver();
        receiver.set_blocking_within(QUIET).map_err(failed)?;
        let mut burst = BURST;
        while burst <= MANY {
            let mut sent = 0;
            let mut waits = false;
            while sent < burst && !waits {
                match self.sender.send_message(b"x") {
                    Ok(_) => sent += 1,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => waits = true,
                    Err(error) => return Err(failed(error)),
                }
            }
            let fit = received(receiver, sent).map_err(failed)?;
            match (waits, fit == sent) {
                (false, true) => burst *= 2,
                (true, false) => return Err(unexpected("messages were lost")),
                _ => return Ok(Filled { fit, waits }),
            }
        }
        Err(unexpected("the receiver always had room"))
    }
}

/// Receives until `most` messages or no more have arrived, and counts them.
fn received(receiver: &Socket, most: usize) -> io::Result<usize> {
    for count in 0..most {
        match receiver.receive_message(&mut [0; 8]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(count),
            Err(error) => return Err(error),
        }
    }
    Ok(most)
}
