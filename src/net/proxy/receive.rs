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
use crate::net::registration::WaitingSocket;
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
        let io = self.own_io()?;
        let mut header = Vec::new();
        if self.keeps_messages() {
            look(io, &mut header, LONGEST_HEADER).await?;
            let proxied = Proxied::parse(&header)?;
            take(io, &mut header).await?;
            return Ok(proxied);
        }
        loop {
            let taken = header.len();
            look(io, &mut header, SEGMENT).await?;
            if let Some(length) = length(&header)? {
                let proxied = Proxied::parse(&header[..length])?;
                take(io, &mut header[taken..length]).await?;
                return Ok(proxied);
            }
            take(io, &mut header[taken..]).await?;
        }
    }
}

/// Appends what has arrived to `header`, at most `count` bytes, and leaves it in the socket. No buffer
/// is kept while nothing arrives.
async fn look(io: &WaitingSocket, header: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let known = header.len();
    let looking = io.reading(|socket| {
        header.resize(known + count, 0);
        let arrived = socket.peek(&mut header[known..]);
        header.truncate(known + arrived.as_ref().unwrap_or(&0));
        if arrived.is_err() {
            header.shrink_to_fit();
        }
        arrived
    });
    match looking.await? {
        0 => Err(HeaderFault::Cut(known).into()),
        _ => Ok(()),
    }
}

/// Receives again what [`look`] has found: these bytes, or the message.
async fn take(io: &WaitingSocket, found: &mut [u8]) -> io::Result<()> {
    let mut files: Vec<OwnedFd> = Vec::new();
    let mut taken = 0;
    while taken < found.len() {
        let taking = io.reading(|socket| socket.receive(&mut found[taken..], Some(&mut files)));
        let (received, _) = taking.await?;
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
