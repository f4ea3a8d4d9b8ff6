//! Lesson 7: many clients at the same time.

use sok::loops::MessageFormat;
use sok::service::AnswerService;

use super::Played;
use super::backlog::{BACKLOG, CLIENTS};
use crate::tour::actors::{Client, Heard, Server, Setup, answer_to};
use crate::tour::report::Observer;
use crate::tour::stage::Stage;

pub(super) async fn play(stage: &mut Stage<'_, impl Observer>) -> Played {
    let (address, format) = (stage.address(), MessageFormat::default());
    let mut setup = Setup::default();
    setup.listen.backlog = BACKLOG;
    let starting = Server::start(
        &address,
        setup,
        AnswerService::new(format, Heard::default()),
    );
    let what =
        format!("The server listens with a backlog of {BACKLOG}, and serves all clients at once");
    let server = stage.step(what, starting).await?;
    let clients = stage
        .step(
            format!("{CLIENTS} clients connect, and send nothing"),
            async {
                let mut clients = Vec::new();
                for number in 1..=CLIENTS {
                    clients
                        .push(Client::connect(format!("client {number}"), server.address()).await?);
                    server.has_accepted(number).await?;
                }
                Ok(clients)
            },
        )
        .await?;
    let answered = stage
        .step("They send, the last one first", async {
            let mut answered = 0;
            for (at, client) in clients.iter().enumerate().rev() {
                let message = format!("from client {}", at + 1);
                answered += usize::from(client.ask(&message, format).await? == answer_to(&message));
            }
            Ok(answered)
        })
        .await?;
    let progress = server.progress();
    let open = progress.accepted.len() - progress.ended.len();
    stage.measured("at_once", open);
    stage.measured("answered", answered);
    stage
        .expect(
            format!("{CLIENTS} answered, {CLIENTS} connections open"),
            format!("{answered} answered, {open} connections open"),
        )
        .await?;
    let served = stage
        .step("They close, and the server stops", async {
            clients.into_iter().for_each(Client::leave);
            server.has_ended(CLIENTS).await?;
            server.finish().await
        })
        .await?;
    stage
        .expect(
            format!("{CLIENTS} connections, 0 failed"),
            format!(
                "{} connections, {} failed",
                served.connections, served.failed
            ),
        )
        .await
}
