//! Runs blocking work on a separate thread; a failed start is an ordinary error.
//!
//! ```
//! use std::net::ToSocketAddrs;
//!
//! use sok::offload::offload;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! // getaddrinfo(3) may block; the connections that this thread serves go on meanwhile.
//! let found = offload("resolve", "localhost", || ("localhost", 80).to_socket_addrs()).await??;
//! assert!(found.count() > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;
use std::thread;

use tokio::sync::{Semaphore, oneshot};

use crate::error::{Error, ErrorKind, Result};

/// The maximum number of blocked threads; more work waits for one to end. A name server that never
/// answers holds a thread for each lookup, even after its client has disconnected.
static THREADS: Semaphore = Semaphore::const_new(512);

/// Runs `work` on a new thread and returns its result; errors name `operation` and `address`. If
/// the future is dropped, the thread continues until it ends by itself.
///
/// The runtime's own pool, `spawn_blocking`, panics when it cannot start its first thread.
///
/// # Errors
/// If no thread can be started, or `work` panicked.
pub async fn offload<T: Send + 'static>(
    operation: &'static str,
    address: impl std::fmt::Display,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let place = THREADS.acquire().await;
    let (done, result) = oneshot::channel();
    let run = move || {
        // If the future was dropped, nothing waits for the result.
        let _ = done.send(work());
        drop(place);
    };
    let started = thread::Builder::new()
        .name("blocking".to_owned())
        .spawn(run);
    started.map_err(|error| no_thread(operation, &address, error))?;
    let ended = result.await;
    ended.map_err(|_| Error::because(operation, &address, ErrorKind::Other, "the thread panicked"))
}

/// The failure to start a thread for `operation` on `address`.
pub fn no_thread(
    operation: &'static str,
    address: impl std::fmt::Display,
    error: io::Error,
) -> Error {
    let cause = Error::new(operation, "", error).cause();
    let cause = format!("cannot start a thread: {cause}");
    Error::because(operation, address, ErrorKind::Other, cause)
        .with_hint("raise the process limit (ulimit -u, pids.max) or the memory limit (ulimit -v)")
}
