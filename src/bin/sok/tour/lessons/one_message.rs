//! Lesson 1: each call once, without the loops.

use sok::error::{Error, Result};
use sok::loops::MessageFormat;
use sok::net::{ListenOptions, Stream};

use super::Played;
use crate::tour::actors::{Client, MESSAGE, SERVER, SUFFIX, answer_to, listed, listen};
use crate::tour::recorder::{done_by, played_by};
use crate::tour::report::Observer;
use crate::tour::stage::Stage;

pub(super) async fn play(stage: &mut Stage<'_, impl Observer>) -> Played {
    let address = stage.address();
    let listener = stage
        .step("The server creates a socket, binds it and listens", async {
            listen(&address, &ListenOptions::default())
        })
        .await?;
    let server = listener.local_addr().clone();
    let (client, served) = stage
        .step("The client connects, and the server accepts", async {
            let client = Client::connect("client", &server).await?;
            let accepted = played_by(SERVER, listener.accept()).await;
            let (served, _) = accepted.map_err(|error| Error::new("accept", &server, error))?;
            Ok((client, served))
        })
        .await?;
    let what = format!("The client sends {MESSAGE}; the server sends it back and appends{SUFFIX}");
    let (reply, count) = stage
        .step(what, async {
            let answering = played_by(SERVER, answer_one(&served));
            let (reply, count) =
                tokio::join!(client.ask(MESSAGE, MessageFormat::default()), answering);
            Ok((reply?, count?))
        })
        .await?;
    stage
        .step(
            "Both close; the server also closes its listening socket",
            async {
                done_by(SERVER, || drop(served));
                client.leave();
                done_by(SERVER, || drop(listener));
                Ok(())
            },
        )
        .await?;
    stage
        .expect(
            format!("the reply is {}", answer_to(MESSAGE)),
            format!("the reply is {reply}"),
        )
        .await?;
    stage
        .expect(
            "the message has two characters and 6 bytes",
            format!("the message has two characters and {count} bytes"),
        )
        .await?;
    let saw = listed(stage.calls_of(SERVER));
    stage
        .expect(
            "socket, bind, listen, accept, recv, send, close, close",
            saw,
        )
        .await?;
    let saw = listed(stage.calls_of("client"));
    stage
        .expect(
            "the client's calls: socket, connect, send, recv, close",
            format!("the client's calls: {saw}"),
        )
        .await
}

/// Receives one message and answers it; returns the length of the message.
async fn answer_one(stream: &Stream) -> Result<usize> {
    let failed = |error| Error::new("answer", "the client", error);
    let mut message = [0; 1024];
    let count = stream.receive(&mut message).await.map_err(failed)?.count();
    let reply = [&message[..count], SUFFIX.as_bytes()].concat();
    stream.send_all(&reply).await.map_err(failed)?;
    Ok(count)
}
