//! Our input to the socket and the socket to our output, until the peer ends.

mod bytes;
mod discard;
mod end;
mod input;
mod messages;
mod options;
mod shared;
mod wire;

use std::future::{Future, pending};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use self::end::{Event, ExchangeFault, Terms, ended};
use self::input::Input;
use self::messages::Messages;
pub use self::options::{ExchangeOptions, Way};
use self::shared::{Guard, Shared};
use self::wire::{Wire, divided};
use crate::client::QUIET;
use crate::error::{Error, Result};
use crate::loops::Connection;
use crate::net::Stream;
use crate::offload::no_thread;

/// How much is copied at once, each way: half of what a pipe holds, so that its other end works
/// on one half while we fill the other.
const BUFFER: usize = 32 * 1024;

/// The input and the output of exchanges with one peer after another. What was read of the input and
/// not sent to one peer is sent to the next.
#[derive(Debug)]
pub struct ExchangeEnds<R, W> {
    input: Arc<Mutex<Input<R>>>,
    output: Arc<Mutex<W>>,
}

impl<R, W> ExchangeEnds<R, W>
where
    R: Read + AsFd + Send + 'static,
    W: Write + AsFd + Send + 'static,
{
    /// The ends of several exchanges.
    pub fn new(input: R, output: W) -> Self {
        Self::of(input, output, true)
    }

    fn of(input: R, output: W, is_kept: bool) -> Self {
        Self {
            input: Arc::new(Mutex::new(Input::new(input, BUFFER, is_kept))),
            output: Arc::new(Mutex::new(output)),
        }
    }

    /// One exchange, see [`exchange()`]; the output stays open. It begins when the threads of the last
    /// one have ended: they may still write what came.
    ///
    /// # Errors
    /// As [`exchange()`].
    pub async fn exchange(
        &self,
        stream: Stream,
        connection: &Arc<Connection>,
        options: ExchangeOptions,
    ) -> Result<()> {
        let input = Arc::clone(&self.input).lock_owned().await;
        let output = Arc::clone(&self.output).lock_owned().await;
        let done = run(stream, connection, input, output, options).await;
        if done.is_err() {
            // The thread that sends counts what the kernel took before the connection broke.
            let _ = timeout(QUIET, self.input.lock()).await;
        }
        done
    }

    /// How many bytes of the input were read and not sent; none if a thread does not return from its
    /// read.
    pub async fn unsent(&self) -> usize {
        timeout(QUIET, self.input.lock())
            .await
            .map_or(0, |input| input.left())
    }
}

/// Sends `input` and writes what comes to `output`, at the same time, each way on a thread of its
/// own: the two ends are inherited descriptors that may block, and neither may hold up the other. The
/// traffic is counted in `connection`.
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
/// When the future is dropped, as by a time limit, or ends with an error, the connection is cut off:
/// its peer gets an error if the family has a reset. Its socket is closed. The threads end: they wait
/// for the input with `poll(2)`, together with this end. Only a thread that is in the middle of a
/// `read` or a `write` of the caller's at that time ends after it. Such a call may take long where
/// the input is a device that `poll(2)` says is always ready, where somebody else has read what was
/// ready, and where nobody reads the output. The thread then holds the input or the output, but not
/// the socket.
///
/// # Errors
/// [`ErrorKind::Broken`](crate::ErrorKind::Broken) if the peer resets the connection or leaves with data of ours unsent,
/// [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) after the idle time, [`ErrorKind::OutputClosed`](crate::ErrorKind::OutputClosed) if nobody reads the output,
/// [`ErrorKind::NoServer`](crate::ErrorKind::NoServer) if a datagram was refused.
pub async fn exchange(
    stream: Stream,
    connection: &Arc<Connection>,
    input: impl Read + AsFd + Send + 'static,
    output: impl Write + AsFd + Send + 'static,
    options: ExchangeOptions,
) -> Result<()> {
    let ExchangeEnds { input, output } = ExchangeEnds::of(input, output, false);
    // The threads then have the only references to them.
    let (input, output) = (input.lock_owned().await, output.lock_owned().await);
    run(stream, connection, input, output, options).await
}

/// What moves the messages of a session while it is polled; it never ends.
type Moving = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn run<R, W>(
    stream: Stream,
    connection: &Arc<Connection>,
    mut input: OwnedMutexGuard<Input<R>>,
    mut output: OwnedMutexGuard<W>,
    options: ExchangeOptions,
) -> Result<()>
where
    R: Read + AsFd + Send + 'static,
    W: Write + AsFd + Send + 'static,
{
    let address = &connection.peer().address;
    let failed = |source| Error::new("exchange", address, source);
    let messages = stream
        .keeps_messages()
        .then(|| Messages::new(address, &options));
    let terms = Terms::new(&options, &stream);
    let discards = options.only == Some(Way::Send);
    let (wire, moving, _own_file): (_, Moving, _) = match stream.ends_when_idle() {
        true => {
            let (wire, moving) = divided(stream, options.format.max_message, discards);
            (wire, Box::pin(moving), None)
        }
        false => {
            let (socket, file) = stream.into_blocking().map_err(failed)?;
            (Wire::Socket(socket), Box::pin(pending()), file)
        }
    };
    let (events, mut ends) = unbounded_channel();
    let shared = Guard::new(wire, Arc::clone(connection)).map_err(failed)?;
    let half_close = !options.no_half_close && terms.linger.is_none();
    let sending = messages.clone();
    let only = options.only;
    match only {
        // Nothing of the input is touched.
        Some(Way::Receive) => drop(input),
        Some(Way::Send) | None => spawn("send", &shared, &events, move |shared| {
            let sent = match sending {
                None => bytes::send_all(shared, &mut input),
                Some(messages) => messages.send_all(shared, &mut input),
            };
            Event::Sent(sent.and_then(|is_all| match is_all && half_close {
                true => finish(shared),
                false => Ok(()),
            }))
        })?,
    }
    let keep_sending = options.keep_sending;
    spawn("receive", &shared, &events, move |shared| {
        let received = match (only, messages) {
            (Some(Way::Send), _) => {
                drop(output);
                discard::discard_all(shared)
            }
            (_, None) => bytes::receive_all(shared, &mut *output),
            (_, Some(messages)) => messages.receive_all(shared, &mut *output),
        };
        if !keep_sending && only.is_none() {
            shared.peer_ended();
        }
        Event::Received(received)
    })?;
    tokio::select! {
        ended = ended(shared, &mut ends, address, terms) => ended,
        () = moving => Ok(()),
    }
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
