//! Accepts from a listening socket in blocking mode, which is not ours to change.
//!
//! Readiness does not say that accept(2) returns at once: another process that has the socket too may
//! take the connection first. Then the call waits for the next one, and so it is made on a thread.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll, ready};
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::SocketAddrAny;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::call_trace::uninterrupted;
use super::registration::registered;
use super::socket::Socket;
use crate::offload::no_thread;

/// What `accept(2)` returned.
pub(super) type Accepted = io::Result<(Socket, Option<SocketAddrAny>)>;

/// A listening socket, and the thread that accepts from it.
#[derive(Debug)]
pub(super) struct AcceptThread {
    io: AsyncFd<Arc<Socket>>,
    /// Asks the thread for one connection; it ends once this is dropped.
    requests: mpsc::Sender<oneshot::Sender<Accepted>>,
    /// The answer of the thread, once it was asked.
    answer: Mutex<Option<oneshot::Receiver<Accepted>>>,
    turn: tokio::sync::Mutex<()>,
}

impl AcceptThread {
    /// Starts the thread.
    pub(super) fn start(socket: Socket) -> io::Result<Self> {
        let socket = Arc::new(socket);
        let (requests, asked) = mpsc::channel::<oneshot::Sender<Accepted>>();
        let listener = Arc::clone(&socket);
        let accept = move || {
            for answer in asked {
                // If nobody waits for it any more, the connection is closed.
                let _ = answer.send(listener.accept());
            }
        };
        let named = thread::Builder::new().name("accept".to_owned());
        let started = named.spawn(accept);
        started.map_err(|error| no_thread("accept", "", error))?;
        Ok(Self {
            io: registered(socket, Interest::READABLE)?,
            requests,
            answer: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }

    pub(super) fn socket(&self) -> &Socket {
        self.io.get_ref()
    }

    /// Accepts the next connection; several tasks may wait.
    pub(super) async fn accept(&self) -> Accepted {
        let _turn = self.turn.lock().await;
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Polls for the next connection; wakes only the task of the last call.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Accepted> {
        let mut answer = self.answer();
        loop {
            if let Some(waiting) = answer.as_mut() {
                let accepted = ready!(Pin::new(waiting).poll(cx));
                *answer = None;
                match accepted.unwrap_or_else(|_| Err(gone())) {
                    // It waited as long as SO_RCVTIMEO says, or O_NONBLOCK was set meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    accepted => return Poll::Ready(accepted),
                }
            }
            let mut ready = ready!(self.io.poll_read_ready(cx))?;
            match is_readable(self.socket())? {
                true => *answer = Some(self.ask()?),
                false => ready.clear_ready(),
            }
        }
    }

    /// Asks the thread for the next connection.
    fn ask(&self) -> io::Result<oneshot::Receiver<Accepted>> {
        let (answer, waiting) = oneshot::channel();
        self.requests.send(answer).map_err(|_| gone())?;
        Ok(waiting)
    }

    /// Whether the thread was asked for a connection that has not been taken.
    pub(super) fn is_asked(&self) -> bool {
        self.answer().is_some()
    }

    /// Polls for a connection that the thread was asked for; pending for ever if it was not.
    pub(super) fn poll_last(&self, cx: &mut Context<'_>) -> Poll<Accepted> {
        let was_asked = self.answer().is_some();
        match was_asked {
            true => self.poll_accept(cx),
            false => Poll::Pending,
        }
    }

    fn answer(&self) -> MutexGuard<'_, Option<oneshot::Receiver<Accepted>>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a connection waits to be accepted, or the socket has failed.
pub(super) fn is_readable(socket: &Socket) -> io::Result<bool> {
    let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    Ok(uninterrupted(|| Ok(poll(&mut polled, PollTimeout::ZERO)?))? > 0)
}

fn gone() -> io::Error {
    io::Error::other("the accepting thread has ended")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Family, SocketType};

    fn listening() -> io::Result<(Socket, std::net::SocketAddr)> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let socket = Socket::try_from(std::os::fd::OwnedFd::from(listener))?;
        Ok((socket.shared()?, address))
    }

    #[tokio::test]
    async fn a_connection_that_was_asked_for_is_not_lost_when_no_more_are_accepted()
    -> io::Result<()> {
        let (socket, address) = listening()?;
        let thread = AcceptThread::start(socket)?;
        // Nothing has been asked for.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(thread.poll_last(&mut cx).is_pending());
        // As if another process had taken the connection: the thread waits in accept(2).
        *thread.answer() = Some(thread.ask()?);
        assert!(thread.poll_last(&mut cx).is_pending());
        let client = std::net::TcpStream::connect(address)?;
        let (accepted, _) = poll_fn(|cx| thread.poll_last(cx)).await?;
        assert_eq!(
            accepted.inner().peer_addr()?.as_socket(),
            Some(client.local_addr()?)
        );
        assert!(thread.poll_last(&mut cx).is_pending());
        Ok(())
    }

    #[tokio::test]
    async fn a_time_limit_of_the_socket_ends_no_listener() -> io::Result<()> {
        let (socket, address) = listening()?;
        let soon = std::time::Duration::from_millis(1);
        socket.inner().set_read_timeout(Some(soon))?;
        let thread = AcceptThread::start(socket)?;
        let asked = thread.ask()?;
        let (unanswered, late) = oneshot::channel();
        *thread.answer() = Some(late);
        let answer = asked.await.expect("the thread answers");
        assert_eq!(
            answer.as_ref().err().map(io::Error::kind),
            Some(io::ErrorKind::WouldBlock)
        );
        unanswered.send(answer).expect("it is waited for");
        let _client = std::net::TcpStream::connect(address)?;
        assert_eq!(thread.accept().await?.0.socket_type(), SocketType::Stream);
        assert_eq!(thread.socket().family(), Family::Inet);
        Ok(())
    }
}
