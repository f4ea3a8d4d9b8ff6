//! The tests for every kind of address: the steps of a connection, and a restart.

use std::future::Future;
use std::io;
use std::net::Shutdown;

use sok::address::SocketType;
use sok::error::Result;
use sok::net::{self, ListenOptions, Listener, Received, Stream};
use tokio::time::timeout;

use super::report::Cell;
use super::scene::{ConnectedPair, Scene, Tried, broken, unexpected};

/// The first step of all.
pub(super) const CREATE: &str = "create";

/// The messages of the two ends.
const QUESTION: &[u8] = b"ping";
const ANSWER: &[u8] = b"pong";

/// The steps of a connection. After a failed step, the rest is not tried.
pub(super) async fn steps(scene: &Scene) -> Vec<Cell> {
    let mut steps = Steps {
        scene,
        cells: Vec::new(),
        failed: None,
    };
    let created = async { net::try_create(scene.kind.family(), SocketType::Stream) };
    let created = steps.run(CREATE, Some(created)).await;
    let bound = created.map(|()| async { net::try_bind(&scene.fresh()) });
    let bound = steps.run("bind", bound).await;
    let listening =
        bound.map(|()| async { Listener::bind(&scene.fresh(), &ListenOptions::default()) });
    let listening = steps.run("listen", listening).await;
    let connected = listening.map(|listener| async {
        let target = listener.local_addr().clone();
        scene.connected(listener, &target).await
    });
    let connected = steps.run("connect", connected).await;
    let exchanged = connected.map(|connection| async {
        exchange(&connection).await?;
        Ok(connection)
    });
    let exchanged = steps.run("exchange", exchanged).await;
    let half_closed = exchanged.map(half_close);
    steps.run("half-close", half_closed).await;
    steps.cells
}

struct Steps<'a> {
    scene: &'a Scene,
    cells: Vec<Cell>,
    failed: Option<&'static str>,
}

impl Steps<'_> {
    /// Runs one step, if the previous one succeeded.
    async fn run<T>(
        &mut self,
        name: &'static str,
        step: Option<impl Future<Output = Result<T>>>,
    ) -> Option<T> {
        let Some(step) = step else {
            let reason = format!("{} fails", self.failed.unwrap_or("the previous step"));
            self.cells.push(Cell::untried(name, reason));
            return None;
        };
        let done = timeout(self.scene.limit, step).await;
        match done.unwrap_or_else(|_| Err(self.scene.late(name))) {
            Ok(value) => {
                self.cells.push(Cell::works(name, None));
                Some(value)
            }
            Err(error) => {
                self.cells.push(self.scene.failed(name, &error));
                self.failed = Some(name);
                None
            }
        }
    }
}

/// Sends a message in each direction.
pub(super) async fn exchange(connection: &ConnectedPair) -> Result<()> {
    let ConnectedPair { client, server, .. } = connection;
    for (from, to, message) in [(client, server, QUESTION), (server, client, ANSWER)] {
        pass(from, to, message)
            .await
            .map_err(broken("exchange", connection.listener.local_addr()))?;
    }
    Ok(())
}

async fn pass(from: &Stream, to: &Stream, message: &[u8]) -> io::Result<()> {
    from.send_all(message).await?;
    let mut received = Vec::new();
    while received.len() < message.len() {
        let mut buffer = [0; 16];
        let piece = to.receive(&mut buffer).await?;
        if piece.is_end() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received.extend_from_slice(&buffer[..piece.count()]);
    }
    if received != message {
        return Err(io::Error::other(
            "the received bytes differ from the sent bytes",
        ));
    }
    Ok(())
}

/// The client half-closes; the server gets end of file, and its answer still arrives.
async fn half_close(connection: ConnectedPair) -> Result<()> {
    let ConnectedPair {
        listener,
        client,
        server,
        ..
    } = connection;
    let failed = broken("half-close", listener.local_addr());
    client.shutdown(Shutdown::Write).map_err(&failed)?;
    ended(&server).await.map_err(&failed)?;
    pass(&server, &client, ANSWER).await.map_err(&failed)?;
    drop(server);
    ended(&client).await.map_err(&failed)
}

async fn ended(stream: &Stream) -> io::Result<()> {
    match stream.receive(&mut [0]).await? {
        Received::End => Ok(()),
        _ => Err(io::Error::other("received bytes instead of end of file")),
    }
}

/// A server that closes first, as a killed one does, binds the same address again, despite a
/// connection in TIME_WAIT or a stale socket file.
pub(super) async fn restart(scene: &Scene) -> Result<Tried> {
    let first = scene.connection(&scene.fresh()).await?;
    let address = first.listener.local_addr().clone();
    exchange(&first).await?;
    drop(first.server);
    ended(&first.client)
        .await
        .map_err(broken("receive", &address))?;
    first.listener.abandon();
    drop(first.client);
    let again = scene.connection(&address).await?;
    if *again.listener.local_addr() != address {
        let what = format!("the address changed to {}", again.listener.local_addr());
        return Err(unexpected("restart", &address, what));
    }
    exchange(&again).await?;
    Ok(Tried::WORKS)
}
