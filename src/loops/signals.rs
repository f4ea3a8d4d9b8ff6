//! The signals that ask a process to end.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use nix::libc::SIGXFSZ;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT and SIGHUP, except those that were ignored when the process started: `nohup(1)`
/// ignores SIGHUP, and a shell ignores SIGINT for background jobs; these must not end the process.
#[derive(Debug)]
pub struct EndSignals(Vec<(SignalKind, Signal)>);

impl EndSignals {
    /// Watches for the signals from now on.
    ///
    /// # Errors
    /// Errors of `sigaction(2)`.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub fn watch() -> io::Result<Self> {
        let kinds = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
        ];
        let ignored = ignored();
        let heard = kinds.into_iter().filter(|kind| !is_in(ignored, *kind));
        let watched = heard.map(|kind| Ok((kind, signal(kind)?)));
        watched.collect::<io::Result<_>>().map(Self)
    }

    /// The same without SIGHUP, for a process that does not end at it.
    #[must_use]
    pub fn without_hangup(mut self) -> Self {
        self.0.retain(|(kind, _)| *kind != SignalKind::hangup());
        self
    }

    /// The next signal.
    pub async fn next(&mut self) -> SignalKind {
        poll_fn(|cx| {
            for (kind, signal) in &mut self.0 {
                if let Poll::Ready(Some(())) = signal.poll_recv(cx) {
                    return Poll::Ready(*kind);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Catches SIGXFSZ, so that a write beyond the file size limit (`RLIMIT_FSIZE`) fails with `EFBIG`
/// instead of ending the process. Child processes have the default action.
///
/// # Errors
/// Errors of `sigaction(2)`.
///
/// # Panics
/// Outside a tokio runtime with its I/O driver enabled.
pub fn outlive_file_limit() -> io::Result<()> {
    let kind = SignalKind::from_raw(SIGXFSZ);
    match is_in(ignored(), kind) {
        true => Ok(()),
        // The runtime keeps its handler.
        false => signal(kind).map(drop),
    }
}

fn is_in(signals: u64, kind: SignalKind) -> bool {
    signals >> (kind.as_raw_value() - 1) & 1 == 1
}

/// The signals that this process ignores, one bit each, as `SigIgn` in `proc_pid_status(5)`. None
/// if `/proc` is not mounted.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}
