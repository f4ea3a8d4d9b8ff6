//! Bytes moved inside the kernel: from a file, or through a pipe.

use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use nix::fcntl::{SpliceFFlags, splice};
use nix::sys::sendfile::sendfile;

use super::family;
use super::socket::Socket;
use super::stream::Stream;

impl Stream {
    /// Sends up to `count` bytes of a regular file from its own offset, see `sendfile(2)`;
    /// 0 bytes at its end.
    ///
    /// # Errors
    /// What `sendfile(2)` reports; `InvalidInput` for a file that cannot be mapped.
    pub async fn send_file(&self, file: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        let send = |socket: &Socket| socket.send_file(file, count);
        self.write_with(send).await
    }

    /// Polls to move up to `count` available bytes into an empty pipe; 0 at end of file; see
    /// `splice(2)`. If it would block, `again` decides whether to retry once before waiting.
    pub(crate) fn poll_splice_into(
        &self,
        cx: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        count: usize,
        mut again: impl FnMut() -> bool,
    ) -> Poll<io::Result<usize>> {
        let io = self.own_io()?;
        loop {
            let mut ready = ready!(io.poll_read_ready(cx))?;
            match or_again(&mut again, || io.get_ref().splice_into(pipe, count)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                done => return Poll::Ready(done),
            }
        }
    }

    /// Polls to send some of the `count` bytes in a pipe to the peer; see `splice(2)`. `again` as
    /// for [`poll_splice_into`](Self::poll_splice_into).
    pub(crate) fn poll_splice_from(
        &self,
        cx: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        count: usize,
        mut again: impl FnMut() -> bool,
    ) -> Poll<io::Result<usize>> {
        let splice = |socket: &Socket| or_again(&mut again, || socket.splice_from(pipe, count));
        self.poll_write_with(cx, splice)
    }

    /// Whether splicing from here to `to` costs less than copying.
    #[must_use]
    pub(crate) fn splices_well(&self, to: &Self) -> bool {
        family::splices_well(self.family(), to.family(), to.socket().inner())
    }

    /// Enlarges the buffers for bulk, if the family's default is small.
    pub(crate) fn expect_bulk(&self) {
        // With smaller buffers the transfer is slower, but correct.
        let _ = family::of(self.family()).expect_bulk(self.socket().inner());
    }
}

impl Socket {
    /// `sendfile(2)`: as much of `file`, from its own offset, as the socket takes now; 0 at its end.
    ///
    /// # Errors
    /// What the kernel reports; `InvalidInput` if it is not a regular file.
    pub fn send_file(&self, file: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        let send = || self.unless_it_waits(|| Ok(sendfile(self.inner(), file, None, count)?));
        self.watched("sendfile", || count.to_string(), send)
    }

    /// `splice(2)`: available bytes, at most `count`, into a pipe without a copy.
    pub(super) fn splice_into(&self, pipe: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
        let splice =
            || self.unless_it_waits(|| Ok(splice(self.inner(), None, pipe, None, count, flags)?));
        self.watched("splice", || format!("to a pipe, {count}"), splice)
    }

    /// `splice(2)`: at most `count` bytes of a pipe, as many as the socket takes now.
    pub(super) fn splice_from(&self, pipe: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
        let splice =
            || self.unless_it_waits(|| Ok(splice(pipe, None, self.inner(), None, count, flags)?));
        self.watched("splice", || format!("from a pipe, {count}"), splice)
    }

    /// Makes a call, unless it would wait and must not: then it is as if the kernel refused it.
    fn unless_it_waits(&self, call: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        match self.would_wait() {
            true => Err(nix::Error::EINVAL.into()),
            false => call(),
        }
    }
}

/// Whether `splice(2)` or `sendfile(2)` is not allowed or not available for these files: a seccomp
/// filter or a security module refuses it, or the kernel or a sandbox lacks it. It has then moved
/// nothing. Errors of the connection do not count: the kernel reports such an error once, and a
/// later receive would see a clean end.
#[must_use]
pub(crate) fn is_refused(error: &io::Error) -> bool {
    use nix::Error as E;
    let refusal = error.raw_os_error().map(E::from_raw);
    matches!(
        refusal,
        Some(E::EPERM | E::EACCES | E::ENOSYS | E::EINVAL | E::EOPNOTSUPP)
    )
}

/// Makes `call`, and retries once if it would block and `again` returns true.
fn or_again(
    mut again: impl FnMut() -> bool,
    call: impl Fn() -> io::Result<usize>,
) -> io::Result<usize> {
    match call() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && again() => call(),
        done => done,
    }
}
