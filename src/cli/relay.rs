//! `sok relay`: bridge any address to any address.

use std::ffi::OsStr;
use std::fs::File;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::args::RelayArgs;
use super::block_on;
use super::connect::own_address;
use super::exit::Exit;
use super::serve::{Server, limits, listen_options, raise_descriptor_limit};
use super::ui::{self, Ui};
use crate::address::{Address, Purpose, Target};
use crate::client::ConnectPlan;
use crate::error::{Error, Kind, Result};
use crate::loops::Limits;
use crate::service::{Dump, DumpStyle, Forward};
use crate::transfer::{Engine, PIPES_SHARE};

/// What the process itself takes: standard streams, epoll, signals, listeners, name look-ups.
const OWN_DESCRIPTORS: u64 = 20;

pub(super) fn run(args: &RelayArgs, ui: Ui) -> Result<Exit> {
    let words = std::iter::once(&args.listen_on).chain(&args.listen);
    let targets: Vec<Target> = words.map(Target::parse).collect::<Result<_>>()?;
    let target = Target::parse(&args.target)?;
    for listen in &targets {
        refuse_loop(listen, &target)?;
    }
    let plan = ConnectPlan {
        bind: args.source.as_ref().map(own_address).transpose()?,
        timeout: args.connect_timeout,
        retry_for: args.retry_for,
    };
    let limits = affordable(limits(&args.limits), ui);
    let server = Server {
        targets,
        options: listen_options(&args.socket)?,
        limits,
        threads: args.limits.threads.unwrap_or_else(processors),
        ui,
    };
    let engine = if args.copy {
        Engine::Copy
    } else {
        Engine::Adaptive
    };
    let dump = args
        .dump
        .as_deref()
        .map(|word| dump(word, ui))
        .transpose()?
        .map(Arc::new);
    block_on(async {
        let idle_timeout = args.idle_timeout;
        server
            .run(|_| {
                Ok(Forward {
                    target,
                    plan,
                    engine,
                    idle_timeout,
                    dump,
                })
            })
            .await
    })
}

/// How many threads relay: two streams should not wait for each other while a processor is idle.
fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Where `--dump` shows the traffic.
fn dump(word: &OsStr, ui: Ui) -> Result<Dump> {
    let dump = match word.to_str() {
        Some("hex") => Dump::new(DumpStyle::Hex, ui::stderr()),
        Some("text") => Dump::new(DumpStyle::Text, ui::stderr()),
        _ => {
            let path = Path::new(word);
            let file = File::create(path).map_err(|error| {
                Error::new("open", path.display(), error).with_kind(Kind::Other)
            })?;
            Dump::new(DumpStyle::Hex, file)
        }
    };
    ui.note("the traffic is shown, so all of it is copied");
    Ok(dump)
}

/// The limits with as many connections as there are descriptors for. A client that was accepted
/// without one left for the target would have to be refused; in the backlog it waits.
fn affordable(mut limits: Limits, ui: Ui) -> Limits {
    let descriptors = raise_descriptor_limit();
    let left = descriptors.saturating_sub(OWN_DESCRIPTORS + descriptors / PIPES_SHARE);
    let most = usize::try_from(left / 2).unwrap_or(usize::MAX).max(1);
    if limits.max_connections > most {
        let why = format!(
            "{descriptors} descriptors (ulimit -n) are enough for {most} connections at once"
        );
        ui.note(&why);
        limits.max_connections = most;
    }
    limits
}

/// A relay to itself would connect until the descriptors run out.
fn refuse_loop(listen: &Target, target: &Target) -> Result<()> {
    // A target that does not resolve now may do so later.
    let Ok(to) = target.resolve(Purpose::Connect) else {
        return Ok(());
    };
    let same = |on: &Address| to.iter().any(|to| on.reaches(to));
    if listen.resolve(Purpose::Listen)?.iter().any(same) {
        let cause = format!("it would connect to itself: LISTEN is {listen}");
        return Err(Error::because("relay", target, Kind::Usage, cause)
            .with_hint("give the address of the server behind it as TARGET"));
    }
    Ok(())
}
