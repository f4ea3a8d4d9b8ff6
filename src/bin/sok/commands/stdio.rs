//! `sok serve --stdio`: the standard streams and the clients of a listener.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sok::address::Target;
use sok::client::{ExchangeEnds, ExchangeOptions};
use sok::error::{Error, ErrorKind, Result};
use sok::loops::{Connection, Framing, Service, Stop};
use sok::net::{ListenOptions, Stream};
use tokio_util::either::Either;

use super::exchange::{self, Exchange, Messages, TransferProgress};
use super::run::{block_on, until_killed, until_signal_but_hangup};
use super::server::{FRAMINGS, Server};
use crate::args::{FramingArg, ServeArgs};
use crate::exit::Exit;
use crate::output::Ui;
use crate::output::standard::{self, Standard};

/// The exchange of each client.
///
/// # Errors
/// [`ErrorKind::Usage`] for options that mean nothing here.
pub(crate) fn plan(args: &ServeArgs, target: &Target, ui: Ui) -> Result<Exchange> {
    let usage = |cause: String| Error::because("serve", target, ErrorKind::Usage, cause);
    let (limits, keep_open) = (&args.limits, args.services.keep_open);
    let unused = [
        ("--max-connections", limits.max_connections.is_some()),
        ("--threads", limits.threads.is_some()),
        ("--max-memory", args.max_memory.is_some()),
    ];
    if let Some((option, _)) = unused.into_iter().find(|(_, given)| *given) {
        let cause = format!("{option} means nothing with --stdio: it serves one client at a time");
        return Err(usage(cause).with_hint("leave it out"));
    }
    if limits.once && keep_open {
        let cause = "--once and --keep-open cannot be used together; choose one";
        return Err(usage(cause.to_owned()));
    }
    if limits.exit_after.is_some() && !keep_open {
        let cause = "--exit-after with --stdio needs --keep-open: otherwise there is one client";
        return Err(usage(cause.to_owned()));
    }
    if args.exchange.prompt.is_some() && keep_open {
        let cause = "--prompt holds a conversation with one client, so no --keep-open";
        return Err(usage(cause.to_owned()));
    }
    let framing = args.framing.framing.map(FramingArg::framing);
    if framing == Some(Framing::Chunk) {
        let cause = "--framing chunk does not say where a message of the input ends";
        return Err(usage(cause.to_owned()).with_hint(format!("give --framing {FRAMINGS}")));
    }
    let messages = Messages {
        given: args.framing.given(),
        framing,
        max_message: args.framing.max_message(),
    };
    let mut exchange = exchange::plan(
        "serve",
        target,
        &args.exchange,
        &messages,
        args.idle_timeout,
        (&args.progress, ui),
    )?;
    // A client may send rarely.
    exchange.options.linger = ListenOptions::SESSION_IDLE;
    if keep_open {
        exchange.prompt = None;
    }
    Ok(exchange)
}

/// Exchanges with one client, or with one after another if it is to `keep_open`.
pub(crate) fn run(mut server: Server, exchange: Exchange, keep_open: bool) -> Result<Exit> {
    server.limits.max_connections = 1;
    // The exchange has these limits.
    server.options.session_idle = Duration::MAX;
    server.idle_timeout = None;
    let outcome = Outcome::default();
    if keep_open {
        return block_on(one_after_another(server, exchange, outcome));
    }
    server.limits.exit_after = Some(1);
    let noted = outcome.clone();
    let reads_rules_again = server.reload.is_some();
    let serving = async {
        let done = server.run(|_| Ok(OneClient { exchange, outcome })).await?;
        let exit = noted.locked().exit;
        Ok(exit.unwrap_or(done))
    };
    // As of `sok connect`, and at once: nothing tells the client that it should end.
    block_on(match reads_rules_again {
        true => Either::Left(until_signal_but_hangup(serving)),
        false => Either::Right(until_killed(true, serving)),
    })
}

async fn one_after_another(server: Server, exchange: Exchange, outcome: Outcome) -> Result<Exit> {
    let ends = ExchangeEnds::new(standard::stdin()?, standard::stdout()?);
    let ends = Arc::new(ends);
    let served = server
        .run(|stop| {
            Ok(Clients {
                ends: Arc::clone(&ends),
                options: exchange.options,
                progress: exchange.progress,
                outcome: outcome.clone(),
                stop,
            })
        })
        .await?;
    let failure = outcome.locked().failure.take();
    if let Some(failure) = failure {
        return Err(failure);
    }
    match ends.unsent().await {
        0 => Ok(served),
        count => {
            let cause = format!("{count} bytes were read and not sent: no client took them");
            let error = Error::because("send", "standard input", ErrorKind::Broken, cause);
            Err(error)
        }
    }
}

/// What the clients have left behind.
#[derive(Debug, Clone, Default)]
struct Outcome(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    /// The exit code that a person chose at the prompt.
    exit: Option<Exit>,
    /// Why not all of the input has arrived, or could not be read.
    failure: Option<Error>,
}

impl Outcome {
    fn locked(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the first failure.
    fn fail(&self, error: &Error, cause: String) {
        let (operation, address) = (error.operation(), error.address());
        let noted = || Error::because(operation, address, error.kind(), cause);
        self.locked().failure.get_or_insert_with(noted);
    }
}

/// The exchange with one client.
struct OneClient {
    exchange: Exchange,
    outcome: Outcome,
}

impl Service for OneClient {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        match self.exchange.clone().run(stream, connection).await {
            // The reader of our output has seen enough.
            Err(error) if error.kind() == ErrorKind::OutputClosed => {}
            Ok(exit) => self.outcome.locked().exit = Some(exit),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Notes on drop that an exchange was cut off, as at the end of the connection's lifetime: what its client
/// has not received is gone.
struct Cut<'a> {
    outcome: &'a Outcome,
    connection: &'a Connection,
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        if self.connection.traffic().sent > 0 {
            let cause = "input that was sent may be lost: the connection was cut off";
            let (peer, kind) = (self.connection.peer(), ErrorKind::TimedOut);
            let error = Error::because("serve", peer, kind, cause);
            self.outcome.fail(&error, error.cause());
        }
    }
}

/// The exchanges with one client after another.
struct Clients {
    ends: Arc<ExchangeEnds<Standard, Standard>>,
    options: ExchangeOptions,
    progress: TransferProgress,
    outcome: Outcome,
    stop: Stop,
}

impl Service for Clients {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        let options = self.options.clone();
        let cut = Cut {
            outcome: &self.outcome,
            connection,
        };
        let exchanged = self.ends.exchange(stream, connection, options);
        let done = self.progress.beside(connection, exchanged).await;
        // It has ended.
        std::mem::forget(cut);
        let Err(error) = done else {
            return Ok(());
        };
        match error.operation() {
            // Nobody reads what clients send.
            _ if error.kind() == ErrorKind::OutputClosed => {
                self.stop.request();
                return Ok(());
            }
            // The next client would not get it either.
            "read" | "write" => {
                self.outcome.fail(&error, error.cause());
                self.stop.request();
            }
            // What was not sent goes to the next client, unless it is a message that none can get.
            operation => {
                let is_unsendable = operation == "send" && error.kind() != ErrorKind::Broken;
                if connection.traffic().sent > 0 || is_unsendable {
                    let cause = format!("input that was sent may be lost: {}", error.cause());
                    self.outcome.fail(&error, cause);
                }
            }
        }
        Err(error)
    }
}
