//! The end of a connection: half-close, reset, and what is seen of the peer's end.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use tokio::io::Interest;

use super::family;
use super::stream::Stream;

/// How long a refusal waits for the peer's first bytes.
const REFUSAL: Duration = Duration::from_secs(1);

impl Stream {
    /// Shuts down one half of the connection or both; see `shutdown(2)`. After [`Shutdown::Write`] the
    /// peer sees the end of file, and may still answer.
    ///
    /// # Errors
    /// What the kernel reports; it is no error if the peer is already gone.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self.io().get_ref().shutdown(how) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        }
    }

    /// Waits, after [`shutdown`](Self::shutdown), until the connection can be closed and nothing that was
    /// sent is lost: if the peer sends something to a closed socket, the kernel drops what it still
    /// holds for that peer.
    ///
    /// # Errors
    /// That the connection broke before.
    pub async fn delivered(&self) -> io::Result<()> {
        self.write_with(|socket| {
            let may_lose = family::of(socket.family()).may_lose_sent(socket.inner())?;
            // After the state: a connection that was reset in between has no state any more.
            match socket.take_error()? {
                Some(error) => Err(error),
                None if may_lose => Err(io::ErrorKind::WouldBlock.into()),
                None => Ok(()),
            }
        })
        .await
    }

    /// Waits until the peer has reset the connection, and gives that error; an end is not a reset.
    pub async fn reset_by_peer(&self) -> io::Error {
        loop {
            let mut failed = match self.io().ready(Interest::ERROR).await {
                Ok(failed) => failed,
                Err(error) => return error,
            };
            match self.io().get_ref().take_error() {
                // So the kernel calls a reset that comes after the end.
                Ok(Some(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return nix::Error::ECONNRESET.into();
                }
                Ok(Some(error)) | Err(error) => return error,
                Ok(None) => failed.clear_ready(),
            }
        }
    }

    /// Waits until the peer takes nothing more, after its end: it has closed the connection, which not
    /// every family shows.
    ///
    /// # Errors
    /// That it was a reset, see [`reset_by_peer`](Self::reset_by_peer).
    pub async fn peer_closed(&self) -> io::Result<()> {
        tokio::select! {
            biased;
            reset = self.reset_by_peer() => Err(reset),
            () = self.closed_by_peer() => Ok(()),
        }
    }

    async fn closed_by_peer(&self) {
        if !family::of(self.family()).shows_full_close() {
            return std::future::pending().await;
        }
        // The runtime counts EPOLLHUP, both halves shut, as the end of what is written; room to write
        // is not waited for here, see `interest`.
        let _ = self.io().ready(Interest::WRITABLE).await;
    }

    /// Closes the connection so that the peer sees an error, not a clean end, where the family
    /// can tell it so (`SO_LINGER` of 0, see `socket(7)`).
    pub fn reset(self) {
        self.reset_on_drop();
    }

    /// From now on the connection is reset when it is dropped, as by an error or when its service
    /// is cut off, until [`close_on_drop`](Self::close_on_drop) says that it ended well.
    pub fn reset_on_drop(&self) {
        self.io().get_ref().set_resets(true);
    }

    /// The connection ended well: dropping it is a clean end.
    pub fn close_on_drop(&self) {
        self.io().get_ref().set_resets(false);
    }

    /// Closes a connection that nobody has read from, so that the peer sees an error: a family
    /// without a reset shows one only by bytes that were left unread, so the first of them is
    /// waited for, for a short while.
    pub async fn refuse(self) {
        if !self.family().facts().has_reset {
            let readable = std::future::poll_fn(|cx| self.io().poll_read_ready(cx).map(drop));
            // A peer that says nothing sees a plain end.
            let _ = tokio::time::timeout(REFUSAL, readable).await;
        }
        self.reset();
    }
}
