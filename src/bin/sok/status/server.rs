//! Answers requests for pages, within limits of its own: what a peer does costs no client anything.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sok::error::Result;
use sok::loops::{Connection, Service};
use sok::net::Stream;
use tokio::time::{Instant, timeout_at};

use super::places::Places;
use super::request::{HEAD_MAX, Head, Request, head, wants_head};
use super::response::{Page, StatusCode};

/// The most connections that are answered at once.
pub(crate) const PLACES: usize = 32;
/// The time for a request and its response.
const LIMIT: Duration = Duration::from_secs(5);
/// The most bytes after a request that are read before its connection is closed.
const IGNORED: usize = 256 * 1024;

/// The pages of a server.
pub(crate) trait Pages: Send + Sync + 'static {
    /// The page at `path`.
    fn page(&self, path: &str) -> Page;
}

/// What has become of the requests.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    answered: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    /// The requests that were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// The connections that ended before they were answered: their peer broke them, or they stalled, and
    /// their time or their place was over.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Serves pages.
#[derive(Debug)]
pub(crate) struct StatusService<P> {
    pages: P,
    places: Places,
    counts: Arc<Counts>,
}

impl<P: Pages> StatusService<P> {
    pub(crate) fn new(pages: P, counts: Arc<Counts>) -> Self {
        let places = Places::new(PLACES);
        Self {
            pages,
            places,
            counts,
        }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// Those of the connection, which its peer has broken.
    async fn answer(&self, stream: &Stream) -> io::Result<()> {
        let mut bytes = vec![0; HEAD_MAX];
        let mut filled = 0;
        let response = loop {
            let received = stream.receive(&mut bytes[filled..]).await?;
            if received.is_end() && filled == 0 {
                // A probe that only connects.
                return Ok(());
            }
            filled += received.count();
            let refused = |code| Page::refused(code).response(!wants_head(&bytes[..filled]));
            match head(&bytes[..filled]) {
                Head::Incomplete if !received.is_end() => {}
                Head::Incomplete => break refused(StatusCode::BadRequest),
                Head::Refused(code) => break refused(code),
                Head::Request(Request { path, wants_body }) => {
                    break self.pages.page(path).response(wants_body);
                }
            }
        };
        drop(bytes);
        stream.send_all(&response).await?;
        self.counts.answered.fetch_add(1, Ordering::Relaxed);
        stream.shutdown(Shutdown::Write)
    }

    /// Waits until the peer has closed too: unread bytes would make the end a reset, which may overtake
    /// the response.
    async fn linger(stream: &Stream) {
        let mut left = IGNORED;
        let mut ignored = [0; 512];
        while let Ok(received) = stream.receive(&mut ignored).await {
            left = left.saturating_sub(received.count());
            if received.is_end() || left == 0 {
                return;
            }
        }
    }
}

impl<P: Pages> Service for StatusService<P> {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        let place = self.places.take(connection.id());
        let end = Instant::now() + LIMIT;
        let answered = tokio::select! {
            biased;
            answered = timeout_at(end, self.answer(&stream)) => answered.ok(),
            () = place.lost() => None,
        };
        match answered {
            Some(Ok(())) => {
                place.is_spare();
                tokio::select! {
                    biased;
                    _ = timeout_at(end, Self::linger(&stream)) => {}
                    () = place.lost() => {}
                }
            }
            // The peer has broken its connection, as a reader that closes at once.
            Some(Err(_)) => {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                stream.reset();
            }
        }
        Ok(())
    }
}
