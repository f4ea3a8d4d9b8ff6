//! `sok wait`: waits until servers accept, then runs a command.

use std::os::unix::process::CommandExt;
use std::process::Command;

use sok::address::Target;
use sok::client::{WaitPlan, wait};
use sok::error::Result;

use super::descriptors::{WAIT, need};
use super::program::{check_program, not_run};
use super::run::{block_on, until_killed};
use crate::args::WaitArgs;
use crate::args::as_one_word;
use crate::exit::Exit;

pub(crate) fn run(args: &WaitArgs) -> Result<Exit> {
    let targets = (0..).zip(&args.addresses).map(|(place, word)| {
        let target = Target::parse(word);
        target.map_err(|error| {
            let next = args.addresses.get(place + 1);
            if let Some(hint) = next.and_then(|port| as_one_word(word, port)) {
                return error.with_hint(hint);
            }
            match place > 0 && args.command.is_empty() {
                true => error.with_hint("if the command starts here, write -- before it"),
                false => error,
            }
        })
    });
    let targets: Vec<Target> = targets.collect::<Result<_>>()?;
    let mut plan = WaitPlan::default();
    plan.gone = args.gone;
    plan.any = args.any;
    plan.strict_dns = args.strict_dns;
    plan.interval = args.interval;
    plan.timeout = args.timeout;
    if let Some(program) = args.command.first() {
        check_program(program)?;
    }
    let waited = async {
        // No other process can free what this one lacks from the start.
        let shown: Vec<String> = targets.iter().map(Target::to_string).collect();
        need(WAIT, "wait", shown.join(" "))?;
        wait(&targets, &plan).await?;
        Ok(Exit::Done)
    };
    let waited = block_on(until_killed(false, waited))?;
    if waited != Exit::Done {
        return Ok(waited);
    }
    let Some((program, arguments)) = args.command.split_first() else {
        return Ok(Exit::Done);
    };
    // Returns only if the program cannot be run.
    let error = Command::new(program).args(arguments).exec();
    Err(not_run(program, error))
}
