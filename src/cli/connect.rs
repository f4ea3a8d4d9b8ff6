//! `sok connect`: standard input to the socket, the socket to standard output.

use std::time::Duration;

use tracing::info;

use super::args::{ConnectArgs, DialArgs};
use super::exit::Exit;
use super::prompt::{self, Editor};
use super::{block_on, ui, until_signal};
use crate::address::{Address, Purpose, Target};
use crate::client::{ConnectPlan, Conversation, ExchangeOptions, connect, exchange};
use crate::error::{Error, Kind, Result};

/// The prompt of a terminal's conversation that was given none.
const PROMPT: &str = "> ";

pub(super) fn run(args: ConnectArgs) -> Result<Exit> {
    let target = args.parts.target(args.address.as_ref())?;
    let plan = plan(&args.dial, args.timeout)?;
    let options = ExchangeOptions {
        no_half_close: args.no_half_close,
        keep_sending: args.keep_sending,
        idle_timeout: args.idle_timeout,
    };
    // What a conversation does not have asks for the plain exchange.
    let converses = options == ExchangeOptions::default() && ui::is_terminal();
    let prompt = args.prompt.or_else(|| converses.then(|| PROMPT.to_owned()));
    if prompt.is_none() && !args.forbid.is_empty() {
        let cause = "--forbid is for a conversation; add --prompt TEXT";
        return Err(Error::because("connect", target, Kind::Usage, cause));
    }
    if args.forbid.iter().any(String::is_empty) {
        let cause = "--forbid needs a word; every line has the empty one in it";
        return Err(Error::because("connect", target, Kind::Usage, cause));
    }
    // Without anything to give back, the signal itself ends the program.
    let gives_back = prompt.is_some() || plan.bind.is_some();
    let work = async {
        let (stream, address) = connect(&target, &plan).await?;
        info!(%address, "connected");
        let mut output = ui::stdout()?;
        if let Some(prompt) = prompt {
            let conversation = Conversation {
                forbidden: args.forbid,
                adds_newlines: ui::shows_output(),
            };
            let lines = Editor::new(prompt)?;
            return prompt::hold(conversation.hold(&stream, &address, lines, &mut output)).await;
        }
        exchange(stream, &address, ui::stdin()?, output, options).await?;
        Ok(Exit::Done)
    };
    block_on(async {
        match gives_back {
            true => until_signal(work).await,
            false => work.await,
        }
    })
}

/// How to connect, as the options of every client say.
pub(super) fn plan(args: &DialArgs, timeout: Option<Duration>) -> Result<ConnectPlan> {
    let bind = args.bind.as_ref().map(own_address).transpose()?;
    Ok(ConnectPlan {
        bind,
        timeout,
        retry_for: args.retry_for,
        keepalive: args.keepalive.keepalive(),
        ..ConnectPlan::default()
    })
}

/// The one address that `word` means, for a client's own end.
pub(super) fn own_address(word: &std::ffi::OsString) -> Result<Address> {
    let target = Target::parse(word)?;
    let mut addresses = target.resolve(Purpose::Listen)?;
    match addresses.len() {
        1 => Ok(addresses.remove(0)),
        count => {
            let cause = format!("one address is needed to bind to, this stands for {count}");
            Err(Error::because("bind", target, Kind::Usage, cause))
        }
    }
}
