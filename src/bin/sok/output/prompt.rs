//! The prompt of a conversation: line editing and history on a terminal, plain lines elsewhere.

use std::future::Future;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use sok::client::LineSource;
use sok::error::{Error, Result};

use super::standard;
use super::talk;
use crate::exit::Exit;

/// The source of the lines.
pub(crate) struct Editor {
    prompt: String,
    source: Source,
    turn: Turn,
}

enum Source {
    Terminal(Box<DefaultEditor>),
    Plain(BufReader<standard::Standard>),
}

impl Editor {
    pub(crate) fn new(prompt: String, terminal: &Terminal) -> Result<Self> {
        let failed = |error: ReadlineError| {
            Error::new("open", "the terminal", io::Error::other(error.to_string()))
        };
        let source = match io::stdin().is_terminal() {
            true => Source::Terminal(Box::new(DefaultEditor::new().map_err(failed)?)),
            false => Source::Plain(BufReader::new(standard::stdin()?)),
        };
        let turn = terminal.turn.clone();
        Ok(Self {
            prompt,
            source,
            turn,
        })
    }
}

impl LineSource for Editor {
    fn next_line(&mut self) -> io::Result<Option<String>> {
        let editor = match &mut self.source {
            Source::Terminal(editor) => editor,
            Source::Plain(input) => {
                talk::prompt(&self.prompt);
                let line = input.split(b'\n').next().transpose()?;
                let text = line.map(String::from_utf8).transpose();
                return text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
            }
        };
        if !self.turn.begin() {
            return Ok(None);
        }
        let read = editor.readline(&self.prompt);
        self.turn.end();
        match read {
            Ok(line) => {
                // A history that takes no more entries must not prevent sending the line.
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
        talk::tell(reason);
    }

    fn is_typed(&self) -> bool {
        matches!(self.source, Source::Terminal(_))
    }
}

/// Holds a conversation and restores the terminal, however it ends.
pub(crate) async fn hold(
    terminal: Terminal,
    conversation: impl Future<Output = Result<()>>,
) -> Result<Exit> {
    let _terminal = terminal;
    match conversation.await {
        Ok(()) => Ok(Exit::Done),
        Err(error) if is_interrupt(&error) => Ok(Exit::INTERRUPTED),
        Err(error) => Err(error),
    }
}

fn is_interrupt(error: &Error) -> bool {
    error.io_error().kind() == io::ErrorKind::Interrupted
}

/// The modes of the terminal, restored on drop: the thread that reads a line may be in the middle
/// of it when the server ends.
pub(crate) struct Terminal {
    modes: Option<Termios>,
    turn: Turn,
}

impl Terminal {
    pub(crate) fn saved() -> Self {
        Self {
            modes: tcgetattr(io::stdin()).ok(),
            turn: Turn::default(),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        /// The time that a started line may take to set its modes.
        const SOON: Duration = Duration::from_millis(100);
        let Some(modes) = &self.modes else { return };
        self.turn.lock().is_over = true;
        // The modes of a line would overwrite the restored ones.
        let began = Instant::now();
        while self.turn.lock().reads
            && tcgetattr(io::stdin()).is_ok_and(|now| now == *modes)
            && began.elapsed() < SOON
        {
            thread::sleep(Duration::from_millis(1));
        }
        // A terminal that is gone needs no modes.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, modes);
    }
}

/// Whether a line is being read, which sets the modes of the terminal, or may still be started.
#[derive(Clone, Default)]
struct Turn(Arc<Mutex<Reading>>);

#[derive(Default)]
struct Reading {
    reads: bool,
    is_over: bool,
}

impl Turn {
    fn begin(&self) -> bool {
        let mut reading = self.lock();
        reading.reads = !reading.is_over;
        reading.reads
    }

    fn end(&self) {
        self.lock().reads = false;
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
