//! Spreads the connections over several threads.

use std::future::pending;
use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinError;
use tokio_util::either::Either;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::error::{Error, Result, copied};
use crate::loops::{Connection, Service};
use crate::net::Stream;
use crate::offload::no_thread;

/// Gives each connection to the thread with the fewest, where it stays: the connections of a thread
/// share its buffers, and none waits for another thread to wake up. A single connection stays on
/// the thread that accepted it, which is awake.
#[derive(Debug)]
pub struct Threads<S> {
    service: Arc<S>,
    /// The first is the accepting thread.
    threads: Vec<Thread>,
    elsewhere: TaskTracker,
}

#[derive(Debug)]
struct Thread {
    /// None for the accepting thread.
    runtime: Option<Handle>,
    open: AtomicUsize,
}

impl Thread {
    const fn of(runtime: Option<Handle>) -> Self {
        let open = AtomicUsize::new(0);
        Self { runtime, open }
    }

    /// Starts a thread that builds its own event loop: an event loop must not be dropped on a
    /// thread that runs another one, as would happen if the thread failed to start.
    fn start(number: usize) -> Result<Self> {
        const WHAT: &str = "a server thread";
        let (report, started) = mpsc::channel();
        let run = move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let handle = runtime.as_ref().map(|runtime| runtime.handle().clone());
            // The starting thread waits for the result.
            let _ = report.send(handle.map_err(copied));
            if let Ok(runtime) = runtime {
                runtime.block_on(pending::<()>());
            }
        };
        let named = thread::Builder::new().name(format!("serve-{number}"));
        named
            .spawn(run)
            .map_err(|error| no_thread("start", WHAT, error))?;
        let handle = started.recv().map_err(io::Error::other).flatten();
        let handle = handle.map_err(|error| Error::new("start", WHAT, error))?;
        Ok(Self::of(Some(handle)))
    }
}

/// A connection counted for a thread, until this value is dropped.
struct ThreadLoad<'a>(&'a AtomicUsize);

impl<'a> ThreadLoad<'a> {
    fn take(open: &'a AtomicUsize) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open)
    }
}

impl Drop for ThreadLoad<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S: Service> Threads<S> {
    /// Serves on `threads` threads. The thread that runs the connection loop is the first; the
    /// others are started now, and stay until the process ends.
    ///
    /// # Errors
    /// If a thread or its event loop cannot be started.
    pub fn new(service: S, threads: usize) -> Result<Self> {
        let own = std::iter::once(Ok(Thread::of(None)));
        let all = own.chain((2..=threads).map(Thread::start));
        Ok(Self {
            service: Arc::new(service),
            threads: all.collect::<Result<_>>()?,
            elsewhere: TaskTracker::new(),
        })
    }

    /// Waits until the connections on the other threads have ended. A connection that is cut off there
    /// is only asked to end, so await this before the process ends, once no more are accepted.
    pub fn drained(&self) -> impl Future<Output = ()> + use<S> {
        let elsewhere = self.elsewhere.clone();
        async move {
            elsewhere.close();
            elsewhere.wait().await;
        }
    }

    /// Starts to serve a connection on another thread.
    fn serve_on(
        &self,
        other: &Handle,
        stream: Stream,
        connection: &Arc<Connection>,
    ) -> Result<AbortOnDropHandle<Result<()>>> {
        let moved = {
            let _entered = other.enter();
            stream.into_current_runtime()
        };
        let stream =
            moved.map_err(|error| Error::new("accept", &connection.peer().address, error))?;
        let (service, connection) = (Arc::clone(&self.service), Arc::clone(connection));
        let serving = async move { service.serve(stream, &connection).await };
        let serving = self.elsewhere.spawn_on(serving, other);
        Ok(AbortOnDropHandle::new(serving))
    }
}

impl<S: Service> Service for Threads<S> {
    // Not an `async fn`, which would keep its arguments in memory for each connection.
    fn serve(
        &self,
        stream: Stream,
        connection: &Arc<Connection>,
    ) -> impl Future<Output = Result<()>> + Send {
        // The first of those with the fewest: the accepting thread, if it is one of them.
        let fewest = self
            .threads
            .iter()
            .min_by_key(|t| t.open.load(Ordering::Relaxed));
        let place = fewest.map(|thread| ThreadLoad::take(&thread.open));
        let serving = match fewest.and_then(|thread| thread.runtime.as_ref()) {
            // For a connection served on another thread, only the wait for it is kept here.
            None => Ok(Either::Left(Box::pin(
                self.service.serve(stream, connection),
            ))),
            Some(other) => self.serve_on(other, stream, connection).map(Either::Right),
        };
        async move {
            let served = match serving {
                Ok(Either::Left(here)) => here.await,
                Ok(Either::Right(there)) => joined(there.await, connection),
                Err(error) => Err(error),
            };
            drop(place);
            served
        }
    }
}

/// The result of a connection served on another thread.
fn joined(
    served: std::result::Result<Result<()>, JoinError>,
    connection: &Connection,
) -> Result<()> {
    served.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        // Its thread has ended.
        Err(cancelled) => Err(Error::new("serve", &connection.peer().address, cancelled)),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread::ThreadId;

    use super::*;
    use crate::net::{Peer, Received};

    /// Returns the thread that serves it, until the peer ends.
    struct Recorded(Mutex<Vec<ThreadId>>);

    impl Service for Recorded {
        async fn serve(&self, stream: Stream, _: &Arc<Connection>) -> Result<()> {
            let thread = thread::current().id();
            self.0
                .lock()
                .expect("the lock is not poisoned")
                .push(thread);
            stream.send_all(b"!").await.expect("the peer is connected");
            let end = stream.receive(&mut [0]).await;
            assert_eq!(end.ok(), Some(Received::End));
            Ok(())
        }
    }

    fn connection() -> Result<Arc<Connection>> {
        let peer = Peer::new("unix:@peer".parse()?);
        Ok(Arc::new(Connection::new(1, peer)))
    }

    #[tokio::test]
    async fn the_wait_for_a_connection_does_not_hold_its_stream() -> Result<()> {
        let threads = Threads::new(Recorded(Mutex::default()), 1)?;
        let (_client, server) = Stream::pair().expect("there are descriptors");
        let connection = connection()?;
        let waiting = threads.serve(server, &connection);
        assert!(size_of_val(&waiting) < size_of::<Stream>());
        Ok(())
    }

    #[tokio::test]
    async fn one_connection_stays_on_the_accepting_thread_and_two_get_a_thread_each() -> Result<()>
    {
        let threads = Threads::new(Recorded(Mutex::default()), 2)?;
        let connection = connection()?;
        let pair = || Stream::pair().expect("there are descriptors");
        let heard =
            async |client: &Stream| client.receive(&mut [0]).await.ok() == Some(Received::Bytes(1));
        let served = || {
            threads
                .service
                .0
                .lock()
                .expect("the lock is not poisoned")
                .clone()
        };
        // One after the other, then two at once.
        for _ in 0..2 {
            let (client, server) = pair();
            let talk = async {
                assert!(heard(&client).await);
                drop(client);
            };
            let (done, ()) = tokio::join!(threads.serve(server, &connection), talk);
            done?;
        }
        let own = thread::current().id();
        assert_eq!(served(), [own, own]);
        let ((one, first), (other, second)) = (pair(), pair());
        let talk = async {
            assert!(heard(&one).await && heard(&other).await);
            drop((one, other));
        };
        let (a, b, ()) = tokio::join!(
            threads.serve(first, &connection),
            threads.serve(second, &connection),
            talk
        );
        a?;
        b?;
        let last = &served()[2..];
        assert!(last.contains(&own) && last.iter().any(|thread| *thread != own));
        Ok(())
    }
}
