//! Bytes that the kernel moves by itself: from a file, and through a pipe.

use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::{Duration, Instant};

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
    /// `splice(2)`.
    pub fn poll_splice_into(
        &self,
        cx: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        count: usize,
        yielding: &mut Yielding,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.io().poll_read_ready(cx))?;
            match yielding.splice(|| self.io().get_ref().splice_into(pipe, count)) {
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
        yielding: &mut Yielding,
    ) -> Poll<io::Result<usize>> {
        let splice = |socket: &Socket| yielding.splice(|| socket.splice_from(pipe, count));
        self.poll_write_with(cx, splice)
    }

    /// Whether it costs less to splice a stream of bytes from here to `to` than to copy it.
    #[must_use]
    pub fn splices_well(&self, to: &Self) -> bool {
        family::splices_well(self.family(), to.family(), to.io().get_ref().options())
    }

    /// Makes room for large pieces, where the family's sockets have little of it by default.
    pub fn expect_bulk(&self) {
        // With less room the transfer is slower, but right.
        let _ = family::of(self.family()).expect_bulk(self.io().get_ref().options());
    }
}

/// Whether `splice(2)` or `sendfile(2)` is not allowed, or not available, for these files: a seccomp
/// filter or a security module refuses it, or the kernel or a sandbox lacks it. Then it has moved
/// nothing. An error of the connection is not among these: the kernel reports such an error once,
/// and a receive after it would see a clean end.
#[must_use]
pub fn is_refused(error: &io::Error) -> bool {
    use nix::Error as E;
    let refusal = error.raw_os_error().map(E::from_raw);
    matches!(
        refusal,
        Some(E::EPERM | E::EACCES | E::ENOSYS | E::EINVAL | E::EOPNOTSUPP)
    )
}

/// When a stream gives its processor away.
///
/// A peer that streams has more, or more room, at once, if only it may run: to yield and look again
/// costs less than to sleep and be woken. Where other programs want the processor, it is lost time
/// for all that the thread serves. So each yield that took long doubles for how often none is tried.
#[derive(Debug, Default)]
pub struct Yielding {
    long: u8,
    left_out: u8,
}

/// A yield that takes longer gave the processor to somebody who had other work.
const TURN_MAX: Duration = Duration::from_millis(1);
/// So many long yields in a row still make the pause longer.
const LONG_MAX: u8 = 7;

impl Yielding {
    fn splice(&mut self, splice: impl Fn() -> io::Result<usize>) -> io::Result<usize> {
        let done = splice();
        let error = done.as_ref().err();
        let is_blocked = error.is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if !is_blocked || !self.tries() {
            return done;
        }
        let began = Instant::now();
        thread::yield_now();
        self.took(began.elapsed());
        splice()
    }

    /// Whether it is time for a yield.
    const fn tries(&mut self) -> bool {
        let left = self.left_out.checked_sub(1);
        if let Some(left) = left {
            self.left_out = left;
        }
        left.is_none()
    }

    fn took(&mut self, time: Duration) {
        self.long = match time > TURN_MAX {
            true => LONG_MAX.min(self.long + 1),
            false => 0,
        };
        self.left_out = (1 << self.long) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(50);
    const LONG: Duration = Duration::from_millis(4);

    /// How many yields there are in a thousand chances, each of which takes that long.
    fn yields(time: Duration) -> usize {
        let mut yielding = Yielding::default();
        let tries = |_: &usize| {
            let tries = yielding.tries();
            if tries {
                yielding.took(time);
            }
            tries
        };
        (0..1000).filter(tries).count()
    }

    #[test]
    fn yields_that_take_long_become_rare() {
        assert_eq!(yields(SHORT), 1000);
        assert!(yields(LONG) < 20, "{}", yields(LONG));
    }

    #[test]
    fn a_short_yield_ends_the_pause() {
        let mut yielding = Yielding::default();
        for _ in 0..100 {
            yielding.took(LONG);
        }
        while !yielding.tries() {}
        yielding.took(SHORT);
        assert!(yielding.tries());
    }
}
