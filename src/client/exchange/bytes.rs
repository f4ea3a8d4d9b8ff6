//! The copies of an exchange in bytes: the input to the socket, and the socket to the output.

use std::io::{BufRead, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{FcntlArg, fcntl};

use super::BUFFER;
use super::end::ExchangeFault;
use super::input::Input;
use super::shared::Shared;
use crate::net::is_refused;

/// After so many full buffers, a pipe of ours is one that carries much.
const FULL_BUFFERS: u32 = 3;
/// What such a pipe should hold. The default of two buffers puts its two ends to sleep in turns, and
/// more than this gains nothing (scripts/compare stream).
const PIPE_ROOM: i32 = 256 * 1024;
/// The largest piece of one `sendfile(2)`, after which the idle clock is set back.
const PIECE: usize = 128 * 1024;

/// Sends the input; `false` if the exchange has ended before.
pub(super) fn send_all<R: Read + AsFd>(
    shared: &Shared,
    input: &mut Input<R>,
) -> Result<bool, ExchangeFault> {
    if input.reader.buffer().is_empty() {
        send_file(shared, input.reader.get_ref().as_fd())?;
    }
    let (mut full, mut peer_ended) = (0, false);
    while input
        .comes(shared, &mut peer_ended)
        .map_err(ExchangeFault::Own)?
    {
        let count = input.fill().map_err(ExchangeFault::Own)?;
        if count == 0 {
            return Ok(true);
        }
        widen_if_full(input.reader.get_ref().as_fd(), count, &mut full);
        while !input.reader.buffer().is_empty() {
            let rest = input.reader.buffer();
            let sent = shared.with_socket(|mut socket| socket.write(rest));
            let Some(sent) = sent.map_err(ExchangeFault::Socket)? else {
                return Ok(false);
            };
            shared.sent(sent);
            input.reader.consume(sent);
        }
    }
    Ok(true)
}

/// Sends a regular file without copying it; all else, what is wrong with the file, and a file
/// where `sendfile(2)` is refused, is left for the reads that follow.
fn send_file(shared: &Shared, file: BorrowedFd<'_>) -> Result<(), ExchangeFault> {
    loop {
        match shared.with_socket(|socket| socket.send_file(file, PIECE)) {
            Ok(None | Some(0)) => return Ok(()),
            Ok(Some(count)) => shared.sent(count),
            Err(error) => match error.raw_os_error().map(nix::Error::from_raw) {
                Some(nix::Error::EBADF | nix::Error::EIO) => return Ok(()),
                _ if is_refused(&error) => return Ok(()),
                _ => return Err(ExchangeFault::Socket(error)),
            },
        }
    }
}

/// Writes what comes to the output, until the peer ends or the exchange has ended.
pub(super) fn receive_all(
    shared: &Shared,
    mut output: impl Write + AsFd,
) -> Result<(), ExchangeFault> {
    let mut buffer = vec![0; BUFFER];
    let mut full = 0;
    loop {
        let count = shared.with_socket(|mut socket| socket.read(&mut buffer));
        let count = count.map_err(ExchangeFault::Socket)?.unwrap_or(0);
        if count == 0 {
            return output.flush().map_err(ExchangeFault::Own);
        }
        widen_if_full(output.as_fd(), count, &mut full);
        output
            .write_all(&buffer[..count])
            .map_err(ExchangeFault::Own)?;
        shared.received(count);
    }
}

/// Makes a pipe larger when the last of so many buffers was full.
fn widen_if_full(pipe: BorrowedFd<'_>, count: usize, full: &mut u32) {
    if count < BUFFER {
        return;
    }
    *full = full.saturating_add(1);
    if *full == FULL_BUFFERS && fcntl(pipe, FcntlArg::F_GETPIPE_SZ).is_ok_and(|has| has < PIPE_ROOM)
    {
        // A user with many pipes may not enlarge them: then the copy continues with the small one.
        let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PIPE_ROOM));
    }
}
