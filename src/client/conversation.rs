//! A conversation with the peer: a line, the reply, and so on.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io::{self, Write};
use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc as async_mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::shown::Shown;
use super::{
    ExchangeOptions, QUIET, is_too_large, output_error, passing_error, report_lost, without_loss,
};
use crate::error::{Error, ErrorKind, Result};
use crate::loops::{Connection, MessageFormat};
use crate::net::{LONGEST_MESSAGE, Stream, with_length};
use crate::offload::no_thread;

const RECEIVE: usize = 64 * 1024;

/// After this time a line counts as having no reply, as some servers answer only after several
/// lines. Most replies come sooner and precede the next prompt, and a person hardly notices the
/// pause.
const REPLY_PAUSE: Duration = Duration::from_millis(200);

/// The source of the lines of a conversation.
pub trait LineSource: Send + 'static {
    /// The next line without its newline, or `None` at end of file.
    ///
    /// # Errors
    /// `Interrupted` if the person cancels.
    fn next_line(&mut self) -> io::Result<Option<String>>;

    /// Tells the person why a line was not sent.
    fn refuse(&mut self, reason: &str);

    /// Whether a person types the lines: none exists before it is requested.
    fn is_typed(&self) -> bool;
}

const ENDED: &str = "the peer ended before all lines were sent";

fn unread(error: io::Error) -> Error {
    Error::new("read", "standard input", error).with_kind(ErrorKind::Other)
}

/// Options of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conversation {
    /// A line that contains one of these is not sent.
    pub forbidden: Vec<String>,
    /// Whether to add a newline before the next line if the reply has none; otherwise the output is
    /// exactly what the peer sends.
    pub adds_newlines: bool,
    /// Whether to write control characters, except tabs and newlines, as `\xNN`, for a terminal.
    pub escapes: bool,
    /// The maximum size of a message, on a socket that keeps messages apart.
    pub max_message: usize,
    /// Whether to write such a message without a newline.
    pub bare: bool,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            forbidden: Vec::new(),
            adds_newlines: false,
            escapes: false,
            max_message: MessageFormat::default().max_message,
            bare: false,
        }
    }
}

impl Conversation {
    /// Sends each line and writes what comes back, until the lines or the peer end, and counts the
    /// traffic in `connection`.
    ///
    /// On a socket that keeps messages apart, a line is one message, without its newline. No peer can
    /// end a conversation on a datagram socket: it ends after the last line, when no message has come
    /// for [`ExchangeOptions::LINGER`].
    ///
    /// A reply is what one receive returns; if none comes for a short time, the next line follows.
    /// Late replies are written when they come. After the last line this half-closes, and writes
    /// what the peer still sends.
    ///
    /// When the peer ends, a typed conversation ends; other lines are read on for a moment, to
    /// detect one left unsent.
    ///
    /// # Errors
    /// [`ErrorKind::Broken`] if the peer resets, or ends with a line unsent,
    /// [`ErrorKind::OutputClosed`], and what `lines` reports.
    pub async fn hold(
        self,
        stream: &Stream,
        connection: &Connection,
        lines: impl LineSource,
        output: &mut impl Write,
    ) -> Result<()> {
        let address = &connection.peer().address;
        let failed = |operation, source| passing_error(operation, address, source);
        let is_typed = lines.is_typed();
        let has_connection = stream.has_connection();
        let adds_newlines = self.adds_newlines;
        let shown = self.escapes.then(Shown::default);
        let ends_messages = stream.keeps_messages() && !self.bare;
        let (room, end) = match stream.keeps_messages() {
            true => (self.max_message.min(LONGEST_MESSAGE), ""),
            false => (RECEIVE, "\n"),
        };
        let (mut typed, next) = self.read_lines(lines, end)?;
        let mut buffer = vec![0; room];
        let mut reply = Reply {
            output,
            adds_newlines,
            ends_line: true,
            shown,
            ends_messages,
        };
        let mut unsent: Option<Bytes> = None;
        let mut finished = false;
        let mut lost = 0_u64;
        // The next line is read only after the last one is sent and its reply is written, or does
        // not come.
        let (mut asked, mut unanswered) = (false, false);
        let mut sent_at = Instant::now();
        let mut lingers_from = sent_at;
        loop {
            let may_ask = !(asked || unanswered || finished) && unsent.is_none();
            tokio::select! {
                biased;
                received = stream.receive(&mut buffer) => {
                    let received = match received {
                        Err(error) if is_too_large(&error) && !has_connection => {
                            report_lost(address, &error);
                            lost += 1;
                            continue;
                        }
                        received => received.map_err(|error| failed("receive", error))?,
                    };
                    if received.is_end() {
                        reply.finish().map_err(output_error)?;
                        if unsent.is_some() {
                            return Err(failed("send", io::ErrorKind::BrokenPipe.into()));
                        }
                        if finished || is_typed {
                            return Ok(());
                        }
                        if !asked {
                            let _ = next.send(());
                        }
                        return match timeout(QUIET, typed.recv()).await {
                            Ok(None) | Err(_) => Ok(()),
                            Ok(Some(Ok(_))) => {
                                Err(Error::because("send", address, ErrorKind::Broken, ENDED))
                            }
                            Ok(Some(Err(error))) => Err(unread(error)),
                        };
                    }
                    let count = received.count();
                    connection.count_received(count);
                    reply.write(&buffer[..count]).map_err(output_error)?;
                    unanswered = false;
                    lingers_from = Instant::now();
                }
                // A refusal of a datagram makes the socket not readable.
                refused = stream.reset_by_peer(), if !has_connection => {
                    return Err(failed("receive", refused));
                }
                sent = poll_fn(|cx| stream.poll_send(cx, unsent.as_deref().unwrap_or_default())),
                    if unsent.is_some() =>
                {
                    let size = unsent.as_ref().map_or(0, Bytes::len);
                    let count = match sent.map_err(|error| with_length(error, size)) {
                        Err(error) if is_too_large(&error) && !has_connection => {
                            report_lost(address, &error);
                            lost += 1;
                            size
                        }
                        sent => {
                            let count = sent.map_err(|error| failed("send", error))?;
                            connection.count_sent(count);
                            count
                        }
                    };
                    unsent = unsent.take().map(|bytes| bytes.slice(count..));
                    unsent.take_if(|rest| rest.is_empty());
                    sent_at = Instant::now();
                }
                line = typed.recv(), if asked => match line {
                    Some(Ok(line)) => {
                        // A late reply may have come since this line was requested.
                        reply.end_line().map_err(output_error)?;
                        unsent = Some(line.into());
                        (asked, unanswered) = (false, true);
                    }
                    Some(Err(error)) => return Err(unread(error)),
                    None => {
                        (asked, finished) = (false, true);
                        lingers_from = Instant::now();
                        stream.shutdown(Shutdown::Write).map_err(|error| failed("shutdown", error))?;
                    }
                },
                () = sleep_until(sent_at + REPLY_PAUSE), if unanswered && unsent.is_none() => {
                    unanswered = false;
                }
                () = sleep_until(lingers_from + ExchangeOptions::LINGER),
                    if finished && !has_connection =>
                {
                    reply.finish().map_err(output_error)?;
                    return without_loss(lost, address);
                }
                // Last: bytes already received are written before the next line is read.
                () = std::future::ready(()), if may_ask => {
                    reply.end_line().map_err(output_error)?;
                    // If the thread has ended, its channel is closed.
                    let _ = next.send(());
                    asked = true;
                }
            }
        }
    }

    /// Reads lines on a separate thread, one for each request, and adds `end` to each; a closed
    /// channel is the end.
    fn read_lines(
        self,
        mut lines: impl LineSource,
        end: &'static str,
    ) -> Result<(
        async_mpsc::UnboundedReceiver<io::Result<String>>,
        mpsc::Sender<()>,
    )> {
        let (to_send, typed) = async_mpsc::unbounded_channel();
        let (next, asked) = mpsc::channel();
        let read = move || {
            while asked.recv().is_ok() {
                match self.allowed_line(&mut lines) {
                    Ok(Some(line)) => {
                        if to_send.send(Ok(line + end)).is_err() {
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(error) => {
                        // The conversation may have ended meanwhile.
                        let _ = to_send.send(Err(error));
                        return;
                    }
                }
            }
        };
        let started = thread::Builder::new().name("lines".to_owned()).spawn(read);
        started.map_err(|error| no_thread("read", "lines", error))?;
        Ok((typed, next))
    }

    fn allowed_line(&self, lines: &mut impl LineSource) -> io::Result<Option<String>> {
        while let Some(line) = lines.next_line()? {
            match self
                .forbidden
                .iter()
                .find(|word| line.contains(word.as_str()))
            {
                Some(word) => lines.refuse(&format!("not sent: the line contains {word:?}")),
                None => return Ok(Some(line)),
            }
        }
        Ok(None)
    }
}

/// Writes replies to the output.
struct Reply<'a, W> {
    output: &'a mut W,
    adds_newlines: bool,
    ends_line: bool,
    /// Escapes them, if enabled.
    shown: Option<Shown>,
    /// Whether what is written at once is a message, which gets a newline unless it has one.
    ends_messages: bool,
}

impl<W: Write> Reply<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut text = match &mut self.shown {
            Some(shown) => Cow::from(shown.take(bytes).into_bytes()),
            None => Cow::from(bytes),
        };
        if self.ends_messages {
            let rest = self.shown.as_mut().map(Shown::finish);
            let text = text.to_mut();
            text.extend_from_slice(rest.unwrap_or_default().as_bytes());
            if !bytes.ends_with(b"\n") {
                text.push(b'\n');
            }
        }
        self.put(&text)
    }

    /// Writes the held-back part of the last reply, and ends its line.
    fn finish(&mut self) -> io::Result<()> {
        if let Some(shown) = &mut self.shown {
            let text = shown.finish();
            self.put(text.as_bytes())?;
        }
        self.end_line()
    }

    /// Adds the newline that a reply lacks.
    fn end_line(&mut self) -> io::Result<()> {
        if self.ends_line || !self.adds_newlines {
            return Ok(());
        }
        self.put(b"\n")
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.ends_line = bytes.ends_with(b"\n");
        self.output.write_all(bytes)?;
        self.output.flush()
    }
}
