//! Lesson 4: connections that wait to be accepted.

use std::fmt;
use std::time::Duration;

use sok::error::{ErrorKind, Result};
use sok::loops::MessageFormat;
use sok::service::AnswerService;

use super::Played;
use crate::tour::actors::{Client, Heard, Server, Setup, listed};
use crate::tour::report::Observer;
use crate::tour::stage::Stage;

pub(super) const CLIENTS: usize = 7;
pub(super) const BACKLOG: u32 = 5;
/// The connect timeout of a client.
const PATIENCE: Duration = Duration::from_millis(250);

/// The outcome of each client.
#[derive(Debug, Default)]
struct Crowd {
    served: usize,
    queued: Vec<Client>,
    waited: usize,
    refused: usize,
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queued = self.queued.len();
        write!(
            f,
            "{} served, {queued} queued, {} timed out, {} refused",
            self.served, self.waited, self.refused
        )
    }
}

impl Crowd {
    /// Connects a client, and sends its name.
    async fn admit(&mut self, server: &Server, number: usize) -> Result<()> {
        let name = format!("client {number}");
        match Client::connect_within(PATIENCE, &*name, server.address()).await {
            Ok(client) => {
                client.send(&name).await?;
                self.queued.push(client);
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => self.waited += 1,
            Err(error) if error.kind() == ErrorKind::NoServer => self.refused += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

pub(super) async fn play(stage: &mut Stage<'_, impl Observer>) -> Played {
    let (address, heard) = (stage.address(), Heard::default());
    let service = AnswerService::new(MessageFormat::default(), heard.clone());
    let starting = Server::start(&address, Setup::one_at_a_time(BACKLOG), service);
    let what = format!("The server listens with a backlog of {BACKLOG}, and serves one at a time");
    let server = stage.step(what, starting).await?;

    let mut crowd = Crowd::default();
    let first = stage
        .step("Client 1 connects and is served", async {
            let client = Client::connect("client 1", server.address()).await?;
            client.ask("client 1", MessageFormat::default()).await?;
            Ok(client)
        })
        .await?;
    let what = format!("Clients 2 to {CLIENTS} connect, and each sends its name");
    stage
        .step(what, async {
            for number in 2..=CLIENTS {
                crowd.admit(&server, number).await?;
            }
            Ok(())
        })
        .await?;
    crowd.served = server.progress().accepted.len();
    stage.measured("clients", CLIENTS);
    stage.measured("served", crowd.served);
    stage.measured("queued", crowd.queued.len());
    stage.measured("waiting", crowd.waited);
    stage.measured("refused", crowd.refused);
    stage
        .expect(
            "of 7: 1 served, 6 queued, 0 timed out, 0 refused",
            format!("of {CLIENTS}: {crowd}"),
        )
        .await?;

    let what = format!("Client 8 tries to connect for {PATIENCE:?}");
    let mut late = Crowd::default();
    stage.step(what, late.admit(&server, 8)).await?;
    let was_refused = stage
        .last_calls()
        .iter()
        .any(|made| made.call.call == "connect" && made.call.result.starts_with("-1 EAGAIN "));
    let saw = format!(
        "{late}; the kernel's answer: {}",
        kernel_answer(was_refused)
    );
    stage.measured("eighth_waiting", late.waited);
    stage.compared(
        "full_backlog",
        "a full backlog returns",
        kernel_answer(was_refused),
    );
    stage
        .expect(
            format!(
                "0 served, 0 queued, 1 timed out, 0 refused; the kernel's answer: {}",
                kernel_answer(stage.family().facts().full_backlog_is_told)
            ),
            saw,
        )
        .await?;

    stage
        .step(
            "Client 1 closes, and the server serves the queue in order",
            async {
                first.leave();
                let queued = crowd.queued.len();
                for client in crowd.queued.drain(..) {
                    client.receive().await?;
                    client.leave();
                }
                server.has_ended(crowd.served + queued).await?;
                server.finish().await
            },
        )
        .await?;
    let order = (1..=CLIENTS).map(|number| format!("client {number}"));
    stage
        .expect(
            format!("served in order: {}", listed(order)),
            format!("served in order: {}", listed(heard.all())),
        )
        .await
}

const fn kernel_answer(refused: bool) -> &'static str {
    match refused {
        true => "EAGAIN at once",
        false => "none",
    }
}
