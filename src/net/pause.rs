//! A pause between attempts, which grows.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// The first pause; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(64);

/// The pauses between attempts for which the kernel reports nothing to wait for.
#[derive(Debug)]
pub(super) struct Pause {
    length: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            length: FIRST,
            sleep: None,
        }
    }
}

impl Pause {
    /// Begins the next pause.
    pub(super) fn begin(&mut self) {
        self.sleep = Some(Box::pin(sleep(self.length)));
        self.length = (self.length * 2).min(LONGEST);
    }

    /// Polls until the pause is over; ready without one.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            None => Poll::Ready(()),
            Some(sleep) => sleep.as_mut().poll(cx).map(|()| self.sleep = None),
        }
    }
}
