//! When to try again: after a pause that grows, or at once when a socket file comes or goes.

use std::ffi::OsString;
use std::future::pending;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use crate::address::{Target, UnixName};

/// The first pause after a change: a file may be there a moment before its server listens.
const FIRST: Duration = Duration::from_millis(1);

/// The pauses between the tries of one target.
#[derive(Debug)]
pub(super) struct Retry {
    pause: Duration,
    longest: Duration,
    changes: Option<Changes>,
}

impl Retry {
    /// Pauses from a millisecond up to `longest`, cut short by changes of `target`'s socket file.
    /// Made before the first try, so that no change is missed.
    pub(super) fn of(target: &Target, longest: Duration) -> Self {
        Self {
            pause: FIRST,
            longest,
            changes: Changes::of(target),
        }
    }

    /// Waits until the next try is due.
    pub(super) async fn next(&mut self) {
        let changed = async {
            match &mut self.changes {
                Some(changes) => changes.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = sleep(self.pause.min(self.longest)) => self.pause = (self.pause * 2).min(self.longest),
            () = changed => self.pause = FIRST,
        }
    }
}

/// The comings and goings of one file, by `inotify(7)` on its directory.
#[derive(Debug)]
struct Changes {
    file: OsString,
    inotify: AsyncFd<Watch>,
}

impl Changes {
    /// `None` where there is no file, no directory yet, or no watch to be had: the pauses remain.
    fn of(target: &Target) -> Option<Self> {
        let path = target.as_address()?.as_unix().and_then(UnixName::as_path)?;
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
        let events = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_ATTRIB;
        let directory = parent.unwrap_or_else(|| Path::new("."));
        inotify.add_watch(directory, events).ok()?;
        Some(Self {
            file: path.file_name()?.to_owned(),
            inotify: registered(inotify)?,
        })
    }

    /// Waits for the next change of the file.
    async fn next(&mut self) {
        loop {
            let Ok(mut ready) = self.inotify.readable().await else {
                return pending().await;
            };
            let events = ready.get_inner().0.read_events().unwrap_or_default();
            ready.clear_ready();
            if events
                .iter()
                .any(|event| event.name.as_ref() == Some(&self.file))
            {
                return;
            }
        }
    }
}

/// An inotify descriptor as the runtime takes it.
#[derive(Debug)]
struct Watch(Inotify);

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Registers the watch with the runtime; see `registered` of the sockets for the deprecation.
#[allow(deprecated)]
fn registered(inotify: Inotify) -> Option<AsyncFd<Watch>> {
    AsyncFd::new(Watch(inotify)).ok()
}
