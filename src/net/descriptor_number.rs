//! Descriptors that this process has inherited, by their numbers.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::Error as E;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, getsockname, sendmsg};
use nix::unistd::{close, dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::net::RecvFlags;
use socket2::Socket;

use super::descriptor::connected_pair;
use super::rights::receive_rights;

/// Checks that a number is that of an open socket.
pub(super) fn check_socket(number: RawFd) -> io::Result<()> {
    match getsockname::<SockaddrStorage>(number) {
        Err(error @ (E::EBADF | E::ENOTSOCK)) => Err(error.into()),
        // Its family is checked once it is taken.
        _ => Ok(()),
    }
}

/// Whether descriptor `number` of this process is open.
#[must_use]
pub fn is_open(number: RawFd) -> bool {
    !matches!(check_socket(number), Err(error) if error.raw_os_error() == Some(E::EBADF as i32))
}

/// Has programs inherit descriptor `number`, whether or not it is closed on exec now.
///
/// # Errors
/// As [`take`].
pub fn keep_on_exec(number: RawFd) -> io::Result<()> {
    let copy = take(number)?;
    // The lowest free number from here up is this one.
    fcntl(&copy, FcntlArg::F_DUPFD(number))?;
    Ok(())
}

/// Takes descriptor `number` of this process, closed on exec. Its number is closed; that of a standard
/// stream becomes `/dev/null`. For the start of a program, before it opens files of its own: their
/// numbers would be taken as well.
///
/// # Errors
/// `EBADF` if it is not open, `EMFILE` if no descriptor is left.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    let copy = copied(number)?;
    give_up(number)?;
    Ok(copy)
}

/// A copy of descriptor `number` of this process, closed on exec.
///
/// Only `unsafe` code may use a number as a descriptor. So it is passed to this process itself
/// (`SCM_RIGHTS`, see `unix(7)`): pidfd_getfd(2) is refused in many containers, and nothing opens a
/// socket in `/proc/self/fd`.
pub(super) fn copied(number: RawFd) -> io::Result<OwnedFd> {
    let (one, other) = connected_pair()?;
    let other = Socket::from(other);
    let numbers = [number];
    let control = [ControlMessage::ScmRights(&numbers)];
    let data = [IoSlice::new(&[0])];
    sendmsg::<()>(
        one.as_raw_fd(),
        &data,
        &control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    let mut files = Vec::new();
    receive_rights(&other, &mut [0], RecvFlags::empty(), Some(&mut files))?;
    files.pop().ok_or_else(|| {
        // As a rule, no descriptor is left for it.
        one.try_clone().err().unwrap_or_else(|| E::EACCES.into())
    })
}

/// Closes a number, or has a standard stream lead nowhere: the next file would become it.
pub(super) fn give_up(number: RawFd) -> io::Result<()> {
    let nowhere = || File::options().read(true).write(true).open("/dev/null");
    match number {
        0 => dup2_stdin(nowhere()?)?,
        1 => dup2_stdout(nowhere()?)?,
        2 => dup2_stderr(nowhere()?)?,
        number => close(number)?,
    }
    Ok(())
}
