//! Receives a header, and nothing after it.
//!
//! No byte of the data may be taken, since it could not be given back to the socket: a relay splices
//! it, and a program inherits it. So what has arrived is first looked at (`MSG_PEEK`), and only what
//! belongs to the header is received. That includes all of a header that is not complete, so that the
//! runtime reports only new bytes: one that comes byte by byte costs two calls for each. A header that
//! is not valid stays in the socket: then the close of an AF_UNIX socket, which has no reset, is an
//! error for its peer too.

use std::io;
use std::os::fd::OwnedFd;

use super::fault::{HeaderFault, LONGEST_HEADER};
use super::proxied::Proxied;
use super::{v1, v2};
use crate::net::received::Received;
use crate::net::socket::Socket;
use crate::net::stream::Stream;

/// How many bytes are looked at, at most: a header mostly fits into the smallest TCP segment.
const SEGMENT: usize = 536;

/// The length of the header at the beginning of `bytes`; `None` if they are only a part of one.
///
/// # Errors
/// If no header begins with them.
fn length(bytes: &[u8]) -> Result<Option<usize>, HeaderFault> {
    let begins = |beginning: &[u8]| {
        let length = bytes.len().min(beginning.len());
        bytes[..length] == beginning[..length]
    };
    if begins(v2::SIGNATURE) {
        let length = bytes.first_chunk().map(v2::length).transpose()?;
        return Ok(length.filter(|length| *length <= bytes.len()));
    }
    if !begins(v1::PREFIX) {
        return Err(HeaderFault::Missing);
    }
    let line = &bytes[..bytes.len().min(v1::LONGEST)];
    let end = line.windows(v1::END.len()).position(|two| two == v1::END);
    match end {
        Some(at) => Ok(Some(at + v1::END.len())),
        None if line.len() == v1::LONGEST => Err(HeaderFault::Unterminated),
        None => Ok(None),
    }
}

impl Stream {
    /// Receives the PROXY header at the beginning of the connection, and not one byte more; `None`
    /// if it describes no other connection, see [`Proxied::parse`]. Waits without a limit for it.
    ///
    /// On a socket that keeps messages apart, the header is the first message, by itself: the
    /// messages of the client stay as they are.
    ///
    /// # Errors
    /// What `recv(2)` reports, `Unsupported` for a session, and [`HeaderFault`] as the cause of an
    /// error of the kind `InvalidData`, or `UnexpectedEof` if the peer ends before.
    pub async fn receive_proxy_header(&self) -> io::Result<Option<Proxied>> {
        self.receive_rest_of_proxy_header(Vec::new()).await
    }

    /// The same without waiting: `WouldBlock` if the header is not complete. `header` keeps the part
    /// that has arrived, for [`Self::receive_rest_of_proxy_header`].
    pub(crate) fn try_receive_proxy_header(
        &self,
        header: &mut Vec<u8>,
    ) -> io::Result<Option<Proxied>> {
        receive(self.own_io()?.get_ref(), header)
    }

    /// Waits for the rest of a header that begins with `header`.
    pub(crate) async fn receive_rest_of_proxy_header(
        &self,
        mut header: Vec<u8>,
    ) -> io::Result<Option<Proxied>> {
        let io = self.own_io()?;
        io.reading(|socket| receive(socket, &mut header)).await
    }
}

/// Receives what has arrived of a header; `WouldBlock` if it is not complete.
fn receive(socket: &Socket, header: &mut Vec<u8>) -> io::Result<Option<Proxied>> {
    if socket.keeps_messages() {
        // One byte more shows data after the longest header.
        look(socket, header, LONGEST_HEADER + 1)?;
        let proxied = Proxied::parse(header)?;
        take(socket, header)?;
        return Ok(proxied);
    }
    loop {
        let taken = header.len();
        look(socket, header, SEGMENT)?;
        if let Some(length) = length(header)? {
            let proxied = Proxied::parse(&header[..length])?;
            take(socket, &mut header[taken..length])?;
            return Ok(proxied);
        }
        take(socket, &mut header[taken..])?;
    }
}

/// Appends what has arrived to `header`, at most `count` bytes, and leaves it in the socket. No buffer
/// is kept while nothing arrives.
fn look(socket: &Socket, header: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let known = header.len();
    header.resize(known + count, 0);
    let arrived = socket.peek(&mut header[known..]);
    header.truncate(known + arrived.as_ref().unwrap_or(&0));
    match arrived {
        Ok(0) => Err(HeaderFault::Cut(known).into()),
        Ok(_) => Ok(()),
        Err(error) => {
            header.shrink_to_fit();
            Err(error)
        }
    }
}

/// Receives again what [`look`] has found: these bytes, or the message.
fn take(socket: &Socket, found: &mut [u8]) -> io::Result<()> {
    let mut files: Vec<OwnedFd> = Vec::new();
    let mut taken = 0;
    while taken < found.len() {
        let (received, _) = match socket.receive(&mut found[taken..], Some(&mut files)) {
            // Another process has this socket too, and was faster.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(HeaderFault::Cut(taken).into());
            }
            received => received?,
        };
        if !files.is_empty() {
            return Err(HeaderFault::Descriptors.into());
        }
        match received {
            Received::Bytes(length) => taken += length,
            Received::Message(_) | Received::End => break,
        }
    }
    Ok(())
}

/// The header at the beginning of `stream`, which arrives in pieces of `most` bytes, as
/// [`Stream::receive_proxy_header`] receives it.
#[cfg(any(test, fuzzing))]
pub(super) fn received(stream: &[u8], most: usize) -> Result<&[u8], HeaderFault> {
    let mut arrived = 0;
    loop {
        if arrived == stream.len() {
            return Err(HeaderFault::Cut(arrived));
        }
        arrived = stream.len().min(arrived + most.min(SEGMENT));
        if let Some(length) = length(&stream[..arrived])? {
            return Ok(&stream[..length]);
        }
    }
}
