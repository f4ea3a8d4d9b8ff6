//! Lesson 2: many messages on one connection, and how it ends.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use sok::client::{Conversation, Counter, LineSource};
use sok::loops::{Framing, MessageFormat};
use sok::service::Converse;

use super::Played;
use crate::tour::actors::{Client, Heard, MESSAGE, SERVER, Server, Setup, answer_to, listed};
use crate::tour::report::Observer;
use crate::tour::stage::Stage;

const FORBIDDEN: &str = "secret";
const LINES: [&str; 4] = [MESSAGE, "a secret", "how are you", "bye"];
const RESET: &str = "Connection reset by peer";

/// The end of a conversation, as its loop saw it.
fn shown(ended: Option<String>) -> String {
    ended.unwrap_or_else(|| "an empty receive".to_owned())
}

pub(super) async fn play(stage: &mut Stage<'_, impl Observer>) -> Played {
    let address = stage.address();
    let (heard, format) = (Heard::default(), line());
    let service = Converse::new(format, heard.clone());
    let starting = Server::start(&address, Setup::default(), service);
    let server = stage
        .step("The server listens; a message is a line", starting)
        .await?;

    let lines = Script::new(LINES);
    let refused = Arc::clone(&lines.refused);
    let talking = converse(&server, lines);
    let what = format!(
        "A client says {}; it sends no line with {FORBIDDEN:?} in it, and asks for another",
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
                "refused by the client: 1, heard by the server: {}",
                listed(&allowed)
            ),
            format!(
                "refused by the client: {refusals}, heard by the server: {}",
                listed(heard.all())
            ),
        )
        .await?;

    let ended = stage
        .step("Another client says one line and leaves", async {
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
            "the server receives 0 bytes, and its loop ends with an empty receive",
            format!(
                "the server receives {last} bytes, and its loop ends with {}",
                shown(ended)
            ),
        )
        .await?;

    let ended = stage
        .step(
            "The next one dies, with the reply lying there unread",
            async {
                let client = Client::connect("client", server.address()).await?;
                client.send(format!("{MESSAGE}\n")).await?;
                client.has_unread(answer_to(MESSAGE).len() + 1).await?;
                client.leave();
                server.has_ended(3).await
            },
        )
        .await?;
    stage
        .expect(
            format!("the loop ends with: {RESET}"),
            format!("the loop ends with: {}", shown(ended)),
        )
        .await?;

    let ended = stage
        .step(
            "The next one has read all, and asks for a reset (SO_LINGER of 0)",
            async {
                let client = Client::connect("client", server.address()).await?;
                client.ask(MESSAGE, format).await?;
                client.reset();
                server.has_ended(4).await
            },
        )
        .await?;
    let told = match stage.family().facts().has_reset {
        true => RESET,
        false => "an empty receive",
    };
    let saw = shown(ended);
    stage.compared("reset", "a reset is seen as", saw.clone());
    stage
        .expect(
            format!("the loop ends with: {told}"),
            format!("the loop ends with: {saw}"),
        )
        .await?;

    let reply = stage
        .step("The next one is served, and the server ends", async {
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
            format!("the server has survived: {}", answer_to(MESSAGE)),
            format!("the server has survived: {reply}"),
        )
        .await
}

/// Messages that are lines.
fn line() -> MessageFormat {
    MessageFormat {
        framing: Framing::Line,
        ..MessageFormat::default()
    }
}

/// Holds a conversation by the lines of `script`; gives the replies.
async fn converse(server: &Server, script: Script) -> sok::error::Result<String> {
    let client = Client::connect("client", server.address()).await?;
    let mut conversation = Conversation::default();
    conversation.adds_newlines = false;
    conversation.escapes = false;
    conversation.forbidden = vec![FORBIDDEN.to_owned()];
    let mut replies = Vec::new();
    let counter = Counter::default();
    let address = server.address();
    let held = conversation.hold(client.stream(), address, script, &mut replies, &counter);
    client.plays(held).await?;
    client.leave();
    server.has_ended(1).await?;
    Ok(String::from_utf8_lossy(&replies).into_owned())
}

/// A person who says certain lines.
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
