//! The rest of a transfer after one end has closed completely.

use std::io;

use super::{Side, TransferFault};
use crate::net::Stream;

/// The size of one receive of discarded bytes.
const PIECE: usize = 4096;

/// The error that `end` closed and did not take all its bytes.
pub(super) fn undelivered(end: Side) -> TransferFault {
    TransferFault::Broken(end, "send", nix::Error::EPIPE.into())
}

/// Waits until `other` has taken all the bytes that `end` sent before it closed, or closes itself.
/// Bytes that `other` sends until then are received and discarded: nothing takes them, and unread
/// bytes would turn end of file into a reset.
pub(super) async fn until_taken(end: Side, other: &Stream) -> Result<(), TransferFault> {
    let broken = |(operation, error)| TransferFault::Broken(end.other(), operation, error);
    match taken(other).await.map_err(broken)? {
        false => Ok(()),
        true => Err(undelivered(end)),
    }
}

/// The same for the far end after the near one has ended without a connection, or has gone: what
/// comes too late for it is no failure.
pub(super) async fn until_last_taken(far: &Stream) -> Result<(), TransferFault> {
    let broken = |(operation, error)| TransferFault::Broken(Side::Far, operation, error);
    taken(far).await.map(drop).map_err(broken)
}

/// Waits until `stream` has taken all, or has ended; returns whether it sent anything meanwhile.
async fn taken(stream: &Stream) -> Result<bool, (&'static str, io::Error)> {
    let mut has_sent = false;
    tokio::select! {
        biased;
        ended = discard(stream, &mut has_sent) => {
            ended.map_err(|error| ("receive", error))?;
        }
        taken = stream.delivered() => taken.map_err(|error| ("send", error))?,
    }
    Ok(has_sent)
}

/// Discards what `stream` sends until its end.
async fn discard(stream: &Stream, has_sent: &mut bool) -> io::Result<()> {
    let mut buffer = [0; PIECE];
    loop {
        match stream.receive(&mut buffer).await {
            Ok(received) if received.is_end() => return Ok(()),
            // A message that is larger than the buffer.
            Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(error),
            Ok(_) | Err(_) => *has_sent = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;

    use super::*;
    use crate::address::Address;
    use crate::net::{ConnectOptions, ListenOptions, Listener, Received};
    use crate::transfer::{Passed, TransferOptions, transfer};

    /// More than the peer's kernel takes while the peer does not read, less than ours holds.
    const MUCH: usize = 100_000;

    /// One end of a TCP connection, and a peer with a small receive buffer; `None` if this machine
    /// lacks the family.
    async fn to_a_narrow_peer(address: &str) -> io::Result<Option<(Stream, Stream)>> {
        let address: Address = address.parse().expect("it is an address");
        let Ok(listener) = Listener::bind(&address, &ListenOptions::default()) else {
            return Ok(None);
        };
        let options = ConnectOptions::default();
        let connected = Stream::connect(listener.local_addr(), &options).await;
        let (own, (peer, _)) = (
            connected.map_err(io::Error::other)?,
            listener.accept().await?,
        );
        socket2::SockRef::from(&peer).set_recv_buffer_size(16 * 1024)?;
        socket2::SockRef::from(&own).set_send_buffer_size(4 * MUCH)?;
        Ok(Some((own, peer)))
    }

    /// Runs a transfer between `own` and an AF_UNIX peer, which is at `end`, has sent [`MUCH`] and
    /// has closed, until it needs the peer; then runs `peer`.
    async fn after_one_left(
        end: Side,
        own: &Stream,
        options: TransferOptions<'_>,
        peer: impl Future<Output = io::Result<()>>,
    ) -> io::Result<Result<(), TransferFault>> {
        let (unix, leaves) = Stream::pair()?;
        leaves.send_all(&[b'a'; MUCH]).await?;
        drop(leaves);
        let (near, far) = match end {
            Side::Near => (&unix, own),
            Side::Far => (own, &unix),
        };
        let moved = Cell::new(0);
        let count = |passed: Passed| moved.set(passed.near_to_far + passed.far_to_near);
        let mut moving = pin!(transfer(near, far, options, count));
        let early = poll_fn(|cx| match moving.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if moved.get() == MUCH as u64 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        let early = early.await;
        assert!(early.is_none(), "{early:?} while bytes can be lost");
        let (ended, done) = tokio::join!(moving, peer);
        done.map(|()| ended)
    }

    #[tokio::test]
    async fn nothing_is_lost_if_one_end_sends_after_the_other_has_closed() -> io::Result<()> {
        for (address, end, reply) in [
            ("inet:127.0.0.1:0", Side::Near, &b""[..]),
            ("inet:127.0.0.1:0", Side::Near, b"!"),
            ("inet:127.0.0.1:0", Side::Far, b"!"),
            ("inet6:[::1]:0", Side::Near, b"!"),
        ] {
            let Some((own, peer)) = to_a_narrow_peer(address).await? else {
                continue;
            };
            let takes_all = async {
                peer.send_all(reply).await?;
                // From now on the peer reads fast.
                socket2::SockRef::from(&peer).set_recv_buffer_size(4 * MUCH)?;
                let (mut buffer, mut count) = (vec![0; MUCH], 0);
                while count < MUCH {
                    count += match peer.receive(&mut buffer).await? {
                        Received::End => return Err(io::ErrorKind::UnexpectedEof.into()),
                        received => received.count(),
                    };
                }
                assert_eq!(peer.receive(&mut buffer).await?, Received::End);
                Ok(())
            };
            let ended = after_one_left(end, &own, TransferOptions::default(), takes_all).await?;
            // A reply that was not taken is a failure.
            match (ended, reply.is_empty()) {
                (Ok(()), true) => {}
                (Err(TransferFault::Broken(which, "send", _)), false) => assert_eq!(which, end),
                (ended, _) => panic!("{address}: {ended:?}"),
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn an_end_that_takes_nothing_more_times_out() -> io::Result<()> {
        let Some((own, _peer)) = to_a_narrow_peer("inet:127.0.0.1:0").await? else {
            return Ok(());
        };
        let options = TransferOptions {
            half_close: Some(Duration::from_millis(50)),
            ..TransferOptions::default()
        };
        let ended = after_one_left(Side::Near, &own, options, async { Ok(()) }).await?;
        assert!(
            matches!(ended, Err(TransferFault::HalfClosed(_))),
            "{ended:?}"
        );
        Ok(())
    }

    #[tokio::test]
    async fn an_end_that_resets_before_it_has_all_data_is_a_failure() -> io::Result<()> {
        let Some((own, peer)) = to_a_narrow_peer("inet:127.0.0.1:0").await? else {
            return Ok(());
        };
        let resets = async {
            peer.reset();
            Ok(())
        };
        let ended = after_one_left(Side::Near, &own, TransferOptions::default(), resets).await?;
        assert!(
            matches!(ended, Err(TransferFault::Broken(Side::Far, ..))),
            "{ended:?}"
        );
        Ok(())
    }
}
