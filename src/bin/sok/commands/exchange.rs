//! The standard streams and a peer: what `connect` and `serve --stdio` do with a connection.

use std::fs::File;
use std::future::Future;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::dup2_stdout;
use sok::address::Target;
use sok::client::{Conversation, ExchangeOptions, Way, exchange};
use sok::error::{Error, ErrorKind, Result};
use sok::loops::{Connection, Framing};
use sok::net::Stream;

use crate::args::{ExchangeArgs, ProgressArgs};
use crate::exit::Exit;
use crate::output::Ui;
use crate::output::progress::{Count, Progress};
use crate::output::prompt::{self, Editor, Terminal};
use crate::output::standard::{self, Standard};

/// The default prompt on a terminal.
const PROMPT: &str = "> ";

/// How the standard streams are connected to a peer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) options: ExchangeOptions,
    /// That of a conversation, if one is held.
    pub(crate) prompt: Option<String>,
    forbidden: Vec<String>,
    pub(crate) progress: TransferProgress,
}

/// The progress of an exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransferProgress {
    shown: Progress,
    /// Whether the input is sent unchanged.
    is_of_bytes: bool,
}

/// The messages of an exchange, as they were given.
pub(crate) struct Messages {
    /// The option that was given, if any.
    pub(crate) given: Option<&'static str>,
    pub(crate) framing: Option<Framing>,
    pub(crate) max_message: usize,
}

impl Messages {
    /// Refuses them for a stream.
    pub(crate) fn check(&self, operation: &'static str, target: &Target) -> Result<()> {
        match self.given {
            Some(option) if !target.socket_type().keeps_messages() => {
                let cause = format!("{option} means nothing here: a stream has no messages");
                let error = Error::because(operation, target, ErrorKind::Usage, cause);
                Err(error.with_hint("leave it out, and all bytes pass unchanged"))
            }
            _ => Ok(()),
        }
    }
}

/// The exchange of `operation` with a peer of `target`.
///
/// # Errors
/// [`ErrorKind::Usage`] for options that mean nothing there.
pub(crate) fn plan(
    operation: &'static str,
    target: &Target,
    args: &ExchangeArgs,
    messages: &Messages,
    idle_timeout: Option<Duration>,
    (when, ui): (&ProgressArgs, Ui),
) -> Result<Exchange> {
    let usage = |cause: String| Error::because(operation, target, ErrorKind::Usage, cause);
    let mut options = ExchangeOptions::default();
    options.only = match (args.send_only, args.receive_only) {
        (true, _) => Some(Way::Send),
        (_, true) => Some(Way::Receive),
        _ => None,
    };
    options.no_half_close = args.no_half_close;
    options.keep_sending = args.keep_sending;
    options.idle_timeout = idle_timeout;
    messages.check(operation, target)?;
    if let Some(framing) = messages.framing {
        options.format.framing = framing;
    }
    // These options disable the conversation.
    let is_default = options == ExchangeOptions::default() && messages.framing.is_none();
    let converses = is_default && standard::is_terminal();
    options.format.max_message = messages.max_message;
    options.bare = args.raw;
    let prompt = args.prompt.clone();
    let prompt = prompt.or_else(|| converses.then(|| PROMPT.to_owned()));
    if prompt.is_none() && !args.forbid.is_empty() {
        let cause = "--forbid needs a conversation; add --prompt TEXT";
        return Err(usage(cause.to_owned()));
    }
    if args.forbid.iter().any(String::is_empty) {
        let cause = "--forbid needs a word; every line contains the empty word";
        return Err(usage(cause.to_owned()));
    }
    let types = options.only != Some(Way::Receive) && standard::is_typed();
    let shows = options.only != Some(Way::Send) && standard::shows_output();
    Ok(Exchange {
        progress: TransferProgress {
            shown: Progress::new(ui, when.when(), types || shows),
            is_of_bytes: !target.socket_type().keeps_messages()
                && options.only != Some(Way::Receive),
        },
        options,
        prompt,
        forbidden: args.forbid.clone(),
    })
}

impl TransferProgress {
    /// Shows it beside `exchange`.
    pub(crate) async fn beside<T>(
        self,
        connection: &Connection,
        exchange: impl Future<Output = T>,
    ) -> T {
        let total = self.is_of_bytes.then(standard::left_in_file).flatten();
        let count = || {
            let traffic = connection.traffic();
            Count {
                traffic,
                current: traffic.sent,
                total,
                open: 1,
            }
        };
        self.shown.beside(exchange, true, count).await
    }
}

impl Exchange {
    /// Connects the standard streams to the peer of `connection`, until the end of both.
    pub(crate) async fn run(self, stream: Stream, connection: &Arc<Connection>) -> Result<Exit> {
        let mut output = standard::stdout()?;
        let Some(prompt) = self.prompt else {
            let (input, output) = (standard::stdin()?, Output(output));
            let exchanged = exchange(stream, connection, input, output, self.options);
            let exchanged = self.progress.beside(connection, exchanged).await;
            return exchanged.map(|()| Exit::Done);
        };
        let mut conversation = Conversation::default();
        conversation.forbidden = self.forbidden;
        conversation.adds_newlines = standard::shows_output();
        conversation.escapes = standard::shows_output() && !self.options.bare;
        conversation.max_message = self.options.format.max_message;
        conversation.bare = self.options.bare;
        let terminal = Terminal::saved();
        let lines = Editor::new(prompt, &terminal)?;
        let held = conversation.hold(&stream, connection, lines, &mut output);
        prompt::hold(terminal, held).await
    }
}

/// The standard output, which is really closed when the exchange drops it at the peer's end: its
/// reader gets end of file even while we continue to send.
struct Output(Standard);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Replace it, since a closed descriptor would be reused as the standard output.
        let nowhere = File::options().write(true).open("/dev/null");
        // Without a replacement, it is closed when the process ends.
        let _ = nowhere.map(dup2_stdout);
    }
}
