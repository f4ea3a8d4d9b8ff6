//! When to retry: after a growing pause, or at once when a socket file appears or disappears.

use std::ffi::OsString;
use std::future::{pending, poll_fn};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use crate::address::Target;

/// The first pause after a change: a file may appear a moment before its server listens.
const FIRST: Duration = Duration::from_millis(1);

/// The pauses between attempts on the same targets.
#[derive(Debug)]
pub(super) struct Retry {
    pause: Duration,
    longest: Duration,
    changes: Vec<Changes>,
}

impl Retry {
    /// Pauses from a millisecond up to `longest`, cut short by changes of a socket file of
    /// `targets`. Create it before the next attempt, so that no change is missed.
    pub(super) fn of<'a>(targets: impl Iterator<Item = &'a Target>, longest: Duration) -> Self {
        Self {
            pause: FIRST,
            longest,
            changes: targets.filter_map(Changes::of).collect(),
        }
    }

    /// Waits until the next attempt is due.
    pub(super) async fn next(&mut self) {
        let mut each: Vec<_> = self
            .changes
            .iter_mut()
            .map(|one| Box::pin(one.next()))
            .collect();
        let changed = poll_fn(|cx| {
            let mut each = each.iter_mut().map(Pin::as_mut);
            match each.any(|change| change.poll(cx).is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        tokio::select! {
            () = sleep(self.pause.min(self.longest)) => self.pause = (self.pause * 2).min(self.longest),
            () = changed => self.pause = FIRST,
        }
    }
}

/// Watches one file by `inotify(7)` on its directory and the ancestors, as its directory may yet be
/// created, or recreated.
#[derive(Debug)]
struct Changes {
    path: PathBuf,
    inotify: AsyncFd<FileWatch>,
    /// Each existing directory, and the name in it on the path to the file.
    watched: Vec<(WatchDescriptor, OsString)>,
    /// Whether the file's own directory is among them.
    reaches: bool,
}

impl Changes {
    /// `None` without a file or a watch: only the pauses remain.
    fn of(target: &Target) -> Option<Self> {
        let path = target.as_address()?.as_path()?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
        let mut changes = Self {
            path: path.to_owned(),
            inotify: registered(inotify)?,
            watched: Vec::new(),
            reaches: false,
        };
        changes.watch();
        Some(changes)
    }

    /// Watches the existing directories; a watched one stays watched.
    fn watch(&mut self) {
        let events = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        self.watched.clear();
        self.reaches = false;
        let steps: Vec<&Path> = self.path.ancestors().collect();
        // Top down: creating a directory meanwhile is an event in its parent.
        for step in steps.into_iter().rev() {
            let (Some(directory), Some(name)) = (step.parent(), step.file_name()) else {
                continue;
            };
            let directory = match directory.as_os_str().is_empty() {
                true => Path::new("."),
                false => directory,
            };
            // A missing or unreadable one does not affect the others.
            let watch = self.inotify.get_ref().0.add_watch(directory, events);
            self.reaches = watch.is_ok();
            if let Ok(watch) = watch {
                self.watched.push((watch, name.to_owned()));
            }
        }
    }

    /// Waits for the next change of the file, or of its path.
    async fn next(&mut self) {
        // It may have appeared without an event: behind a link, or below an unreadable directory.
        if !self.reaches {
            self.watch();
        }
        loop {
            let Ok(mut ready) = self.inotify.readable().await else {
                return pending().await;
            };
            // One read may not return all.
            let Ok(events) = ready.get_inner().0.read_events() else {
                ready.clear_ready();
                continue;
            };
            if events.iter().any(|event| self.concerns(event)) {
                // Before the next attempt, so that no change after it is missed.
                self.watch();
                return;
            }
        }
    }

    fn concerns(&self, event: &InotifyEvent) -> bool {
        let itself = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
        // After an overflow the changes are unknown.
        event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)
            || self.watched.iter().any(|(watch, name)| {
                *watch == event.wd
                    && (event.name.as_ref() == Some(name) || event.mask.intersects(itself))
            })
    }
}

/// An inotify descriptor for the runtime.
#[derive(Debug)]
struct FileWatch(Inotify);

impl AsRawFd for FileWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Registers the watch with the runtime; see `registered` of the sockets for the deprecation.
#[allow(deprecated)]
fn registered(inotify: Inotify) -> Option<AsyncFd<FileWatch>> {
    AsyncFd::new(FileWatch(inotify)).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::timeout;

    use super::*;

    /// Waits for a change, without a pause that would find it too, and drains its events.
    async fn seen(changes: &mut Changes) {
        let limit = Duration::from_secs(60);
        let next = timeout(limit, changes.next()).await;
        next.expect("the change is seen");
        while changes.inotify.get_ref().0.read_events().is_ok() {}
    }

    #[tokio::test]
    async fn a_file_is_seen_whose_directories_come_later_and_go_and_come_again() {
        let root = tempfile::tempdir().unwrap();
        let (upper, lower) = (root.path().join("a"), root.path().join("a/b"));
        let file = lower.join("s.sock");
        let target = Target::parse(&file).unwrap();
        let mut changes = Changes::of(&target).unwrap();
        for round in 0..2 {
            fs::create_dir(&upper).unwrap();
            seen(&mut changes).await;
            fs::create_dir(&lower).unwrap();
            seen(&mut changes).await;
            fs::write(&file, "").unwrap();
            seen(&mut changes).await;
            match round {
                0 => fs::remove_dir_all(&upper).unwrap(),
                _ => fs::rename(&upper, root.path().join("away")).unwrap(),
            }
            seen(&mut changes).await;
        }
        fs::create_dir_all(&lower).unwrap();
        seen(&mut changes).await;
        fs::write(&file, "").unwrap();
        seen(&mut changes).await;
    }
    #[tokio::test]
    async fn a_directory_behind_a_link_is_watched_again_when_it_comes_again() {
        let root = tempfile::tempdir().unwrap();
        let (real, link) = (root.path().join("real"), root.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let target = Target::parse(link.join("s.sock")).unwrap();
        let mut changes = Changes::of(&target).unwrap();
        fs::remove_dir(&real).unwrap();
        seen(&mut changes).await;
        // This causes no event, and the pause ends.
        fs::create_dir(&real).unwrap();
        tokio::join!(seen(&mut changes), async {
            fs::write(real.join("s.sock"), "").unwrap();
        });
    }
}
