//! The tests for the socket types that keep messages apart.

use std::io;
use std::time::Duration;

use nix::Error as E;
use sok::address::SocketType;
use sok::error::Result;
use sok::net::{Received, Socket, Stream};

use super::basics::exchange;
use super::report::{Cell, Verdict};
use super::scene::{ConnectedPair, Scene, Tried, broken, unexpected};
use crate::full_receiver::Ends;

/// A test of messages.
#[derive(Debug, Clone, Copy)]
enum Trait {
    /// Both ends exchange messages.
    Works,
    /// Each receive returns one message.
    Boundaries,
    /// The size of the largest message that arrives.
    Largest,
    /// A message of 0 bytes is not the end.
    Empty,
    /// What happens to a message that its receiver has no room for.
    Full,
}

impl Trait {
    const ALL: [Self; 5] = [
        Self::Works,
        Self::Boundaries,
        Self::Largest,
        Self::Empty,
        Self::Full,
    ];

    /// The name of its cell, which starts with that of the type.
    fn name(self, socket_type: SocketType) -> String {
        let what = match self {
            Self::Works => return socket_type.to_string(),
            Self::Boundaries => "boundaries kept",
            Self::Largest => "largest message",
            Self::Empty => "empty message",
            Self::Full => "full receiver",
        };
        format!("{socket_type} {what}")
    }
}

/// A cell for each test of each type that keeps messages apart; `created` if the kind has sockets
/// on this host.
pub(super) async fn cells(scene: &Scene, created: bool) -> Vec<Cell> {
    let types = SocketType::ALL.into_iter();
    let mut cells = Vec::new();
    for socket_type in types.filter(|one| one.keeps_messages()) {
        let mut missing = (!created).then(|| super::basics::CREATE.to_owned());
        for test in Trait::ALL {
            let name = test.name(socket_type);
            cells.push(
                if let Err(absence) = scene.kind.family().require(socket_type) {
                    Cell::absent(name, &absence.cause())
                } else if let Some(missing) = &missing {
                    Cell::untried(name, format!("{missing} fails"))
                } else {
                    scene.cell(name, attempt(scene, socket_type, test)).await
                },
            );
            let has_failed = cells
                .last()
                .is_some_and(|one| one.outcome == Verdict::Fails);
            if has_failed && matches!(test, Trait::Works) {
                missing = Some(test.name(socket_type));
            }
        }
    }
    cells
}

async fn attempt(scene: &Scene, socket_type: SocketType, test: Trait) -> Result<Tried> {
    let address = scene.fresh().with_type(socket_type)?;
    match test {
        Trait::Works => {
            exchange(&scene.conversation(&address).await?).await?;
            Ok(Tried::WORKS)
        }
        Trait::Boundaries => {
            let sizes = [3, 1, 8];
            both_ways(&scene.conversation(&address).await?, &sizes).await
        }
        Trait::Empty => both_ways(&scene.conversation(&address).await?, &[0, 1, 0]).await,
        Trait::Largest => {
            let ends = Ends::at(&address, scene.limit).await?;
            let largest = largest(&ends).map_err(broken("send", &address))?;
            let found = format!("{largest} bytes");
            Ok(Tried::Value {
                shown: found.clone(),
                found,
            })
        }
        Trait::Full => {
            let filled = Ends::at(&address, scene.limit).await?.fill()?;
            let what = if filled.waits { "waits" } else { "drops" };
            Ok(Tried::Value {
                shown: format!("{what} at {}", filled.fit),
                found: format!("{what} after {} messages of 1 byte", filled.fit),
            })
        }
    }
}

/// Sends messages of these sizes in each direction, and receives each as it was sent.
async fn both_ways(connection: &ConnectedPair, sizes: &[usize]) -> Result<Tried> {
    let ConnectedPair { client, server, .. } = connection;
    let address = connection.listener.local_addr();
    for (from, to) in [(client, server), (server, client)] {
        let received = pass(from, to, sizes).await;
        let received = received.map_err(broken("exchange", address))?;
        let wanted: Vec<Received> = sizes.iter().copied().map(Received::Message).collect();
        if received != wanted {
            let what = format!("messages of {sizes:?} bytes arrived as {received:?}");
            return Err(unexpected("receive", address, what));
        }
    }
    Ok(Tried::WORKS)
}

async fn pass(from: &Stream, to: &Stream, sizes: &[usize]) -> io::Result<Vec<Received>> {
    let mut buffer = [0; 64];
    for size in sizes {
        from.send_all(&buffer[..*size]).await?;
    }
    let mut received = Vec::new();
    for _ in sizes {
        received.push(to.receive(&mut buffer).await?);
    }
    Ok(received)
}

/// A search for a larger message ends here.
const ENOUGH: usize = 1 << 26;
/// A message that has not arrived after this time was dropped.
const ARRIVAL: Duration = Duration::from_millis(50);

/// The size of the largest message that arrives.
fn largest(ends: &Ends) -> io::Result<usize> {
    ends.receiver().set_blocking_within(ARRIVAL)?;
    // It arrives, and this one does not.
    let (mut good, mut bad) = (0, 1024);
    while bad <= ENOUGH && arrives(&ends.sender, ends.receiver(), bad)? {
        (good, bad) = (bad, bad * 2);
    }
    while good + 1 < bad {
        let middle = good.midpoint(bad);
        match arrives(&ends.sender, ends.receiver(), middle)? {
            true => good = middle,
            false => bad = middle,
        }
    }
    Ok(good)
}

fn arrives(sender: &Socket, receiver: &Socket, size: usize) -> io::Result<bool> {
    let mut message = vec![0; size];
    match sender.send_message(&message) {
        Ok(_) => {}
        Err(error) if error.raw_os_error().map(E::from_raw) == Some(E::EMSGSIZE) => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    match receiver.receive_message(&mut message) {
        Ok(received) => Ok(received == Received::Message(size)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}
