//! `sok relay`: bridge any address to any address.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::args::RelayArgs;
use super::block_on;
use super::connect::own_address;
use super::exit::Exit;
use super::serve::{Server, limits, listen_options, raise_descriptor_limit};
use super::ui::{self, Ui};
use crate::address::{Address, Purpose, Target};
use crate::client::ConnectPlan;
use crate::error::{Error, Kind, Result};
use crate::service::{Dump, DumpStyle, Forward};
use crate::transfer::Engine;

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
    let server = Server {
        targets,
        options: listen_options(&args.socket)?,
        limits: limits(&args.limits),
        threads: args.limits.threads,
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
    raise_descriptor_limit();
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
