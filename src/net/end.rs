//! The end of a connection: half-close, reset, and how the peer's end shows.

use std::future::pending;
use std::io;
use std::net::Shutdown;
use std::time::Duration;

use rustix::net::connect_unspec;
use tokio::io::Interest;

use super::family;
use super::registration::registered_number;
use super::socket::Socket;
use super::stream::Stream;

/// The maximum time that a refusal waits for the peer's first bytes.
const REFUSAL: Duration = Duration::from_secs(1);

/// A peer of which more than this is unread at the end sends on. It must get a reset: it has perhaps
/// filled the window, which the kernel opens no more after a `shutdown(2)` for reading, and would
/// otherwise wait until the kernel forgets the connection, a minute later (`tcp_fin_timeout`, see `tcp(7)`).
/// The window is larger, unless a system's `tcp_rmem` is unusually small.
const SENDS_ON: usize = 32 * 1024;

impl Stream {
    /// Shuts down one half of the connection, or both; see `shutdown(2)`. After [`Shutdown::Write`]
    /// the peer gets end of file, and can still answer.
    ///
    /// # Errors
    /// What the kernel reports; no error if the peer has already closed.
    ///
    /// A datagram socket tells its peer nothing.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if !self.socket_type().has_connection() {
            return Ok(());
        }
        match self.socket().shutdown(how) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        }
    }

    /// Waits, after [`shutdown`](Self::shutdown), until the connection can be closed without losing
    /// sent data: if the peer sends to a closed socket, the kernel drops the data it still holds
    /// for that peer.
    ///
    /// # Errors
    /// If the connection broke before.
    pub async fn delivered(&self) -> io::Result<()> {
        if self.keeps_messages() {
            return Ok(());
        }
        self.write_with(|socket| {
            let family = family::of(socket.family());
            socket.unless(family.may_lose_sent(socket.inner())?)
        })
        .await
    }

    /// Discards what has come on a connection that is shut down both ways, and returns its size: a close with
    /// bytes unread is an error for the peer, which might then not read what it has got.
    pub(crate) fn discard_rest(&self, buffer: &mut [u8]) -> usize {
        let (mut count, most) = (0, self.socket().most_discarded());
        while count < most
            && let Ok(received) = self.try_receive(buffer)
            && !received.is_end()
        {
            count += received.count();
        }
        count
    }

    /// Waits until the peer resets the connection, and returns the error; end of file is not a
    /// reset.
    pub async fn reset_by_peer(&self) -> io::Error {
        let Some(io) = self.io() else {
            return pending().await;
        };
        loop {
            let mut failed = match io.ready(Interest::ERROR).await {
                Ok(failed) => failed,
                Err(error) => return error,
            };
            match io.get_ref().take_error() {
                // The kernel's error for a reset after end of file.
                Ok(Some(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return nix::Error::ECONNRESET.into();
                }
                Ok(Some(error)) | Err(error) => return error,
                Ok(None) => failed.clear_ready(),
            }
        }
    }

    /// Whether an error was pending when the runtime last polled; one that is waited for by
    /// [`reset_by_peer`](Self::reset_by_peer).
    pub(crate) fn has_failed(&self) -> bool {
        self.io().is_some_and(|io| io.is_ready(Interest::ERROR))
    }

    /// Waits until the peer has closed both directions, if the family reports it.
    ///
    /// # Errors
    /// If it was a reset, see [`reset_by_peer`](Self::reset_by_peer).
    pub async fn peer_closed(&self) -> io::Result<()> {
        tokio::select! {
            biased;
            reset = self.reset_by_peer() => Err(reset),
            () = self.closed_by_peer() => Ok(()),
            () = self.session_ended() => Ok(()),
        }
    }

    async fn closed_by_peer(&self) {
        let Some(io) = self.io() else {
            return pending().await;
        };
        if !family::of(self.family()).shows_full_close() {
            return pending().await;
        }
        // The runtime treats EPOLLHUP, both halves shut, as write-closed; send room is not awaited
        // here, see `interest`.
        let _ = io.ready(Interest::WRITABLE).await;
    }

    /// Closes the connection so that the peer sees an error, not end of file, if the family has a
    /// reset (`SO_LINGER` of 0, see `socket(7)`).
    pub fn reset(self) {
        self.reset_on_drop();
    }

    /// From now on, dropping resets the connection, for example on an error or when its service is
    /// cut off, until [`close_on_drop`](Self::close_on_drop).
    pub fn reset_on_drop(&self) {
        if let Some(io) = self.io() {
            io.get_ref().set_resets(true);
        }
    }

    /// The connection ended well: dropping closes it normally.
    pub fn close_on_drop(&self) {
        if let Some(io) = self.io() {
            io.get_ref().set_resets(false);
        }
    }

    /// Refuses a connection of which nothing was received: the peer sees an error when it is dropped. A
    /// family without a reset reports one only if bytes are left unread, so this waits briefly for the
    /// first.
    pub async fn refuse(&self) {
        if let Some(io) = self.io()
            && !self.family().facts().has_reset
        {
            let readable = std::future::poll_fn(|cx| io.poll_read_ready(cx).map(drop));
            // A silent peer sees a normal close.
            let _ = tokio::time::timeout(REFUSAL, readable).await;
        }
        self.reset_on_drop();
    }
}

impl Socket {
    /// How much of what is unread at the end of the connection is discarded; a peer of which more is
    /// unread sends on, and gets a reset, see [`SENDS_ON`]. A family without a reset has no window.
    pub(crate) fn most_discarded(&self) -> usize {
        match self.family().facts().has_reset {
            true => SENDS_ON,
            false => usize::MAX,
        }
    }

    /// Waits, after [`shutdown`](Self::shutdown), until the host of the peer has all that was sent; also
    /// in blocking mode.
    ///
    /// # Errors
    /// If the connection broke before.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub async fn acknowledged(&self) -> io::Result<()> {
        if self.keeps_messages() {
            return Ok(());
        }
        let family = family::of(self.family());
        let check = || self.unless(family.awaits_acknowledgement(self.inner())?);
        match check() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        let state = registered_number(self, Interest::WRITABLE)?;
        state.async_io(Interest::WRITABLE, |_| check()).await
    }

    /// `WouldBlock` while it `waits`, unless the connection has failed. The state was read before: a
    /// connection reset in between has no state.
    fn unless(&self, waits: bool) -> io::Result<()> {
        match self.take_error()? {
            Some(error) => Err(error),
            None if waits => Err(io::ErrorKind::WouldBlock.into()),
            None => Ok(()),
        }
    }

    /// Ends the connection at once, for all who use the socket: with a reset, if the family has one,
    /// so that the peer does not take what it has got for all; see `AF_UNSPEC` in `connect(2)`.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn abort(&self) -> io::Result<()> {
        let has_reset = self.family().facts().has_reset && self.socket_type().has_connection();
        let disconnect = || Ok(connect_unspec(self)?);
        let unspecified = || "AF_UNSPEC".to_owned();
        // Linux 6.4 to 6.6 refuse it while a thread waits for the socket.
        match has_reset && self.watched("connect", unspecified, disconnect).is_ok() {
            true => Ok(()),
            false => self.shutdown(Shutdown::Both),
        }
    }
}
