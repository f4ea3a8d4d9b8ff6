//! When a socket takes bytes again that is registered for receiving alone.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::socket::Socket;
use super::spare::Spare;

/// When to try again, where no descriptor is to be had to wait with.
const PAUSE: Duration = Duration::from_millis(10);

/// The wait for room to send, which begins with the first send that finds none.
///
/// It has a descriptor of its own, since what a registration waits for cannot be changed. Once
/// begun it stays, as a stream that found no room is one that sends much.
#[derive(Debug, Default)]
pub(super) struct Room(OnceLock<Box<Wait>>);

#[derive(Debug)]
struct Wait {
    io: AsyncFd<OwnedFd>,
    _spare: Spare,
}

impl Room {
    /// Polls to do what says `WouldBlock` while `socket` has no room.
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        socket: &Socket,
        mut send: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        if let Some(wait) = self.0.get() {
            return poll_writing(&wait.io, cx, send);
        }
        match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
        match Wait::begin(socket) {
            Ok(wait) => poll_writing(&self.0.get_or_init(|| Box::new(wait)).io, cx, send),
            Err(_) => {
                let waker = cx.waker().clone();
                tokio::spawn(async {
                    tokio::time::sleep(PAUSE).await;
                    waker.wake();
                });
                Poll::Pending
            }
        }
    }
}

impl Wait {
    fn begin(socket: &Socket) -> io::Result<Self> {
        let spare = Spare::take(1)?;
        let own = socket.as_fd().try_clone_to_owned()?;
        Ok(Self {
            io: registered(own, Interest::WRITABLE)?,
            _spare: spare,
        })
    }
}

/// Polls to do what says `WouldBlock` while `io` cannot be written to.
pub(super) fn poll_writing<T>(
    io: &AsyncFd<impl AsRawFd>,
    cx: &mut Context<'_>,
    mut write: impl FnMut() -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        let mut ready = ready!(io.poll_write_ready(cx))?;
        match write() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            done => return Poll::Ready(done),
        }
    }
}

/// Registers an open file with the runtime.
#[allow(deprecated)]
pub(super) fn registered<T: AsRawFd>(file: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // `AsyncFd::register` asks for a promise in `unsafe` that the descriptor stays the same while
    // it is registered. All that is given here keeps it, and this crate forbids `unsafe`.
    AsyncFd::with_interest(file, interest)
}
