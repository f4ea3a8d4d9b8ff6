//! Lesson 9: sockets without connections.

use std::collections::HashSet;

use sok::address::SocketType;
use sok::error::Error;

use super::Played;
use crate::full_receiver::{Ends, Filled};
use crate::tour::actors::{Client, SERVER, answer_to, listed};
use crate::tour::message_server::{bind, receive_from};
use crate::tour::recorder::{done_by, unrecorded};
use crate::tour::report::Observer;
use crate::tour::stage::{STEP_LIMIT, Stage};

const SENDERS: usize = 3;

pub(super) async fn play(stage: &mut Stage<'_, impl Observer>) -> Played {
    for socket_type in stage.family().types() {
        if !socket_type.has_connection() {
            one_socket(stage, *socket_type).await?;
            full_receiver(stage, *socket_type).await?;
        }
    }
    Ok(())
}

async fn one_socket(stage: &mut Stage<'_, impl Observer>, socket_type: SocketType) -> Played {
    let address = stage.address().with_type(socket_type)?;
    let server = stage
        .step("The server binds a socket, and does not listen", async {
            bind(&address)
        })
        .await?;
    let clients = stage
        .step(
            format!("{SENDERS} clients send their names; nothing has accepted them"),
            async {
                let mut clients = Vec::new();
                for number in 1..=SENDERS {
                    let name = format!("client {number}");
                    let client = Client::connect(&*name, server.local_addr()).await?;
                    client.send(name).await?;
                    clients.push(client);
                }
                Ok(clients)
            },
        )
        .await?;
    let senders = stage
        .step(
            "The server receives each with the name of its sender, and answers it",
            async {
                let mut senders = HashSet::new();
                for _ in 0..SENDERS {
                    let (message, sender) = receive_from(&server)?;
                    let reply = answer_to(&message);
                    let sent = done_by(SERVER, || server.send_to(reply.as_bytes(), &sender));
                    sent.map_err(|error| Error::new("send", server.local_addr(), error))?;
                    senders.insert(sender);
                }
                Ok(senders.len())
            },
        )
        .await?;
    let calls = stage.calls_of(SERVER);
    let made = |call: &str| calls.iter().filter(|made| **made == call).count();
    let (sockets, accepts) = (made("socket"), made("accept"));
    stage.measured("senders", senders);
    stage
        .expect(
            format!("{SENDERS} senders, 1 socket, 0 connections accepted"),
            format!("{senders} senders, {sockets} socket, {accepts} connections accepted"),
        )
        .await?;

    let replies = stage
        .step("The clients receive their replies, and all close", async {
            let mut replies = Vec::new();
            for client in &clients {
                replies.push(client.receive().await?);
            }
            clients.into_iter().for_each(Client::leave);
            done_by(SERVER, || drop(server));
            Ok(replies)
        })
        .await?;
    let expected = (1..=SENDERS).map(|number| answer_to(&format!("client {number}")));
    stage
        .expect(
            format!("each its own: {}", listed(expected)),
            format!("each its own: {}", listed(replies)),
        )
        .await
}

async fn full_receiver(stage: &mut Stage<'_, impl Observer>, socket_type: SocketType) -> Played {
    let address = stage.address().with_type(socket_type)?;
    let filling = async {
        let _silence = unrecorded();
        Ends::at(&address, STEP_LIMIT / 2).await?.fill()
    };
    let what = "A client sends to a server that receives nothing (calls not shown)";
    let Filled { fit, waits } = stage.step(what, filling).await?;
    stage.measured("fit", fit);
    stage.compared("full_receiver", "datagrams: a full receiver", next(waits));
    let expected = next(stage.family().facts().full_receiver_blocks);
    stage
        .expect(
            format!("the receiver is full: {expected}"),
            format!("the receiver is full: {}", next(waits)),
        )
        .await
}

const fn next(waits: bool) -> &'static str {
    match waits {
        true => "the sender waits",
        false => "the next is dropped",
    }
}
