//! Lesson 6: where a message begins and ends.

use std::io;

use sok::address::SocketType;
use sok::error::{Error, Result};
use sok::loops::{Framing, MessageFormat};
use sok::net::{ListenOptions, Stream};
use sok::service::AnswerService;

use super::Played;
use crate::tour::actors::{
    Client, Heard, MESSAGE, SERVER, Server, Setup, answer_to, listed, listen,
};
use crate::tour::message_server::MessageServer;
use crate::tour::recorder::{done_by, played_by};
use crate::tour::report::Observer;
use crate::tour::stage::Stage;

const OTHER: &str = "再见";
/// The receive buffer of a simple program.
const BUFFER: usize = 1024;
const LARGE: usize = 10_000;

pub(super) async fn play(stage: &mut Stage<'_, impl Observer>) -> Played {
    as_it_comes(stage).await?;
    framed(stage).await?;
    with_messages(stage).await
}

/// Waits until `count` bytes have arrived, and receives them; returns each receive.
async fn receive(stream: &Stream, count: usize) -> Result<Vec<Vec<u8>>> {
    let failed = |error| Error::new("receive", "the client", error);
    played_by(SERVER, async {
        stream.arrived(count).await.map_err(failed)?;
        let (mut receives, mut left) = (Vec::new(), count);
        while left > 0 {
            let mut buffer = vec![0; BUFFER];
            let received = stream.receive(&mut buffer).await.map_err(failed)?;
            if received.is_end() {
                return Err(failed(io::ErrorKind::UnexpectedEof.into()));
            }
            buffer.truncate(received.count());
            left = left.saturating_sub(received.count());
            receives.push(buffer);
        }
        Ok(receives)
    })
    .await
}

async fn as_it_comes(stage: &mut Stage<'_, impl Observer>) -> Played {
    let address = stage.address();
    let (listener, client, served) = stage
        .step("A server listens and accepts a client", async {
            let listener = listen(&address, &ListenOptions::default())?;
            let client = Client::connect("client", listener.local_addr()).await?;
            let accepted = played_by(SERVER, listener.accept()).await;
            let (served, _) =
                accepted.map_err(|e| Error::new("accept", listener.local_addr(), e))?;
            Ok((listener, client, served))
        })
        .await?;
    let what = format!(
        "The client sends {MESSAGE} and then {OTHER}; the server waits for both (MSG_PEEK), and receives"
    );
    let received = stage
        .step(what, async {
            client.send(MESSAGE).await?;
            client.send(OTHER).await?;
            receive(&served, MESSAGE.len() + OTHER.len()).await
        })
        .await?;
    let texts = listed(received.iter().map(|bytes| String::from_utf8_lossy(bytes)));
    stage
        .expect(
            format!("2 sends, 1 receive: {MESSAGE}{OTHER}"),
            format!("2 sends, {} receive: {texts}", received.len()),
        )
        .await?;

    let what =
        format!("The client sends {LARGE} bytes at once; the server receives at most {BUFFER}");
    let receives = stage
        .step(what, async {
            client.send([b'x'; LARGE]).await?;
            Ok(receive(&served, LARGE).await?.len())
        })
        .await?;
    let sends = stage
        .last_calls()
        .iter()
        .filter(|made| made.call.call == "send")
        .count();
    stage.measured("sends", sends);
    stage.measured("receives", receives);
    stage
        .expect(
            format!("1 send, {} receives", LARGE.div_ceil(BUFFER)),
            format!("{sends} send, {receives} receives"),
        )
        .await?;
    stage
        .step("Both close", async {
            client.leave();
            done_by(SERVER, || drop((served, listener)));
            Ok(())
        })
        .await
}

async fn framed(stage: &mut Stage<'_, impl Observer>) -> Played {
    let lines = MessageFormat {
        framing: Framing::Line,
        ..MessageFormat::default()
    };
    let (address, heard) = (stage.address(), Heard::default());
    let starting = Server::start(
        &address,
        Setup::default(),
        AnswerService::new(lines, heard.clone()),
    );
    let server = stage
        .step("A second server reads messages that are lines", starting)
        .await?;
    let what = "A client sends two lines at once, and a third in two pieces";
    stage
        .step(what, async {
            let client = Client::connect("client", server.address()).await?;
            let (head, tail) = MESSAGE.split_at("你".len());
            client.send(format!("{MESSAGE}\n{OTHER}\n{head}")).await?;
            client.has_unread(answer_to(MESSAGE).len() * 2 + 2).await?;
            client.send(format!("{tail}\n")).await?;
            client.has_unread(answer_to(MESSAGE).len() * 3 + 3).await?;
            client.receive().await?;
            client.leave();
            server.has_ended(1).await?;
            server.finish().await.map(drop)
        })
        .await?;
    stage
        .expect(
            format!("3 messages: {}", listed([MESSAGE, OTHER, MESSAGE])),
            format!("{} messages: {}", heard.all().len(), listed(heard.all())),
        )
        .await?;

    let sized = MessageFormat {
        framing: Framing::Length,
        ..MessageFormat::default()
    };
    let (address, heard) = (stage.address(), Heard::default());
    let starting = Server::start(
        &address,
        Setup::default(),
        AnswerService::new(sized, heard.clone()),
    );
    let server = stage
        .step(
            "A third server reads messages after their length, in 4 bytes",
            starting,
        )
        .await?;
    let reply = stage
        .step(
            format!("A client sends {LARGE} bytes that include newlines"),
            async {
                let client = Client::connect("client", server.address()).await?;
                let reply = client.ask(&"x\n".repeat(LARGE / 2), sized).await?;
                client.leave();
                server.has_ended(1).await?;
                server.finish().await?;
                Ok(reply)
            },
        )
        .await?;
    stage
        .expect(
            format!("1 message of {LARGE} bytes; its reply is complete"),
            format!(
                "{} message of {} bytes; its reply is {}",
                heard.all().len(),
                heard.all().iter().map(String::len).sum::<usize>(),
                match reply == answer_to(&"x\n".repeat(LARGE / 2)) {
                    true => "complete",
                    false => "cut off",
                }
            ),
        )
        .await
}

/// The types of socket that do have messages.
async fn with_messages(stage: &mut Stage<'_, impl Observer>) -> Played {
    let types = stage.family().types().iter();
    let types: Vec<&SocketType> = types.filter(|one| one.keeps_messages()).collect();
    for socket_type in &types {
        let address = stage.address().with_type(**socket_type)?;
        let name = socket_type.sock_name();
        let what = format!(
            "On a socket of type {name}, a client sends {MESSAGE}, an empty message, and {OTHER}"
        );
        let (server, client) = stage
            .step(what, async {
                let server = MessageServer::start(&address)?;
                let client = Client::connect("client", server.address()).await?;
                for message in [MESSAGE, "", OTHER] {
                    client.send(message).await?;
                }
                Ok((server, client))
            })
            .await?;
        let received = stage
            .step("The server receives 3 times, and both close", async {
                let received = server.receive(3).await?;
                client.leave();
                server.stop();
                Ok(received)
            })
            .await?;
        stage
            .expect(
                format!("{name}: 3 sends, 3 receives: {MESSAGE}, (empty), {OTHER}"),
                format!("{name}: 3 sends, 3 receives: {}", listed(received)),
            )
            .await?;
    }
    let names = listed(types.iter().map(|one| one.sock_name()));
    stage.compared("with_messages", "types with messages", names);
    Ok(())
}
