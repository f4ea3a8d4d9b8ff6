//! Lesson 3: many clients, one after another.

use sok::loops::MessageFormat;
use sok::service::AnswerService;

use super::Played;
use crate::tour::actors::{Client, Heard, MESSAGE, Server, Setup, answer_to, listed};
use crate::tour::report::Observer;
use crate::tour::stage::Stage;

pub(super) async fn play(stage: &mut Stage<'_, impl Observer>) -> Played {
    one_after_another(stage).await?;
    one_at_a_time(stage).await
}

async fn one_after_another(stage: &mut Stage<'_, impl Observer>) -> Played {
    let (address, format) = (stage.address(), MessageFormat::default());
    let service = AnswerService::new(format, Heard::default());
    let starting = Server::start(&address, Setup::default(), service);
    let server = stage.step("The server listens", starting).await?;
    let answered = stage
        .step("Three clients connect, one after another", async {
            let mut answered = 0;
            for number in 1..=3 {
                let client = Client::connect(format!("client {number}"), server.address()).await?;
                let reply = client.ask(MESSAGE, format).await?;
                answered += usize::from(reply == answer_to(MESSAGE));
                client.leave();
                server.has_ended(number).await?;
            }
            Ok(answered)
        })
        .await?;
    stage
        .expect(
            "3 clients were answered",
            format!("{answered} clients were answered"),
        )
        .await?;
    stage.measured("one_after_another", answered);

    stage
        .step("Client 4 closes with the reply unread", async {
            let client = Client::connect("client 4", server.address()).await?;
            client.send(MESSAGE).await?;
            client.has_unread(answer_to(MESSAGE).len()).await?;
            client.leave();
            server.has_ended(4).await
        })
        .await?;
    let (reply, served) = stage
        .step("Client 5 is served, and the server stops", async {
            let client = Client::connect("client 5", server.address()).await?;
            let reply = client.ask(MESSAGE, format).await?;
            client.leave();
            server.has_ended(5).await?;
            Ok((reply, server.finish().await?))
        })
        .await?;
    stage
        .expect(
            format!(
                "client 5 receives {}; of 5 connections, 1 failed",
                answer_to(MESSAGE)
            ),
            format!(
                "client 5 receives {reply}; of {} connections, {} failed",
                served.connections, served.failed
            ),
        )
        .await
}

async fn one_at_a_time(stage: &mut Stage<'_, impl Observer>) -> Played {
    let (address, format) = (stage.address(), MessageFormat::default());
    let heard = Heard::default();
    let service = AnswerService::new(format, heard.clone());
    let starting = Server::start(&address, Setup::one_at_a_time(5), service);
    let server = stage
        .step("A second server serves one client at a time", starting)
        .await?;
    let (first, second) = stage
        .step("Client 1 is served; client 2 connects and sends", async {
            let first = Client::connect("client 1", server.address()).await?;
            first.ask("from client 1", format).await?;
            let second = Client::connect("client 2", server.address()).await?;
            second.send("from client 2").await?;
            first.ask("again from client 1", format).await?;
            Ok((first, second))
        })
        .await?;
    let accepted = server.progress().accepted.len();
    stage.measured("accepted_while_the_first_is_there", accepted);
    stage
        .expect(
            "accepted: 1; received: from client 1, again from client 1",
            format!("accepted: {accepted}; received: {}", listed(heard.all())),
        )
        .await?;
    let reply = stage
        .step("Client 1 closes, and client 2 gets its reply", async {
            first.leave();
            let reply = second.receive().await?;
            second.leave();
            server.has_ended(2).await?;
            server.finish().await?;
            Ok(reply)
        })
        .await?;
    stage
        .expect(
            format!("client 2 receives {}", answer_to("from client 2")),
            format!("client 2 receives {reply}"),
        )
        .await
}
