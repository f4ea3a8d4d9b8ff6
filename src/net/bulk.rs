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
        std::future::poll_fn(|cx| self.poll_write_with(cx, send)).await
    }

    /// Polls to move what is there into an empty pipe, at most `count` bytes, 0 at the end; see
    /// `splice(2)`.
    pub fn poll_splice_into(
        &self,
        cx: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.io().poll_read_ready(cx))?;
            match or_yielding(|| self.io().get_ref().splice_into(pipe, count)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                done => return Poll::Ready(done),
            }
        }
    }

    /// Polls to move some of the `count` bytes that a pipe holds to the peer; see `splice(2)`.
    pub fn poll_splice_from(
        &self,
        cx: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        let splice = |socket: &Socket| or_yielding(|| socket.splice_from(pipe, count));
        self.poll_write_with(cx, splice)
    }

    /// Whether it costs less to splice a stream of bytes from here to `to` than to copy it.
    #[must_use]
    pub fn splices_well(&self, to: &Self) -> bool {
        family::splices_well(self.family(), to.io().get_ref())
    }

    /// Makes room for large pieces, where the family's sockets have little of it by default.
    pub fn expect_bulk(&self) {
        // With less room the transfer is slower, but right.
        let _ = family::expect_bulk(self.io().get_ref());
    }
}

/// Moves bytes of a stream. A peer that streams has more, or more room, at once, if only it may
/// run: to give it the processor and look again costs less than to sleep and be woken.
fn or_yielding(splice: impl Fn() -> io::Result<usize>) -> io::Result<usize> {
    match splice() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            std::thread::yield_now();
            splice()
        }
        done => done,
    }
}
