//! The copies of an exchange in messages: between the frames of the input and of the output, and
//! the messages of the socket.

use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsFd;

use super::end::ExchangeFault;
use super::input::Input;
use super::options::ExchangeOptions;
use super::shared::Shared;
use crate::address::Address;
use crate::client::{is_too_large, report_lost};
use crate::loops::{Framing, MessageFormat};
use crate::net::{LONGEST_MESSAGE, Received, with_length};

/// How the messages of an exchange are framed, and what becomes of one that cannot be passed on.
#[derive(Debug, Clone)]
pub(super) struct Messages {
    address: Address,
    format: MessageFormat,
    bare: bool,
    /// Whether the next message does not depend on one that was lost, as on a datagram socket.
    may_lose: bool,
}

impl Messages {
    pub(super) fn new(address: &Address, options: &ExchangeOptions) -> Self {
        Self {
            address: address.clone(),
            format: options.format,
            bare: options.bare,
            may_lose: !address.socket_type().has_connection(),
        }
    }

    /// Sends the messages of the input; see the same for a stream.
    pub(super) fn send_all<R: Read + AsFd>(
        &self,
        shared: &Shared,
        input: &mut Input<R>,
    ) -> Result<bool, ExchangeFault> {
        if let Some(message) = input.unsent.take()
            && !self.send(shared, &message, &mut input.unsent)?
        {
            return Ok(false);
        }
        let (mut peer_ended, mut has_ended) = (false, false);
        while input
            .comes(shared, &mut peer_ended)
            .map_err(ExchangeFault::Own)?
        {
            if input.fill().map_err(ExchangeFault::Own)? == 0 {
                has_ended = true;
                break;
            }
            if !self.send_read(shared, input)? {
                return Ok(false);
            }
        }
        if input.is_kept && !has_ended {
            return Ok(true);
        }
        let (messages, _, unsent) = input.parts(self.format);
        let last = messages.unfinished();
        let sent = match self.format.framing {
            // The delimiter after the last message may be missing.
            Framing::Line | Framing::Null if !last.is_empty() => self.send(shared, last, unsent),
            _ => messages.finish().map(|()| true).map_err(ExchangeFault::Own),
        };
        input.forget_unfinished();
        sent
    }

    /// Sends the complete messages that were read.
    fn send_read<R: Read + AsFd>(
        &self,
        shared: &Shared,
        input: &mut Input<R>,
    ) -> Result<bool, ExchangeFault> {
        loop {
            let (messages, reader, unsent) = input.parts(self.format);
            let mut read = reader.buffer();
            let all = read.len();
            let message = messages.next_message(&mut read);
            let Some(message) = message.map_err(ExchangeFault::Own)? else {
                reader.consume(all);
                return Ok(true);
            };
            let taken = all - read.len();
            let sent = self.send(shared, message, unsent);
            reader.consume(taken);
            if !sent? {
                return Ok(false);
            }
        }
    }

    /// Sends one message; `false` if the exchange has ended. One that is not sent is put into `unsent`,
    /// unless it can never be.
    fn send(
        &self,
        shared: &Shared,
        message: &[u8],
        unsent: &mut Option<Vec<u8>>,
    ) -> Result<bool, ExchangeFault> {
        let sent = shared.with_wire(|wire| wire.send_message(message));
        match sent.map_err(|error| with_length(error, message.len())) {
            Ok(Some(count)) => shared.sent(count),
            Ok(None) => {
                *unsent = Some(message.to_vec());
                return Ok(false);
            }
            Err(error) if is_too_large(&error) && self.may_lose => self.lose(shared, &error),
            Err(error) => {
                *unsent = (!is_too_large(&error)).then(|| message.to_vec());
                return Err(ExchangeFault::Socket(error));
            }
        }
        Ok(true)
    }

    /// Writes the messages that come, until the peer ends or the exchange has ended.
    pub(super) fn receive_all(
        &self,
        shared: &Shared,
        mut output: impl Write + AsFd,
    ) -> Result<(), ExchangeFault> {
        let mut buffer = vec![0; self.format.max_message.min(LONGEST_MESSAGE)];
        let mut framed = Vec::new();
        loop {
            let received = shared.with_wire(|wire| wire.receive_message(&mut buffer));
            let count = match received {
                // At the end of the exchange, the receive of an open socket returns an empty message.
                Ok(Some(Received::Message(0))) if shared.has_ended() => None,
                Ok(Some(Received::Message(count) | Received::Bytes(count))) => Some(count),
                Ok(Some(Received::End) | None) => None,
                Err(error) if self.may_lose && is_too_large(&error) => {
                    self.lose(shared, &error);
                    continue;
                }
                Err(error) => return Err(ExchangeFault::Socket(error)),
            };
            let Some(count) = count else {
                return output.flush().map_err(ExchangeFault::Own);
            };
            self.write(&mut output, &buffer[..count], &mut framed)
                .map_err(ExchangeFault::Own)?;
            shared.received(count);
        }
    }

    /// Writes a message, and its frame in the same call.
    fn write(
        &self,
        output: &mut impl Write,
        message: &[u8],
        framed: &mut Vec<u8>,
    ) -> io::Result<()> {
        if self.bare {
            return output.write_all(message);
        }
        framed.clear();
        self.format.enclose(framed, |out| {
            out.extend_from_slice(self.format.framing.bare(message));
            Some(())
        })?;
        output.write_all(framed)
    }

    /// Reports a message that was not passed on, and counts it.
    fn lose(&self, shared: &Shared, error: &io::Error) {
        report_lost(&self.address, error);
        shared.lose();
    }
}
