//! Descriptors that come with received bytes, see `SCM_RIGHTS` in `unix(7)`.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SocketAddrAny, recvmsg,
};
use socket2::Socket;

use super::peer::Credentials;

/// The maximum of descriptors in one message: `SCM_MAX_FD` of the kernel.
pub(crate) const MOST_DESCRIPTORS: usize = 253;

/// The room for control messages without descriptors: credentials.
const CREDENTIALS: usize = rustix::cmsg_space!(ScmCredentials(1));
/// The room with as many descriptors as one message may have.
const ALL: usize = rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS), ScmCredentials(1));

/// What becomes of the descriptors that come with received bytes.
#[derive(Debug)]
pub(super) enum Rights<'a> {
    /// None come: the kernel refuses them.
    Refused,
    /// The kernel closes them.
    Closed,
    /// They are appended.
    Taken(&'a mut Vec<OwnedFd>),
}

/// What `recvmsg(2)` returned.
#[derive(Debug)]
pub(super) struct ReceivedRights {
    pub(super) length: usize,
    /// Those that the sender states and the kernel has checked.
    pub(super) credentials: Option<Credentials>,
    pub(super) sender: Option<SocketAddrAny>,
    /// Why descriptors were lost, if some were; the others are closed.
    pub(super) lost: Option<io::Error>,
}

/// `recvmsg(2)` that appends descriptors to `files`, closed on exec; without it, the kernel closes
/// them.
///
/// # Errors
/// What `recvmsg(2)` reports.
pub(super) fn receive_rights(
    socket: &Socket,
    buffer: &mut [u8],
    flags: RecvFlags,
    files: Option<&mut Vec<OwnedFd>>,
) -> io::Result<ReceivedRights> {
    let mut space = [MaybeUninit::uninit(); ALL];
    let room = if files.is_some() { ALL } else { CREDENTIALS };
    let mut control = RecvAncillaryBuffer::new(&mut space[..room]);
    let mut data = [IoSliceMut::new(buffer)];
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut data, &mut control, flags)?;
    let mut credentials = None;
    let mut came = Vec::new();
    for message in control.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(some) => came.extend(some),
            RecvAncillaryMessage::ScmCredentials(process) => {
                credentials = Some(Credentials {
                    pid: process.pid.as_raw_nonzero().get(),
                    uid: process.uid.as_raw(),
                    gid: process.gid.as_raw(),
                });
            }
            _ => {}
        }
    }
    let is_cut = files.is_some() && received.flags.contains(ReturnFlags::CTRUNC);
    let lost = is_cut.then(|| lost(socket));
    if let Some(files) = files
        && !is_cut
    {
        files.append(&mut came);
    }
    Ok(ReceivedRights {
        length: received.bytes,
        credentials,
        sender: received.address,
        lost,
    })
}

/// Why the kernel did not give all descriptors, while those that it gave are still open.
fn lost(socket: &Socket) -> io::Error {
    match socket.try_clone() {
        Err(error) => not_passed(format_args!("no more descriptors can be opened: {error}")),
        Ok(_) => not_passed("the system did not give them to this process"),
    }
}

/// Descriptors that cannot be passed on, and why.
#[derive(Debug)]
struct NotPassed(String);

impl fmt::Display for NotPassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "descriptors cannot be passed on: {}", self.0)
    }
}

impl Error for NotPassed {}

/// The error for descriptors that cannot be passed on.
pub(crate) fn not_passed(cause: impl fmt::Display) -> io::Error {
    io::Error::other(NotPassed(cause.to_string()))
}

/// An error of `sendmsg(2)` with descriptors, explained if it is about them.
pub(super) fn passing(error: nix::Error) -> io::Error {
    use nix::Error as E;
    match error {
        E::EPERM => not_passed("the receiver refuses them (SO_PASSRIGHTS)"),
        E::ETOOMANYREFS => not_passed("too many are on their way (ulimit -n)"),
        other => other.into(),
    }
}

/// Whether it is the error for descriptors that cannot be passed on.
pub(crate) fn is_not_passed(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(<dyn Error + Send + Sync>::is::<NotPassed>)
}
