//! Lesson 2: many messages on one connection, and the ways it ends.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use sok::client::{Conversation, LineSource};
use sok::loops::{Connection, Framing, MessageFormat};
use sok::net::Peer;
use sok::service::AnswerService;

use super::Played;
use crate::tour::actors::{Client, Heard, MESSAGE, SERVER, Server, Setup, answer_to, listed};
use crate::tour::report::Observer;
use crate::tour::stage::Stage;

const FORBIDDEN: &str = "secret";
const LINES: [&str; 4] = [MESSAGE, "a secret", "how are you", "bye"];
const RESET: &str = "Connection reset by peer";

/// How the loop saw the end of the conversation.
fn shown(ended: Option<String>) -> String {
    ended.unwrap_or_else(|| "end of file".to_owned())
}

pub(super) async fn play(stage: &mut Stage<'_, impl Observer>) -> Played {
    let address = stage.address();
    let (heard, format) = (Heard::default(), line());
    let service = AnswerService::new(format, heard.clone());
    let starting = Server::start(&address, Setup::default(), service);
    let server = stage
        .step("The server listens; a message is a line", starting)
        .await?;

    let lines = Script::new(LINES);
    let refused = Arc::clone(&lines.refused);
    let talking = converse(&server, lines);
    let what = format!(
        "A client reads {}; it does not send a line that contains {FORBIDDEN:?}",
        listed(LINES)
    );
    let replies = stage.step(what, talking).await?;
    let allowed: Vec<&str> = LINES
        .into_iter()
        .filter(|l| !l.contains(FORBIDDEN))
        .collect();
    stage
        .expect(
            format!(
                "one connection, answered: {}",
                listed(allowed.iter().map(|l| answer_to(l)))
            ),
            format!("one connection, answered: {}", listed(replies.lines())),
        )
        .await?;
    let refusals = refused.lock().unwrap_or_else(PoisonError::into_inner).len();
    stage
        .expect(
            format!(
                "lines refused by the client: 1, received by the server: {}",
                listed(&allowed)
            ),
            format!(
                "lines refused by the client: {refusals}, received by the server: {}",
                listed(heard.all())
            ),
        )
        .await?;

    let ended = stage
        .step("A second client sends one line and closes", async {
            let client = Client::connect("client", server.address()).await?;
            client.ask(MESSAGE, format).await?;
            client.leave();
            server.has_ended(2).await
        })
        .await?;
    let mut calls = stage.last_calls().iter();
    let last = calls.rfind(|made| made.who == SERVER && made.call.call == "recv");
    let last = last
        .map_or("nothing", |made| made.call.result.as_str())
        .to_owned();
    stage
        .expect(
            "the server receives 0 bytes, and its loop ends with end of file",
            format!(
                "the server receives {last} bytes, and its loop ends with {}",
                shown(ended)
            ),
        )
        .await?;

    let ended = stage
        .step("The next client closes with the reply unread", async {
            let client = Client::connect("client", server.address()).await?;
            client.send(format!("{MESSAGE}\n")).await?;
            client.has_unread(answer_to(MESSAGE).len() + 1).await?;
            client.leave();
            server.has_ended(3).await
        })
        .await?;
    stage
        .expect(
            format!("the loop ends with: {RESET}"),
            format!("the loop ends with: {}", shown(ended)),
        )
        .await?;

    let ended = stage
        .step(
            "The next client reads the reply and resets the connection (SO_LINGER of 0)",
            async {
                let client = Client::connect("client", server.address()).await?;
                client.ask(MESSAGE, format).await?;
                client.reset();
                server.has_ended(4).await
            },
        )
        .await?;
    let expected = match stage.family().facts().has_reset {
        true => RESET,
        false => "end of file",
    };
    let saw = shown(ended);
    stage.compared("reset", "the peer sees a reset as", saw.clone());
    stage
        .expect(
            format!("the loop ends with: {expected}"),
            format!("the loop ends with: {saw}"),
        )
        .await?;

    let reply = stage
        .step("The next client is served, and the server stops", async {
            let client = Client::connect("client", server.address()).await?;
            let reply = client.ask(MESSAGE, format).await?;
            client.leave();
            server.has_ended(5).await?;
            server.finish().await?;
            Ok(reply)
        })
        .await?;
    stage
        .expect(
            format!("the server still answers: {}", answer_to(MESSAGE)),
            format!("the server still answers: {reply}"),
        )
        .await
}

/// The framing of lines.
fn line() -> MessageFormat {
    MessageFormat {
        framing: Framing::Line,
        ..MessageFormat::default()
    }
}

/// Sends the lines of `script` in a conversation; returns the replies.
async fn converse(server: &Server, script: Script) -> sok::error::Result<String> {
    let client = Client::connect("client", server.address()).await?;
    let mut conversation = Conversation::default();
    conversation.adds_newlines = false;
    conversation.escapes = false;
    conversation.forbidden = vec![FORBIDDEN.to_owned()];
    let mut replies = Vec::new();
    let connection = Connection::new(1, Peer::new(server.address().clone()));
    let held = conversation.hold(client.stream(), &connection, script, &mut replies);
    client.plays(held).await?;
    client.leave();
    server.has_ended(1).await?;
    Ok(String::from_utf8_lossy(&replies).into_owned())
}

/// A user who types certain lines.
struct Script {
    lines: VecDeque<String>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn new<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            lines: lines.into_iter().map(str::to_owned).collect(),
            refused: Arc::default(),
        }
    }
}

impl LineSource for Script {
    fn next_line(&mut self) -> io::Result<Option<String>> {
        Ok(self.lines.pop_front())
    }

    fn refuse(&mut self, reason: &str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.push(reason.to_owned());
    }

    fn is_typed(&self) -> bool {
        false
    }
}
