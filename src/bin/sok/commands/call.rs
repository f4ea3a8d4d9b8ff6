//! `sok call`: one request, one reply.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::pin::pin;
use std::time::Duration;

use bytesize::ByteSize;
use humantime::format_duration;
use sok::address::Target;
use sok::client::{CallOptions, ConnectPlan, Counter, Request, Until, call, connect};
use sok::error::{Error, ErrorKind, Result};
use sok::loops::Framing;
use sok::offload::offload;
use tokio::time::Instant;

use super::connect::plan;
use super::connection_log::ConnectionLog;
use super::inherited::{Dialled, refuse_own_streams};
use super::run::{block_on, until_killed};
use crate::args::as_one_word;
use crate::args::{CallArgs, CallFramingArg};
use crate::exit::Exit;
use crate::output::Ui;
use crate::output::standard;

pub(crate) fn run(mut args: CallArgs, ui: Ui) -> Result<Exit> {
    if args.parts.is_given() && args.message.is_none() {
        // If the address is given in parts, the only word is the message.
        args.message = args.address.take();
    }
    let target = args.parts.target(args.address.as_ref()).map_err(|error| {
        let words = args.address.as_deref().zip(args.message.as_deref());
        match words.and_then(|(host, port)| as_one_word(host, port)) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    })?;
    let own: &[i32] = if args.message.is_some() {
        &[1]
    } else {
        &[0, 1]
    };
    refuse_own_streams("call", &target, own)?;
    let dialled = Dialled::take(target)?;
    let target = dialled.target().clone();
    // A received line has no newline, so it could never match.
    if args
        .until
        .iter()
        .any(|text| text.as_bytes().contains(&b'\n'))
    {
        let cause = "--until takes one line, without its newline";
        return Err(Error::because("call", &target, ErrorKind::Usage, cause));
    }
    refuse_meaningless(&args, &target)?;
    let keeps_messages = target.socket_type().keeps_messages();
    let mut plan = plan(&dialled, &args.dial, None)?;
    dialled.give(&mut plan, &[])?;
    let is_default = args.framing.framing.is_none()
        && args.lines.or(args.bytes).is_none()
        && args.until.is_empty();
    // The reply ends with a line if lines are counted or compared; by default, with one line.
    let framing = match args.framing.framing {
        Some(framing) => framing.framing(),
        None => Some(Framing::Line),
    };
    let mut kind = CallOptions::default();
    // A reply that ends at end of file may have a greeting before it, in lines.
    kind.format.framing = framing.unwrap_or(Framing::Line);
    kind.format.max_message = args.framing.max_message();
    kind.greeting = args.skip.unwrap_or(0);
    kind.resend = args.resend;
    kind.until = match (args.bytes, framing) {
        _ if args.no_reply => Until::Nothing,
        (Some(count), _) => Until::Bytes(count),
        (None, None) => Until::End,
        (None, Some(_)) if args.until.is_empty() => Until::Messages(args.lines.unwrap_or(1)),
        (None, Some(_)) => {
            let last = std::mem::take(&mut args.until);
            Until::OneOf(last.into_iter().map(OsString::into_vec).collect())
        }
    };
    let has_messages = keeps_messages || matches!(kind.until, Until::Messages(_) | Until::OneOf(_));
    if args.framing.is_limited() && !has_messages && kind.greeting == 0 {
        let cause = "--max-message needs a reply of messages, not --bytes or --framing eof";
        return Err(Error::because("call", &target, ErrorKind::Usage, cause));
    }
    if args.no_half_close && framing.is_some() {
        let cause = "--no-half-close needs --framing eof: otherwise the sending half stays open";
        return Err(Error::because("call", &target, ErrorKind::Usage, cause));
    }
    let sending = Sending {
        message: args.message,
        adds_newline: !(args.no_newline || keeps_messages)
            && matches!(framing, None | Some(Framing::Chunk)),
        bare: framing.is_none() || args.no_newline && framing == Some(Framing::Line),
        finish: (framing.is_none() || args.no_reply) && !args.no_half_close,
    };
    // Each stays in place: moving one into the next would touch as many pages of the stack again.
    let work = pin!(limited(&target, &plan, sending, kind, args.timeout));
    let work = pin!(async {
        let surplus = work.await?;
        if surplus > 0 && is_default {
            ui.note(&format!(
                "the reply is its first line: what came after it was left out ({}); \
                 see --lines, --until, --bytes and --framing",
                ByteSize(surplus as u64)
            ));
        }
        Ok(Exit::Done)
    });
    block_on(until_killed(plan.bind.is_some(), work))
}

/// Refuses options that mean nothing for the type of the socket.
fn refuse_meaningless(args: &CallArgs, target: &Target) -> Result<()> {
    let refused = |cause: String, hint: &str| {
        let error = Error::because("call", target, ErrorKind::Usage, cause);
        Err(error.with_hint(hint))
    };
    if target.socket_type().keeps_messages() {
        let ends_with_the_peer = args.framing.framing == Some(CallFramingArg::Eof);
        let given = [
            (args.lines.is_some(), "--lines"),
            (!args.until.is_empty(), "--until"),
            (args.bytes.is_some(), "--bytes"),
            (ends_with_the_peer, "--framing eof"),
        ];
        if let Some((_, option)) = given.into_iter().find(|(is_given, _)| *is_given) {
            let cause = format!("{option} means nothing here: the reply is one message");
            return refused(cause, "use 'sok connect' to receive more");
        }
    }
    if args.resend.is_some() && target.socket_type().has_connection() {
        let cause = "--resend applies only to datagrams: a connection loses nothing".to_owned();
        return refused(cause, "leave it out");
    }
    Ok(())
}

/// Reads all of the standard input on another thread, so that the time limit applies to it too.
async fn read_stdin() -> Result<Vec<u8>> {
    let failed = |error| Error::new("read", "standard input", error);
    let mut stdin = standard::stdin()?;
    let reading = offload("read", "standard input", move || {
        let mut message = Vec::new();
        stdin.read_to_end(&mut message).map(|_| message)
    });
    reading.await?.map_err(failed)
}

/// The request, as given by the options.
struct Sending {
    /// The message; `None` for the standard input.
    message: Option<OsString>,
    /// Whether to add a missing newline to the given message. An empty one stays empty: nothing is
    /// sent.
    adds_newline: bool,
    bare: bool,
    finish: bool,
}

async fn limited(
    target: &Target,
    plan: &ConnectPlan,
    sending: Sending,
    mut kind: CallOptions,
    timeout: Option<Duration>,
) -> Result<usize> {
    let deadline = timeout.map(|limit| Instant::now() + limit);
    let late = |what: &str| {
        let limit = format_duration(timeout.unwrap_or_default());
        let cause = format!("{what} within {limit}");
        Err(Error::because("call", target, ErrorKind::TimedOut, cause))
    };
    let message = match sending.message {
        Some(message) => {
            let mut message = message.into_vec();
            if sending.adds_newline && !message.is_empty() && !message.ends_with(b"\n") {
                message.push(b'\n');
            }
            message
        }
        None => match until(deadline, read_stdin()).await {
            Some(read) => read?,
            None => return late("standard input did not end"),
        },
    };
    let is_stream = !target.socket_type().keeps_messages();
    if message.is_empty() && kind.format.framing == Framing::Chunk && is_stream {
        let cause = "the message is empty: no chunk to send";
        let error = Error::because("call", target, ErrorKind::Usage, cause);
        return Err(error.with_hint("use --framing line"));
    }
    let mut plan = plan.clone();
    // Its error already explains why there was no connection in time.
    if let Some(left) = deadline.map(|end| end.saturating_duration_since(Instant::now())) {
        plan.timeout = Some(left);
        plan.retry_for = plan.retry_for.map(|limit| limit.min(left));
    }
    kind.retry_for = plan.retry_for;
    let (stream, address) = connect(target, &plan).await?;
    let counter = Counter::default();
    let report = ConnectionLog::connected(&address);
    let mut request = Request::new(message);
    request.bare = sending.bare;
    request.finish = sending.finish;
    let mut output = standard::stdout()?;
    let replied = call(&stream, &address, request, kind, &mut output, &counter);
    let replied = until(deadline, replied).await;
    let replied = replied.unwrap_or_else(|| late("the reply was not complete"));
    report.ended(counter.traffic(), &replied);
    replied
}

/// The result of `work`; `None` if it is not complete by the deadline.
async fn until<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}
