//! The prompt of a conversation: line editing and history on a terminal, plain lines elsewhere.

use std::future::Future;
use std::io::{self, BufRead, BufReader, IsTerminal};

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::exit::Exit;
use super::ui;
use crate::client::Lines;
use crate::error::{Error, Result};

/// Where the lines come from.
pub(super) struct Editor {
    prompt: String,
    source: Source,
}

enum Source {
    Terminal(Box<DefaultEditor>),
    Plain(BufReader<ui::Standard>),
}

impl Editor {
    pub(super) fn new(prompt: String) -> Result<Self> {
        let failed = |error: ReadlineError| {
            Error::new("open", "the terminal", io::Error::other(error.to_string()))
        };
        let source = match io::stdin().is_terminal() {
            true => Source::Terminal(Box::new(DefaultEditor::new().map_err(failed)?)),
            false => Source::Plain(BufReader::new(ui::stdin()?)),
        };
        Ok(Self { prompt, source })
    }
}

impl Lines for Editor {
    fn next_line(&mut self) -> io::Result<Option<String>> {
        let editor = match &mut self.source {
            Source::Terminal(editor) => editor,
            Source::Plain(input) => {
                ui::prompt(&self.prompt);
                let line = input.split(b'\n').next().transpose()?;
                let text = line.map(String::from_utf8).transpose();
                return text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
            }
        };
        match editor.readline(&self.prompt) {
            Ok(line) => {
                // A history that takes no more entries is no reason not to send the line.
                let _ = editor.add_history_entry(&line);
                Ok(Some(line))
            }
            Err(ReadlineError::Eof) => Ok(None),
            Err(ReadlineError::Interrupted) => Err(io::ErrorKind::Interrupted.into()),
            Err(ReadlineError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }

    fn refuse(&mut self, reason: &str) {
        ui::tell(reason);
    }

    fn is_typed(&self) -> bool {
        matches!(self.source, Source::Terminal(_))
    }
}

/// Holds a conversation and gives the terminal back as it was, however it ends.
pub(super) async fn hold(conversation: impl Future<Output = Result<()>>) -> Result<Exit> {
    let _terminal = Terminal::saved();
    match conversation.await {
        Ok(()) => Ok(Exit::Done),
        Err(error) if is_interrupt(&error) => Ok(Exit::INTERRUPTED),
        Err(error) => Err(error),
    }
}

fn is_interrupt(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|source| source.kind() == io::ErrorKind::Interrupted)
}

/// The modes of the terminal, which are set again when this value is dropped: the thread that
/// reads a line may be in the middle of it when the server ends.
struct Terminal(Option<Termios>);

impl Terminal {
    fn saved() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(modes) = &self.0 {
            // A terminal that has gone needs no modes.
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, modes);
        }
    }
}
