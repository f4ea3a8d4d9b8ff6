//! `sok connect`: connects standard input and output to a server.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::dup2_stdout;
use sok::address::{Address, Purpose, Target};
use sok::client::{ConnectPlan, Conversation, Counter, ExchangeOptions, connect, exchange};
use sok::error::{Error, ErrorKind, Result};
use sok::loops::Traffic;
use tokio::time::Instant;
use tracing::info;

use super::congestion::congestion;
use super::run::{block_on, until_killed};
use super::udp::udp_options;
use crate::args::{ConnectArgs, DialArgs};
use crate::exit::Exit;
use crate::output::prompt::{self, Editor, Terminal};
use crate::output::standard::{self, Standard};

/// The default prompt on a terminal.
const PROMPT: &str = "> ";

pub(crate) fn run(args: ConnectArgs) -> Result<Exit> {
    let target = args.parts.target(args.address.as_ref())?;
    let plan = plan(&target, &args.dial, args.timeout)?;
    let mut options = ExchangeOptions::default();
    options.no_half_close = args.no_half_close;
    options.keep_sending = args.keep_sending;
    options.idle_timeout = args.idle_timeout;
    let keeps_messages = target.socket_type().keeps_messages();
    if let Some(option) = args.framing.given()
        && !keeps_messages
    {
        let cause = format!("{option} means nothing here: a stream has no messages");
        let error = Error::because("connect", target, ErrorKind::Usage, cause);
        return Err(error.with_hint("leave it out, and all bytes pass unchanged"));
    }
    if let Some(framing) = args.framing.framing {
        options.format.framing = framing.0.framing();
    }
    // These options disable the conversation.
    let is_default = options == ExchangeOptions::default() && args.framing.framing.is_none();
    let converses = is_default && standard::is_terminal();
    options.format.max_message = args.framing.max_message();
    options.bare = args.raw;
    let prompt = args.prompt.or_else(|| converses.then(|| PROMPT.to_owned()));
    if prompt.is_none() && !args.forbid.is_empty() {
        let cause = "--forbid needs a conversation; add --prompt TEXT";
        return Err(Error::because("connect", target, ErrorKind::Usage, cause));
    }
    if args.forbid.iter().any(String::is_empty) {
        let cause = "--forbid needs a word; every line contains the empty word";
        return Err(Error::because("connect", target, ErrorKind::Usage, cause));
    }
    // Without state to restore, the signal itself ends the program.
    let gives_back = prompt.is_some() || plan.bind.is_some();
    let work = async {
        let (stream, address) = connect(&target, &plan).await?;
        let counter = Arc::new(Counter::default());
        let report = ConnectionLog::connected(&address, &counter);
        let mut output = standard::stdout()?;
        let done = if let Some(prompt) = prompt {
            let mut conversation = Conversation::default();
            conversation.forbidden = args.forbid;
            conversation.adds_newlines = standard::shows_output();
            conversation.escapes = standard::shows_output() && !args.raw;
            conversation.max_message = options.format.max_message;
            conversation.bare = options.bare;
            let terminal = Terminal::saved();
            let lines = Editor::new(prompt, &terminal)?;
            let held = conversation.hold(&stream, &address, lines, &mut output, &counter);
            prompt::hold(terminal, held).await
        } else {
            let (input, output) = (standard::stdin()?, Output(output));
            let exchanged = exchange(stream, &address, input, output, options, &counter).await;
            exchanged.map(|()| Exit::Done)
        };
        report.ended(&done);
        done
    };
    block_on(until_killed(gives_back, work))
}

/// Reports a connection and its end, as a server does.
pub(crate) struct ConnectionLog<'a> {
    address: &'a Address,
    counter: &'a Counter,
    began: Instant,
}

impl<'a> ConnectionLog<'a> {
    pub(crate) fn connected(address: &'a Address, counter: &'a Counter) -> Self {
        info!(%address, "connected");
        Self {
            address,
            counter,
            began: Instant::now(),
        }
    }

    pub(crate) fn ended<T>(self, done: &Result<T>) {
        let address = self.address;
        let Traffic { received, sent, .. } = self.counter.traffic();
        let seconds = self.began.elapsed().as_secs_f64();
        match done {
            // The reader of our output has seen enough.
            Err(error) if error.kind() != ErrorKind::OutputClosed => {
                info!(%address, received, sent, seconds, "failed");
            }
            _ => info!(%address, received, sent, seconds, "ended"),
        }
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

/// The connect options of every client.
pub(crate) fn plan(
    target: &Target,
    args: &DialArgs,
    timeout: Option<Duration>,
) -> Result<ConnectPlan> {
    let mut plan = ConnectPlan::default();
    let own = args.bind.as_ref().map(|word| own_name(word, target));
    plan.bind = own.transpose()?;
    plan.timeout = timeout;
    plan.retry_for = args.retry_for;
    plan.keepalive = args.tcp.keepalive();
    plan.congestion = congestion(&args.tcp, "connect", &[target])?;
    plan.udp = udp_options(&args.udp, "connect", &[target])?;
    Ok(plan)
}

/// The address of `word` to bind a client of `target` to. A word that names no type has that of the
/// target.
fn own_name(word: &std::ffi::OsString, target: &Target) -> Result<Address> {
    let own = own_address(word)?;
    let (own_type, wanted) = (own.socket_type(), target.socket_type());
    if own_type.keeps_messages() && own_type != wanted {
        let cause = format!("this is a {own_type} socket, and {target} is a {wanted} socket");
        return Err(Error::because("bind", own, ErrorKind::Usage, cause));
    }
    own.with_type(wanted)
}

/// The address of `word` to bind the client to; it must be a single one.
pub(crate) fn own_address(word: &std::ffi::OsString) -> Result<Address> {
    let target = Target::parse(word)?;
    let mut addresses = target.resolve(Purpose::Listen)?;
    match addresses.len() {
        1 => Ok(addresses.remove(0)),
        count => {
            let cause = format!("--bind needs one address, this resolves to {count}");
            Err(Error::because("bind", target, ErrorKind::Usage, cause))
        }
    }
}
