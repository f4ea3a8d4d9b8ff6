//! The time limits of a transfer: without traffic, after a half-close, and after the end of a peer
//! without a connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Side, TransferFault, TransferOptions};
use crate::net::{ListenOptions, Stream};

/// How long the peer of a session that has ended still gets what the other end answers. A target
/// that honours a half-close ends sooner.
const LATE: Duration = Duration::from_secs(1);

/// The limits of a transfer, and what they depend on.
pub(super) struct Clock {
    idle: Option<Duration>,
    half_close: Option<Duration>,
    /// How long the far end may answer once the near end has ended, if nothing else would end it.
    late: Option<Duration>,
    /// Whether the near end is a session, which ends when it is idle.
    is_session: bool,
    /// Changes when something passes.
    progress: AtomicU64,
    holds_bytes: AtomicBool,
    is_half_closed: AtomicBool,
    near_has_ended: AtomicBool,
    /// Whether the far end has no end, and the near end was given up: nothing is on its way.
    is_over: AtomicBool,
}

impl Clock {
    pub(super) fn new(near: &Stream, far: &Stream, options: &TransferOptions<'_>) -> Self {
        let late = match (near.has_connection(), far.has_connection()) {
            (true, true) => None,
            // The far end has none, but answers to the last messages may be on their way.
            (true, false) => {
                let limit = options.half_close.or(options.idle);
                Some(limit.unwrap_or(ListenOptions::SESSION_IDLE))
            }
            // It may answer to the end.
            (false, true) => Some(LATE),
            // Neither has it: answers may be on their way, as when a stop ends the session.
            (false, false) => Some(LATE),
        };
        // A target that takes nothing does not keep the place of a session that is over.
        let is_session = near.ends_when_idle();
        let stuck = is_session.then_some(ListenOptions::SESSION_IDLE + LATE);
        Self {
            idle: options.idle.or(stuck),
            half_close: options.half_close,
            late,
            is_session,
            progress: AtomicU64::new(0),
            holds_bytes: AtomicBool::new(false),
            is_half_closed: AtomicBool::new(false),
            near_has_ended: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    /// Whether any limit may apply.
    pub(super) const fn is_needed(&self) -> bool {
        self.idle.is_some() || self.half_close.is_some() || self.late.is_some()
    }

    /// Notes what has passed until now, and whether an end has yet to take something.
    pub(super) fn note(&self, progress: u64, holds_bytes: bool) {
        self.holds_bytes.store(holds_bytes, Relaxed);
        // After the end of a session, nothing prolongs its last time.
        if !(self.is_session && self.near_has_ended.load(Relaxed)) {
            self.progress.store(progress, Relaxed);
        }
    }

    /// Notes that `end`, one of both, has ended.
    pub(super) fn note_end(&self, end: Side, near: &Stream, far: &Stream) {
        self.is_half_closed.store(true, Relaxed);
        if end == Side::Near {
            let is_over = near.is_given_up() && !far.has_connection();
            self.is_over.store(is_over, Relaxed);
            self.near_has_ended.store(true, Relaxed);
        }
    }

    pub(super) fn progress(&self) -> u64 {
        self.progress.load(Relaxed)
    }

    /// The time without progress after which the transfer ends.
    pub(super) fn limit(&self) -> Option<Duration> {
        if let (Some(late), true) = (self.late, self.near_has_ended.load(Relaxed)) {
            let is_over = self.is_over.load(Relaxed);
            return Some(if is_over { Duration::ZERO } else { late });
        }
        match self
            .half_close
            .filter(|_| self.is_half_closed.load(Relaxed))
        {
            Some(half) => Some(self.idle.map_or(half, |idle| idle.min(half))),
            None => self.idle,
        }
    }

    /// Why the transfer failed after `limit`; `None` if that is a good end.
    pub(super) fn fault(&self, limit: Duration) -> Option<TransferFault> {
        let is_late = self.late.is_some() && self.near_has_ended.load(Relaxed);
        let is_idle_session = self.is_session && !self.holds_bytes.load(Relaxed);
        match self.idle {
            _ if is_late || is_idle_session => None,
            Some(idle) if idle == limit => Some(TransferFault::Idle(limit)),
            _ => Some(TransferFault::HalfClosed(limit)),
        }
    }
}
