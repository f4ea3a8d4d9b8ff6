//! Bytes that the kernel moves by itself: from a file, and through a pipe.

use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

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

    /// Polls to move what is there into an empty pipe, at most `count` bytes, 0 at the end; see
    /// `splice(2)`. `again` says, where it would block, whether to try once more before it waits.
    pub(crate) fn poll_splice_into(
        &self,
        cx: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        count: usize,
        mut again: impl FnMut() -> bool,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.io().poll_read_ready(cx))?;
            match or_again(&mut again, || self.io().get_ref().splice_into(pipe, count)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                done => return Poll::Ready(done),
            }
        }
    }

    /// Polls to move some of the `count` bytes that a pipe holds to the peer; see `splice(2)`. `again`
    /// as for [`poll_splice_into`](Self::poll_splice_into).
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

    /// Whether it costs less to splice a stream of bytes from here to `to` than to copy it.
    #[must_use]
    pub(crate) fn splices_well(&self, to: &Self) -> bool {
        family::splices_well(self.family(), to.family(), to.io().get_ref().inner())
    }

    /// Makes room for large pieces, where the family's sockets have little of it by default.
    pub(crate) fn expect_bulk(&self) {
        // With less room the transfer is slower, but right.
        let _ = family::of(self.family()).expect_bulk(self.io().get_ref().inner());
    }
}

/// Whether `splice(2)` or `sendfile(2)` is not allowed, or not available, for these files: a seccomp
/// filter or a security module refuses it, or the kernel or a sandbox lacks it. Then it has moved
/// nothing. An error of the connection is not among these: the kernel reports such an error once,
/// and a receive after it would see a clean end.
#[must_use]
pub(crate) fn is_refused(error: &io::Error) -> bool {
    use nix::Error as E;
    let refusal = error.raw_os_error().map(E::from_raw);
    matches!(
        refusal,
        Some(E::EPERM | E::EACCES | E::ENOSYS | E::EINVAL | E::EOPNOTSUPP)
    )
}

/// Makes `call`, and once more if it would block and `again` says so.
fn or_again(
    mut again: impl FnMut() -> bool,
    call: impl Fn() -> io::Result<usize>,
) -> io::Result<usize> {
    match call() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && again() => call(),
        done => done,
    }
}
