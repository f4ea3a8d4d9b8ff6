//! The end of an exchange: when it is there, and whether all of it arrived.

use std::io;
use std::time::Duration;

use humantime::format_duration;
use tokio::sync::mpsc::UnboundedReceiver;

use super::options::{ExchangeOptions, Way};
use super::shared::Guard;
use crate::address::Address;
use crate::client::{is_too_large, output_error, passing_error, without_loss};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Socket, Stream};

/// When an exchange ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    only: Option<Way>,
    idle: Option<Duration>,
    /// Where no peer can end it: the idle time after which it has ended well, once the input is sent.
    pub(super) linger: Option<Duration>,
    /// Whether its end is that of a session.
    is_session: bool,
}

impl Terms {
    pub(super) fn new(options: &ExchangeOptions, stream: &Stream) -> Self {
        let linger = options.idle_timeout.unwrap_or(options.linger);
        Self {
            only: options.only,
            idle: options.idle_timeout,
            linger: (!stream.has_connection()).then_some(linger),
            is_session: stream.ends_when_idle(),
        }
    }
}

/// What a thread of an exchange reports.
pub(super) enum Event {
    /// Our input has ended and is sent, or why not; or there is none, and the peer has ended.
    Sent(std::result::Result<(), ExchangeFault>),
    /// The peer has ended and all of it is written, or why not.
    Received(std::result::Result<(), ExchangeFault>),
    /// The input or the output of the caller panicked.
    Panicked,
}

/// Which side of a copy failed.
pub(super) enum ExchangeFault {
    Own(io::Error),
    Socket(io::Error),
}

/// Waits until both ways have ended, and says whether all of it arrived.
pub(super) async fn ended(
    shared: Guard,
    ends: &mut UnboundedReceiver<Event>,
    address: &Address,
    terms: Terms,
) -> Result<()> {
    let failed = |operation, source| passing_error(operation, address, source);
    let mut sent = (terms.only == Some(Way::Receive)).then_some(Ok(()));
    let mut received = false;
    while sent.is_none() || !(received || terms.only == Some(Way::Send)) {
        let linger = sent.as_ref().and(terms.linger);
        let event = tokio::select! {
            event = ends.recv() => event,
            () = shared.idle(linger.or(terms.idle)) => match linger {
                Some(_) => break,
                None => return Err(idle(address, terms)),
            },
        };
        match event {
            Some(Event::Sent(Err(ExchangeFault::Own(error)))) => {
                let error = Error::new("read", "standard input", error);
                return Err(error.with_kind(ErrorKind::Other));
            }
            // The peer does not learn of it.
            Some(Event::Sent(Err(ExchangeFault::Socket(error))))
                if terms.linger.is_some() || is_too_large(&error) =>
            {
                return Err(failed("send", error));
            }
            Some(Event::Sent(Err(ExchangeFault::Socket(error)))) => sent = Some(Err(error)),
            Some(Event::Sent(Ok(()))) => {
                shared.passed();
                sent = Some(Ok(()));
            }
            // What is not sent to it waits for the next one.
            Some(Event::Received(Ok(()))) if terms.is_session => break,
            Some(Event::Received(Ok(()))) => received = true,
            Some(Event::Received(Err(ExchangeFault::Own(error)))) => {
                return Err(output_error(error));
            }
            Some(Event::Received(Err(ExchangeFault::Socket(error)))) => {
                return Err(failed("receive", error));
            }
            Some(Event::Panicked) | None => return Err(panicked(address)),
        }
    }
    if let Some(Err(error)) = sent {
        let error = failed("send", error);
        return Err(error.with_hint("not all of the input was sent"));
    }
    without_loss(shared.lost(), address)?;
    if terms.only == Some(Way::Send) {
        return leave(shared, ends, address, terms, received).await;
    }
    let Some(wire) = shared.finished() else {
        return Ok(());
    };
    if !received {
        // The thread that receives returns.
        let _ = wire.shut_down();
    }
    // A reset after end of file means that the peer did not read all the data.
    match wire.socket().map(Socket::take_error) {
        Some(Ok(Some(error))) => Err(failed("send", error)),
        _ => Ok(()),
    }
}

/// Waits until the host of the peer has all that was sent, and closes the connection so that it stays
/// there: a close with bytes unread would reset it.
async fn leave(
    shared: Guard,
    ends: &mut UnboundedReceiver<Event>,
    address: &Address,
    terms: Terms,
    has_peer_ended: bool,
) -> Result<()> {
    let failed = |operation, source| passing_error(operation, address, source);
    if let Some(wire) = shared.wire()
        && let Some(socket) = wire.socket()
    {
        tokio::select! {
            biased;
            acknowledged = socket.acknowledged() => acknowledged.map_err(|error| failed("send", error))?,
            () = shared.idle(terms.idle) => return Err(idle(address, terms)),
        }
    }
    let Some(wire) = shared.finished() else {
        return Ok(());
    };
    if wire.socket().is_none() || has_peer_ended {
        return Ok(());
    }
    wire.shut_down()
        .map_err(|error| failed("shutdown", error))?;
    // The peer can send nothing more; what has come is discarded.
    loop {
        match ends.recv().await {
            // What comes after the end of a connection resets it, and all of ours has arrived before.
            Some(Event::Received(Err(ExchangeFault::Socket(error)))) if terms.linger.is_some() => {
                return Err(failed("receive", error));
            }
            Some(Event::Received(_)) => return Ok(()),
            Some(Event::Sent(_)) => {}
            Some(Event::Panicked) | None => return Err(panicked(address)),
        }
    }
}

/// The error that nothing has passed.
fn idle(address: &Address, terms: Terms) -> Error {
    let limit = terms.idle.unwrap_or_default();
    let cause = format!("no data passed for {}", format_duration(limit));
    Error::because("exchange", address, ErrorKind::TimedOut, cause)
}

fn panicked(address: &Address) -> Error {
    let cause = "a thread panicked";
    Error::because("exchange", address, ErrorKind::Other, cause)
}
