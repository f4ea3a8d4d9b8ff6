//! The end of a call: so that the peer can read the whole request.

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;

use super::Counter;
use crate::net::Stream;

/// Discards what the peer sends beyond its reply, until an error.
pub(super) async fn drain(stream: &Stream, buffer: &mut [u8], counter: &Counter) -> io::Error {
    loop {
        match poll_fn(|cx| stream.poll_receive(cx, buffer)).await {
            // The peer may still receive: a send will tell.
            Ok(received) if received.is_end() => std::future::pending().await,
            Ok(received) => counter.count_received(received.count()),
            Err(error) => return error,
        }
    }
}

/// Waits until the request has arrived, and prepares for the close: one with bytes unread would reset
/// the connection, and the peer might not read the request.
pub(super) async fn leave(stream: &Stream, buffer: &mut [u8], counter: &Counter) -> io::Result<()> {
    tokio::select! {
        biased;
        delivered = stream.delivered() => delivered?,
        error = drain(stream, buffer, counter) => return Err(error),
    }
    stream.shutdown(Shutdown::Both)?;
    // Now the peer can send nothing more.
    counter.count_received(stream.discard_rest(buffer));
    Ok(())
}
