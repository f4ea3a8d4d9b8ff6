//! The copies of an exchange in messages: between the frames of the input and of the output, and
//! the messages of the socket.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use super::shared::{Shared, uninterrupted};
use super::{BUFFER, ExchangeFault, ExchangeOptions};
use crate::address::Address;
use crate::client::{is_too_large, report_lost};
use crate::loops::{Framing, MemoryLimit, MessageDecoder, MessageFormat};
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
    pub(super) fn send_all(
        &self,
        shared: &Shared,
        mut input: impl Read + AsFd,
    ) -> Result<bool, ExchangeFault> {
        let mut decoder = MessageDecoder::new(self.format, MemoryLimit::new(usize::MAX));
        let mut buffer = vec![0; BUFFER];
        let mut peer_ended = false;
        while shared
            .input_comes(input.as_fd(), &mut peer_ended)
            .map_err(ExchangeFault::Own)?
        {
            let count = uninterrupted(|| input.read(&mut buffer)).map_err(ExchangeFault::Own)?;
            if count == 0 {
                break;
            }
            let mut read = &buffer[..count];
            while let Some(message) = decoder
                .next_message(&mut read)
                .map_err(ExchangeFault::Own)?
            {
                if !self.send(shared, message)? {
                    return Ok(false);
                }
            }
        }
        let last = decoder.unfinished();
        match self.format.framing {
            // The delimiter after the last message may be missing.
            Framing::Line | Framing::Null if !last.is_empty() => self.send(shared, last),
            _ => {
                decoder.finish().map_err(ExchangeFault::Own)?;
                Ok(true)
            }
        }
    }

    /// Sends one message; `false` if the exchange has ended.
    fn send(&self, shared: &Shared, message: &[u8]) -> Result<bool, ExchangeFault> {
        let sent = shared.with_socket(|socket| socket.send_message(message));
        match sent.map_err(|error| with_length(error, message.len())) {
            Ok(Some(count)) => shared.sent(count),
            Ok(None) => return Ok(false),
            Err(error) if self.may_lose && is_too_large(&error) => self.lose(shared, &error),
            Err(error) => return Err(ExchangeFault::Socket(error)),
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
            let received = shared.with_socket(|socket| socket.receive_message(&mut buffer));
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
