//! `sok check`: which families work on this host, or which server listens on an address.

use sok::address::{Family, Target};
use sok::error::Result;

use super::descriptors::{self, need};
use super::run::{block_on, until_signal};
use crate::args::CheckArgs;
use crate::check::{check_address, check_host};
use crate::exit::Exit;
use crate::output::Ui;
use crate::output::check::{host_text, served_text};
use crate::output::style::Styles;

pub(crate) fn run(args: &CheckArgs, ui: Ui) -> Result<Exit> {
    if args.address.is_none() {
        // Without descriptors, a family would be reported as not working.
        need(descriptors::CHECK, "check", "this host")?;
    }
    block_on(until_signal(async {
        match &args.address {
            Some(word) => address(&Target::parse(word)?, args, ui).await,
            None => host(args, ui).await,
        }
    }))
}

async fn host(args: &CheckArgs, ui: Ui) -> Result<Exit> {
    let families = match args.family.as_slice() {
        [] => &Family::ALL,
        some => some,
    };
    let report = check_host(families, args.timeout).await;
    ui.result(&report, || host_text(&report, Styles::of_output()))?;
    Ok(match report.works {
        true => Exit::Done,
        false => Exit::Failure,
    })
}

async fn address(target: &Target, args: &CheckArgs, ui: Ui) -> Result<Exit> {
    let served = check_address(target, args.timeout).await?;
    ui.result(&served, || served_text(&served, Styles::of_output()))?;
    Ok(served.failure.as_ref().map_or(Exit::Done, Exit::from))
}
