//! Lesson 5: a server that restarts on the same address.

use std::sync::Arc;

use sok::error::{Error, ErrorKind, Result};
use sok::loops::{Connection, MessageFormat, Service};
use sok::net::{ListenOptions, Stream, is_left_behind};
use sok::service::AnswerService;

use super::Played;
use crate::tour::actors::{
    Client, Heard, MESSAGE, SERVER, SUFFIX, Server, Setup, answer_to, listen,
};
use crate::tour::recorder::done_by;
use crate::tour::report::Observer;
use crate::tour::stage::Stage;

/// Answers one message, and closes first.
struct AnswerOnce;

impl Service for AnswerOnce {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        let failed = |error| Error::new("answer", connection.peer(), error);
        let mut message = [0; 1024];
        let count = stream.receive(&mut message).await.map_err(failed)?.count();
        let reply = [&message[..count], SUFFIX.as_bytes()].concat();
        stream.send_all(&reply).await.map_err(failed)
    }
}

pub(super) async fn play(stage: &mut Stage<'_, impl Observer>) -> Played {
    let address = stage.address();
    let facts = address.kind().facts();
    let mut dying = ListenOptions::default();
    dying.remove_file = false;
    let mut simple = dying.clone();
    simple.reuse_address = false;
    let setup = Setup {
        listen: dying,
        ..Setup::default()
    };
    let starting = Server::start(&address, setup, AnswerOnce);
    let server = stage.step("The first server listens", starting).await?;
    let address = server.address().clone();

    // One step, since a connection stays in TIME_WAIT only for a minute.
    let what = "It answers a client, closes first, and dies; then a client connects, and a second server binds";
    let (late, held, again) = stage
        .step(what, async {
            let client = Client::connect("client", &address).await?;
            client.ask(MESSAGE, MessageFormat::default()).await?;
            server.has_ended(1).await?;
            client.receive().await?;
            client.leave();
            server.finish().await?;
            let late = Client::connect("client", &address).await;
            let late = late.map(Client::leave);
            let held = is_left_behind(&address);
            let again = listen(&address, &simple);
            Ok((
                late,
                held,
                again.map(|listener| done_by(SERVER, || drop(listener))),
            ))
        })
        .await?;
    stage
        .expect(
            "the client is refused: no server is listening",
            match &late {
                Err(error) if error.kind() == ErrorKind::NoServer => {
                    "the client is refused: no server is listening".to_owned()
                }
                Err(error) => error.to_string(),
                Ok(()) => "the client is connected".to_owned(),
            },
        )
        .await?;
    let saw = again
        .err()
        .map_or_else(|| "bound".to_owned(), |error| error.cause());
    stage.measured("bind_again", saw.clone());
    stage
        .expect(
            "bind fails: Address already in use",
            format!("bind fails: {saw}"),
        )
        .await?;
    let holder = match held {
        true => facts.left_behind,
        false => "nothing",
    };
    stage.compared("left_behind", "a dead server leaves behind", holder);
    stage
        .expect(
            format!("the address is held by: {}", facts.left_behind),
            format!("the address is held by: {holder}"),
        )
        .await?;

    let heard = Heard::default();
    let what = format!(
        "A third server takes the address with {}",
        facts.taken_again_by
    );
    let starting = Server::start(
        &address,
        Setup::default(),
        AnswerService::new(MessageFormat::default(), heard),
    );
    let server = stage.step(what, starting).await?;
    let reply = stage
        .step("A client is answered, and the server stops", async {
            let client = Client::connect("client", &address).await?;
            let reply = client.ask(MESSAGE, MessageFormat::default()).await?;
            client.leave();
            server.has_ended(1).await?;
            server.finish().await?;
            Ok(reply)
        })
        .await?;
    stage.compared("taken_again_by", "taken over with", facts.taken_again_by);
    stage
        .expect(
            format!("on the same address: {}", answer_to(MESSAGE)),
            format!("on the same address: {reply}"),
        )
        .await
}
