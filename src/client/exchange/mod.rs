//! Our input to the socket and the socket to our output, until the peer ends.

mod messages;
mod shared;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use humantime::format_duration;
use nix::fcntl::{FcntlArg, fcntl};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use self::messages::Messages;
use self::shared::{Guard, Shared, uninterrupted};
use crate::address::Address;
use crate::client::{Counter, is_too_large, output_error, passing_error, without_loss};
use crate::error::{Error, ErrorKind, Result};
use crate::loops::{Framing, MessageFormat};
use crate::net::{Stream, is_refused};
use crate::offload::no_thread;

/// How much is copied at once, each way: half of what a pipe holds, so that its other end works
/// on one half while we fill the other.
const BUFFER: usize = 32 * 1024;
/// After so many full buffers, a pipe of ours is one that carries much.
const FULL_BUFFERS: u32 = 3;
/// What such a pipe should hold. The default of two buffers puts its two ends to sleep in turns, and
/// more than this gains nothing (scripts/compare stream).
const PIPE_ROOM: i32 = 256 * 1024;
/// The largest piece of one `sendfile(2)`, after which the idle clock is set back.
const PIECE: usize = 128 * 1024;

/// When an exchange ends, and what its messages are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExchangeOptions {
    /// Keep our sending half open when our input ends; the peer then does not see an end.
    pub no_half_close: bool,
    /// When the peer ends first, go on sending until our input ends: it may only have closed its
    /// sending half.
    pub keep_sending: bool,
    /// End with an error when nothing has passed, either way, for so long. Where no peer can end the
    /// exchange, as on a datagram socket, it is also the time after the end of our input without a
    /// message after which the exchange has ended well; by default [`LINGER`](Self::LINGER).
    pub idle_timeout: Option<Duration>,
    /// On a socket that keeps messages apart, the frame and the maximum size of the messages in the
    /// input and in the output.
    pub format: MessageFormat,
    /// Write the messages without a frame.
    pub bare: bool,
}

impl ExchangeOptions {
    /// How long an exchange that no peer can end waits for a message after the end of our input.
    pub const LINGER: Duration = Duration::from_secs(1);
}

impl Default for ExchangeOptions {
    /// Messages are lines.
    fn default() -> Self {
        Self {
            no_half_close: false,
            keep_sending: false,
            idle_timeout: None,
            format: MessageFormat {
                framing: Framing::Line,
                ..MessageFormat::default()
            },
            bare: false,
        }
    }
}

/// Sends `input` and writes what comes to `output`, at the same time, each way on a thread of its
/// own: the two ends are inherited descriptors that may block, and neither may hold up the other.
///
/// The end of the input ends our sending half. The exchange ends when the peer ends, though not
/// before the input says nothing for a moment: a peer that has closed then resets the connection,
/// and one that has only ended its sending half has it all. The output is flushed and dropped as soon
/// as the peer has ended, also while we go on sending: whoever reads it may wait for its end.
///
/// On a socket that keeps messages apart, each message of the input is sent as one, and each that
/// comes is written, in the frame that `options` name. On a datagram socket, a message that the
/// kernel does not take, and one that is too large to receive, are reported, and an error at the end.
///
/// When the future is dropped, as by a time limit, or ends with an error, both halves of the
/// connection are shut down and its socket is closed. The threads end: they wait for the input with
/// `poll(2)`, together with this end. Only a thread that is in the middle of a `read` or a `write` of
/// the caller's at that time ends after it. Such a call may take long where the input is a device
/// that `poll(2)` says is always ready, where somebody else has read what was ready, and where
/// nobody reads the output. The thread then holds the input or the output, but not the socket.
///
/// # Errors
/// [`ErrorKind::Broken`] if the peer resets the connection or leaves with data of ours unsent,
/// [`ErrorKind::TimedOut`] after the idle time, [`ErrorKind::OutputClosed`] if nobody reads the output,
/// [`ErrorKind::NoServer`] if a datagram was refused.
pub async fn exchange(
    stream: Stream,
    address: &Address,
    input: impl Read + AsFd + Send + 'static,
    output: impl Write + AsFd + Send + 'static,
    options: ExchangeOptions,
    counter: &Arc<Counter>,
) -> Result<()> {
    let failed = |source| Error::new("connect", address, source);
    let messages = stream
        .keeps_messages()
        .then(|| Messages::new(address, &options));
    let limits = Limits {
        idle: options.idle_timeout,
        ends_when_idle: !stream.has_connection(),
    };
    let (socket, _own_file) = stream.into_blocking().map_err(failed)?;
    let (events, mut ends) = unbounded_channel();
    let shared = Guard::new(socket, Arc::clone(counter)).map_err(failed)?;
    let half_close = !(options.no_half_close || limits.ends_when_idle);
    let sending = messages.clone();
    spawn("send", &shared, &events, move |shared| {
        let sent = match sending {
            None => send_all(shared, input),
            Some(messages) => messages.send_all(shared, input),
        };
        Event::Sent(sent.and_then(|is_all| match is_all && half_close {
            true => finish(shared),
            false => Ok(()),
        }))
    })?;
    let keep_sending = options.keep_sending;
    spawn("receive", &shared, &events, move |shared| {
        let received = match messages {
            None => receive_all(shared, output),
            Some(messages) => messages.receive_all(shared, output),
        };
        if !keep_sending {
            shared.peer_ended();
        }
        Event::Received(received)
    })?;
    ended(shared, &mut ends, address, limits).await
}

/// When an exchange ends that its peer does not end.
#[derive(Debug, Clone, Copy)]
struct Limits {
    idle: Option<Duration>,
    /// Whether no peer can end it.
    ends_when_idle: bool,
}

impl Limits {
    /// The idle time after which the exchange has ended well, once the input is sent.
    fn linger(self) -> Option<Duration> {
        let limit = self.idle.unwrap_or(ExchangeOptions::LINGER);
        self.ends_when_idle.then_some(limit)
    }
}

enum Event {
    /// Our input has ended and is sent, or why not; or there is none, and the peer has ended.
    Sent(std::result::Result<(), ExchangeFault>),
    /// The peer has ended and all of it is written, or why not.
    Received(std::result::Result<(), ExchangeFault>),
    /// The input or the output of the caller panicked.
    Panicked,
}

/// Which side of a copy failed.
enum ExchangeFault {
    Own(io::Error),
    Socket(io::Error),
}

fn spawn(
    name: &'static str,
    shared: &Arc<Shared>,
    events: &UnboundedSender<Event>,
    run: impl FnOnce(&Shared) -> Event + Send + 'static,
) -> Result<()> {
    let (shared, events) = (Arc::clone(shared), events.clone());
    let started = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody listens any more once the exchange has ended.
        let event = catch_unwind(AssertUnwindSafe(|| run(&shared)));
        let _ = events.send(event.unwrap_or(Event::Panicked));
    });
    started
        .map(drop)
        .map_err(|error| no_thread("start", format!("the {name} thread"), error))
}

/// Waits until both ways have ended, and says whether all of it arrived.
async fn ended(
    shared: Guard,
    ends: &mut UnboundedReceiver<Event>,
    address: &Address,
    limits: Limits,
) -> Result<()> {
    let failed = |operation, source| passing_error(operation, address, source);
    let (mut sent, mut received) = (None, false);
    while sent.is_none() || !received {
        let linger = sent.as_ref().and_then(|_| limits.linger());
        let event = tokio::select! {
            event = ends.recv() => event,
            () = shared.idle(linger.or(limits.idle)) => {
                if linger.is_some() {
                    break;
                }
                let limit = limits.idle.unwrap_or_default();
                let cause = format!("no data passed for {}", format_duration(limit));
                return Err(Error::because("exchange", address, ErrorKind::TimedOut, cause));
            }
        };
        match event {
            Some(Event::Sent(Err(ExchangeFault::Own(error)))) => {
                let error = Error::new("read", "standard input", error);
                return Err(error.with_kind(ErrorKind::Other));
            }
            // The peer does not learn of it.
            Some(Event::Sent(Err(ExchangeFault::Socket(error))))
                if limits.ends_when_idle || is_too_large(&error) =>
            {
                return Err(failed("send", error));
            }
            Some(Event::Sent(Err(ExchangeFault::Socket(error)))) => sent = Some(Err(error)),
            Some(Event::Sent(Ok(()))) => {
                shared.passed();
                sent = Some(Ok(()));
            }
            Some(Event::Received(Ok(()))) => received = true,
            Some(Event::Received(Err(ExchangeFault::Own(error)))) => {
                return Err(output_error(error));
            }
            Some(Event::Received(Err(ExchangeFault::Socket(error)))) => {
                return Err(failed("receive", error));
            }
            Some(Event::Panicked) | None => {
                let cause = "a thread panicked";
                return Err(Error::because("exchange", address, ErrorKind::Other, cause));
            }
        }
    }
    if let Some(Err(error)) = sent {
        let error = failed("send", error);
        return Err(error.with_hint("not all of the input was sent"));
    }
    without_loss(shared.lost(), address)?;
    let Some(socket) = shared.finished() else {
        return Ok(());
    };
    // A reset after end of file means that the peer did not read all the data.
    match socket.take_error() {
        Ok(Some(error)) => Err(failed("send", error)),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Sends the input; `false` if the exchange has ended before.
fn send_all(
    shared: &Shared,
    mut input: impl Read + AsFd,
) -> std::result::Result<bool, ExchangeFault> {
    send_file(shared, input.as_fd())?;
    let mut buffer = vec![0; BUFFER];
    let (mut full, mut peer_ended) = (0, false);
    while shared
        .input_comes(input.as_fd(), &mut peer_ended)
        .map_err(ExchangeFault::Own)?
    {
        let count = uninterrupted(|| input.read(&mut buffer)).map_err(ExchangeFault::Own)?;
        if count == 0 {
            break;
        }
        widen_if_full(input.as_fd(), count, &mut full);
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let sent = shared.with_socket(|mut socket| socket.write(rest));
            let Some(sent) = sent.map_err(ExchangeFault::Socket)? else {
                return Ok(false);
            };
            shared.sent(sent);
            rest = &rest[sent..];
        }
    }
    Ok(true)
}

/// Ends our sending half.
fn finish(shared: &Shared) -> std::result::Result<(), ExchangeFault> {
    let finished = shared.with_socket(|socket| socket.shutdown(Shutdown::Write));
    match finished {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => {
            Err(ExchangeFault::Socket(error))
        }
        _ => Ok(()),
    }
}

/// Sends a regular file without copying it; all else, what is wrong with the file, and a file
/// where `sendfile(2)` is refused, is left for the reads that follow.
fn send_file(shared: &Shared, file: BorrowedFd<'_>) -> std::result::Result<(), ExchangeFault> {
    loop {
        match shared.with_socket(|socket| socket.send_file(file, PIECE)) {
            Ok(None | Some(0)) => return Ok(()),
            Ok(Some(count)) => shared.sent(count),
            Err(error) => match error.raw_os_error().map(nix::Error::from_raw) {
                Some(nix::Error::EBADF | nix::Error::EIO) => return Ok(()),
                _ if is_refused(&error) => return Ok(()),
                _ => return Err(ExchangeFault::Socket(error)),
            },
        }
    }
}

fn receive_all(
    shared: &Shared,
    mut output: impl Write + AsFd,
) -> std::result::Result<(), ExchangeFault> {
    let mut buffer = vec![0; BUFFER];
    let mut full = 0;
    loop {
        let count = shared.with_socket(|mut socket| socket.read(&mut buffer));
        let count = count.map_err(ExchangeFault::Socket)?.unwrap_or(0);
        if count == 0 {
            return output.flush().map_err(ExchangeFault::Own);
        }
        widen_if_full(output.as_fd(), count, &mut full);
        output
            .write_all(&buffer[..count])
            .map_err(ExchangeFault::Own)?;
        shared.received(count);
    }
}

/// Makes a pipe larger when the last of so many buffers was full.
fn widen_if_full(pipe: BorrowedFd<'_>, count: usize, full: &mut u32) {
    if count < BUFFER {
        return;
    }
    *full = full.saturating_add(1);
    if *full == FULL_BUFFERS && fcntl(pipe, FcntlArg::F_GETPIPE_SZ).is_ok_and(|has| has < PIPE_ROOM)
    {
        // A user with many pipes may not enlarge them: then the copy continues with the small one.
        let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PIPE_ROOM));
    }
}
