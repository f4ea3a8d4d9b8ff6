//! Our ends of pipes to programs. Bytes move between them and a stream without a copy, see
//! `splice(2)`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};
use rustix::io::ioctl_fionread;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::registration::registered;
use super::socket::Socket;
use super::stream::Stream;

/// The capacity of a pipe for bulk; with the default of 64 KiB its two ends sleep in turns.
const BULK_ROOM: i32 = 256 * 1024;

/// The writing end of a pipe, such as a program's standard input.
#[derive(Debug)]
pub(crate) struct PipeWriter(AsyncFd<OwnedFd>);

/// The reading end of a pipe, such as a program's standard output, or a FIFO.
#[derive(Debug)]
pub(crate) struct PipeReader(AsyncFd<OwnedFd>);

/// The result of moving bytes to a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fed {
    /// This many were moved.
    Bytes(usize),
    /// The other end is closed.
    Closed,
    /// Nothing can be spliced: end of file, or urgent data. A receive distinguishes them.
    Stopped,
}

impl PipeWriter {
    /// A pipe: the end that is kept, and the program's end.
    ///
    /// # Errors
    /// What `pipe2(2)` reports, mostly that there are too many open files.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub(crate) fn open() -> io::Result<(Self, OwnedFd)> {
        let (exit, entry) = io::pipe()?;
        let own = kept(entry.into(), Interest::WRITABLE)?;
        Ok((Self(own), exit.into()))
    }

    /// Polls to splice what `stream` has received, at most `count` bytes.
    ///
    /// # Errors
    /// What the stream reports, or that splice is refused, see [`is_refused`](super::is_refused).
    pub(crate) fn poll_splice_from(
        &self,
        cx: &mut Context<'_>,
        stream: &Stream,
        count: usize,
    ) -> Poll<io::Result<Fed>> {
        let io = stream.own_io()?;
        loop {
            // `EAGAIN` does not say which side waits: either may become ready first.
            let from = io.poll_read_ready(cx)?;
            let to = self.0.poll_write_ready(cx)?;
            if from.is_pending() && to.is_pending() {
                return Poll::Pending;
            }
            let (mut from, mut to) = (ready_guard(from), ready_guard(to));
            if to.as_ref().is_some_and(|to| to.ready().is_write_closed()) {
                return Poll::Ready(Ok(Fed::Closed));
            }
            if stream.is_urgent() {
                return Poll::Ready(Ok(Fed::Stopped));
            }
            match io.get_ref().splice_into(self.0.as_fd(), count) {
                Ok(0) => return Poll::Ready(Ok(Fed::Stopped)),
                Ok(count) => return Poll::Ready(Ok(Fed::Bytes(count))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(from) = &mut from {
                        from.clear_ready();
                    }
                    if let Some(to) = &mut to {
                        to.clear_ready();
                    }
                }
                // A reset stream may report the same.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe && self.is_closed() => {
                    return Poll::Ready(Ok(Fed::Closed));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Polls to write some of `bytes`.
    ///
    /// # Errors
    /// What `write(2)` reports.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<Fed>> {
        loop {
            match write(&self.0, bytes) {
                Ok(count) => return Poll::Ready(Ok(Fed::Bytes(count))),
                Err(nix::Error::EPIPE) => return Poll::Ready(Ok(Fed::Closed)),
                Err(nix::Error::EAGAIN) => ready!(self.0.poll_write_ready(cx))?.clear_ready(),
                Err(nix::Error::EINTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    /// Polls until the program has closed its input.
    ///
    /// # Errors
    /// If the event loop has ended.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut to = ready!(self.0.poll_write_ready(cx))?;
            if to.ready().is_write_closed() {
                return Poll::Ready(Ok(()));
            }
            // Room is not awaited here; writers just try.
            to.clear_ready();
        }
    }

    fn is_closed(&self) -> bool {
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
        let done = poll(&mut polled, PollTimeout::ZERO);
        done.is_ok() && polled[0].any() == Some(true)
    }

    /// Makes room for large pieces.
    pub(crate) fn expect_bulk(&self) {
        widen(self.0.as_fd());
    }
}

impl PipeReader {
    /// A FIFO opened with `O_NONBLOCK`, with or without a writer. Without one it is not at end of
    /// file.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` reports.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub(crate) fn of_fifo(fifo: OwnedFd) -> io::Result<Self> {
        registered(fifo, Interest::READABLE).map(Self)
    }

    /// A pipe: the end that is kept, and the program's end.
    ///
    /// # Errors
    /// As [`PipeWriter::open`].
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub(crate) fn open() -> io::Result<(Self, OwnedFd)> {
        let (exit, entry) = io::pipe()?;
        let own = kept(exit.into(), Interest::READABLE)?;
        Ok((Self(own), entry.into()))
    }

    /// Polls to splice at most `count` bytes to `stream`; 0 after the last writer has closed the
    /// pipe.
    ///
    /// # Errors
    /// What the stream reports, or that splice is refused, see [`is_refused`](super::is_refused).
    pub(crate) fn poll_splice_to(
        &self,
        cx: &mut Context<'_>,
        stream: &Stream,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut from = ready!(self.0.poll_read_ready(cx))?;
            // None if the pipe is empty, not if the stream has no room.
            let splice = |socket: &Socket| {
                let splice = || socket.splice_from(self.0.as_fd(), count);
                match splice() {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                    Err(_) if self.is_empty() => Ok(None),
                    // Bytes may just have come; if so, the error concerns the stream.
                    Err(_) => splice().map(Some),
                    Ok(count) => Ok(Some(count)),
                }
            };
            match ready!(stream.poll_write_with(cx, splice))? {
                Some(count) => return Poll::Ready(Ok(count)),
                None => from.clear_ready(),
            }
        }
    }

    /// Polls to read; 0 means end of file.
    ///
    /// # Errors
    /// What `read(2)` reports.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut from = ready!(self.0.poll_read_ready(cx))?;
            match read(&self.0, buffer) {
                Err(nix::Error::EAGAIN) => from.clear_ready(),
                Err(nix::Error::EINTR) => {}
                done => return Poll::Ready(Ok(done?)),
            }
        }
    }

    /// Whether there is nothing to read now.
    pub(crate) fn is_empty(&self) -> bool {
        ioctl_fionread(&self.0).is_ok_and(|count| count == 0)
    }

    /// Makes room for large pieces.
    pub(crate) fn expect_bulk(&self) {
        widen(self.0.as_fd());
    }
}

/// Registers our end of a pipe, in non-blocking mode. The program's end blocks: each has its own
/// flags.
fn kept(end: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    fcntl(&end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    registered(end, interest)
}

fn ready_guard<T>(ready: Poll<T>) -> Option<T> {
    match ready {
        Poll::Ready(guard) => Some(guard),
        Poll::Pending => None,
    }
}

/// Enlarges a pipe. A user with many pipes may not: the pipe keeps its size.
fn widen(pipe: BorrowedFd<'_>) {
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(BULK_ROOM));
}
