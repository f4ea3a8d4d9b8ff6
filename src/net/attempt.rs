//! A connect in progress.

use std::io;
use std::time::Duration;

use tokio::io::Interest;

use super::family::{self, ConnectFault};
use super::registration::WaitingSocket;
use super::sockaddr::Encoded;
use super::socket::Socket;

/// The first pause before a retry on a full backlog; it doubles up to [`BACKLOG_PAUSE_MAX`].
const BACKLOG_PAUSE: Duration = Duration::from_millis(1);
const BACKLOG_PAUSE_MAX: Duration = Duration::from_millis(64);

/// A connect attempt. It outlives its future, so that the result is reported before the socket is
/// closed.
pub(super) enum Attempt {
    Fresh(Socket),
    Begun(WaitingSocket),
    /// Between the two states.
    Nothing,
}

impl Attempt {
    /// Connects; calls `on_full` each time the backlog is full.
    pub(super) async fn finish(
        &mut self,
        name: &Encoded,
        mut on_full: impl FnMut(io::Error),
    ) -> io::Result<()> {
        let mut pause = BACKLOG_PAUSE;
        while let Self::Fresh(socket) = self {
            let Err(error) = socket.connect(&name.name) else {
                return Ok(());
            };
            match family::connect_fault(socket.family(), &error) {
                ConnectFault::Failed => return Err(error),
                // Registered only now: before `connect` the socket would poll as writable.
                ConnectFault::InProgress => *self = Self::Begun(self.take().registered()?),
                ConnectFault::BacklogFull => {
                    on_full(error);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(BACKLOG_PAUSE_MAX);
                }
            }
        }
        if let Self::Begun(io) = self {
            let mut ended = io.ready(Interest::WRITABLE | Interest::ERROR).await?;
            ended.retain_ready();
            // Without EPOLLERR there is no pending error.
            if ended.ready().is_error()
                && let Some(error) = io.get_ref().inner().take_error()?
            {
                return Err(error);
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Nothing)
    }

    pub(super) fn registered(self) -> io::Result<WaitingSocket> {
        match self {
            Self::Fresh(socket) => WaitingSocket::registered(socket),
            Self::Begun(io) => Ok(io),
            Self::Nothing => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}
