//! `sok call`: one request, one reply.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use bytesize::ByteSize;
use humantime::format_duration;
use tokio::time::Instant;
use tracing::info;

use super::args::{CallArgs, CallFramingArg};
use super::connect::plan;
use super::exit::Exit;
use super::ui::Ui;
use super::{block_on, ui, until_signal};
use crate::address::Target;
use crate::client::{Call, ConnectPlan, Request, Until, call, connect};
use crate::error::{Error, Kind, Result};
use crate::loops::{Framing, Rule};
use crate::offload::offload;

pub(super) fn run(mut args: CallArgs, ui: Ui) -> Result<Exit> {
    if args.parts.is_given() && args.message.is_none() {
        // With the address in its parts the one word is the message.
        args.message = args.address.take();
    }
    let target = args.parts.target(args.address.as_ref())?;
    let plan = plan(&args.dial, None)?;
    let framing = args.framing.framing.map(CallFramingArg::framing);
    let framing = if args.lines.is_some() {
        Some(Framing::Line)
    } else {
        framing.unwrap_or(Some(Framing::Line))
    };
    let kind = Call {
        rule: Rule {
            framing: framing.unwrap_or(Framing::Chunk),
            max_message: args.framing.max_message(),
        },
        until: match (args.bytes, framing) {
            (Some(count), _) => Until::Bytes(count),
            (None, None) => Until::End,
            (None, Some(_)) => Until::Messages(args.lines.unwrap_or(1)),
        },
    };
    if args.framing.is_limited() && !matches!(kind.until, Until::Messages(_)) {
        let cause = "--max-message is for a reply of messages, not of bytes or all until the end";
        return Err(Error::because("call", &target, Kind::Usage, cause));
    }
    let finish = framing.is_none();
    let work = limited(&target, &plan, args.message, finish, kind, args.timeout);
    let is_default = args.framing.framing.is_none() && args.lines.or(args.bytes).is_none();
    let work = async {
        let surplus = work.await?;
        if surplus > 0 && is_default {
            ui.note(&format!(
                "the reply is its first line: what came after it was left out ({}); \
                 see --lines, --bytes and --framing",
                ByteSize(surplus as u64)
            ));
        }
        Ok(Exit::Done)
    };
    block_on(async {
        match plan.bind {
            Some(_) => until_signal(work).await,
            None => work.await,
        }
    })
}

/// Reads all of the standard input beside the runtime: the time limit holds for it too.
async fn read_stdin() -> Result<Vec<u8>> {
    let failed = |error| Error::new("read", "standard input", error);
    let mut stdin = ui::stdin()?;
    let reading = offload("read", "standard input", move || {
        let mut message = Vec::new();
        stdin.read_to_end(&mut message).map(|_| message)
    });
    reading.await?.map_err(failed)
}

async fn limited(
    target: &Target,
    plan: &ConnectPlan,
    message: Option<OsString>,
    finish: bool,
    kind: Call,
    timeout: Option<Duration>,
) -> Result<usize> {
    let deadline = timeout.map(|limit| Instant::now() + limit);
    let late = |what: &str| {
        let limit = format_duration(timeout.unwrap_or_default());
        let cause = format!("{what} within {limit}");
        Err(Error::because("call", target, Kind::TimedOut, cause))
    };
    let message = match message {
        Some(message) => message.into_vec(),
        None => match until(deadline, read_stdin()).await {
            Some(read) => read?,
            None => return late("standard input did not end"),
        },
    };
    if message.is_empty() && !finish && kind.rule.framing == Framing::Chunk {
        let cause = "an empty message has no chunk to send";
        let error = Error::because("call", target, Kind::Usage, cause);
        return Err(error.with_hint("use --framing line"));
    }
    let mut plan = plan.clone();
    // It tells by itself why there was no connection in time.
    if let Some(left) = deadline.map(|end| end.saturating_duration_since(Instant::now())) {
        plan.timeout = Some(left);
        plan.retry_for = plan.retry_for.map(|limit| limit.min(left));
    }
    let (stream, address) = connect(target, &plan).await?;
    info!(%address, "connected");
    let request = Request { message, finish };
    let mut output = ui::stdout()?;
    let replied = call(&stream, &address, request, kind, &mut output);
    match until(deadline, replied).await {
        Some(replied) => replied,
        None => late("the reply was not complete"),
    }
}

/// What `work` gives; `None` if it does not by the deadline.
async fn until<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}
