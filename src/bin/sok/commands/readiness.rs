//! Says that clients can connect: to the user, to a service manager, to a file.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, thread};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sok::address::{Address, Target};
use sok::error::{Error, ErrorKind, Result};
use sok::loops::{Sources, Stop};
use sok::net::{NotifySocket, take};
use sok::service::ConnectionTable;
use tokio::time::sleep;
use tracing::warn;

use super::inherited::{ListenOn, Numbered};
use super::twice::{self, is_same_file};
use crate::args::ReadyArgs;
use crate::output::Ui;
use crate::output::announcement::{Announced, Announcement};

/// The shortest time between two states of the counts.
const STATUS_PAUSE: Duration = Duration::from_secs(1);
/// The pause before a state is sent again that the manager had no room for.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// Who is notified that clients can connect.
#[derive(Debug)]
pub(crate) struct Readiness {
    newline: Option<File>,
    announcement: Option<Announcement>,
    manager: Option<Manager>,
}

/// The descriptor of `--ready-fd`.
pub(crate) fn ready_fd(args: &ReadyArgs) -> Option<Numbered> {
    args.ready_fd
        .map(|number| Numbered::new("--ready-fd", number))
}

impl Readiness {
    /// The same for a server on `places`, with its status on others.
    pub(crate) fn of_server(
        args: &ReadyArgs,
        places: &ListenOn,
        status: &[Target],
    ) -> Result<Self> {
        if let (Some(path), true) = (&args.announce, places.is_one_connection()) {
            let cause = "--announce has no address to name: the server gets one connection";
            let path = path.display();
            return Err(Error::because("announce", path, ErrorKind::Usage, cause));
        }
        let targets = places.targets();
        Self::prepare(args, targets.iter().chain(status))
    }

    /// Takes the descriptor, checks the file, which none of the sockets of `targets` may be, and finds the
    /// service manager.
    pub(crate) fn prepare<'a>(
        args: &ReadyArgs,
        targets: impl IntoIterator<Item = &'a Target>,
    ) -> Result<Self> {
        if let Some(path) = &args.announce {
            let mut sockets = targets.into_iter().filter_map(twice::file);
            if sockets.any(|socket| is_same_file(socket, path)) {
                let cause = "this is the path of the server's own socket";
                let error = Error::because("announce", path.display(), ErrorKind::Usage, cause);
                return Err(error.with_hint("give another path"));
            }
        }
        let newline = args.ready_fd.map(ready_file).transpose()?;
        let announcement = args.announce.as_deref().map(Announcement::prepare);
        Ok(Self {
            newline,
            announcement: announcement.transpose()?,
            manager: Manager::of_environment(),
        })
    }

    /// Says at one moment, to all, that clients of a server can connect; the service manager also
    /// gets its counts, and at `stop` that it stops.
    pub(crate) fn notify_of_server(
        self,
        sources: &Sources,
        table: &ConnectionTable,
        stop: &Stop,
        ui: Ui,
    ) -> Result<Notified> {
        let listeners = &sources.listeners;
        let addresses = listeners.iter().map(|listener| listener.local_addr());
        let show = || listeners.iter().for_each(|listener| ui.listening(listener));
        let notified = self.notify(addresses, show, Some(table))?;
        if let Some(manager) = &notified.manager {
            manager.clone().follow(table.clone(), stop.clone());
        }
        Ok(notified)
    }

    /// Says at one moment, to all, that clients can connect to `addresses`; `show` prints the ready
    /// lines.
    pub(crate) fn notify<'a>(
        self,
        addresses: impl Iterator<Item = &'a Address>,
        show: impl FnOnce(),
        table: Option<&ConnectionTable>,
    ) -> Result<Notified> {
        // Whoever is notified below may read it.
        let announced = self.announcement.map(|file| {
            let lines = addresses.map(|address| format!("{address}\n"));
            file.publish(&lines.collect::<String>())
        });
        let announced = announced.transpose()?;
        show();
        if let Some(manager) = &self.manager {
            manager.notify(&state("READY=1", table));
        }
        if let Some(file) = self.newline {
            write_newline(file);
        }
        Ok(Notified {
            _announced: announced,
            manager: self.manager,
            table: table.cloned(),
        })
    }
}

/// Those who were notified; on drop they are notified of the end.
#[derive(Debug)]
pub(crate) struct Notified {
    _announced: Option<Announced>,
    manager: Option<Manager>,
    table: Option<ConnectionTable>,
}

impl Notified {
    /// Notifies the service manager, once, that the service stops.
    pub(crate) fn stopping(&self) {
        if let Some(manager) = &self.manager {
            manager.stopping(self.table.as_ref());
        }
    }
}

impl Drop for Notified {
    fn drop(&mut self) {
        self.stopping();
    }
}

/// The file of `--ready-fd`.
fn ready_file(number: i32) -> Result<File> {
    let option = format!("--ready-fd {number}");
    let taken = take(number).map_err(|error| Error::new("notify", &option, error))?;
    let mode = fcntl(&taken, FcntlArg::F_GETFL).map(OFlag::from_bits_retain);
    match mode.map(|mode| mode & OFlag::O_ACCMODE) {
        Ok(OFlag::O_RDONLY) => {
            let cause = "it is open for reading only";
            Err(Error::because("notify", option, ErrorKind::Usage, cause))
        }
        _ => Ok(taken.into()),
    }
}

/// Writes the newline and closes the file, without waiting for a reader that takes nothing.
fn write_newline(mut file: File) {
    let mut polled = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
    let has_room = poll(&mut polled, PollTimeout::ZERO) != Ok(0);
    let mut write = move || match file.write_all(b"\n") {
        Ok(()) => {}
        Err(error) => warn!(%error, "cannot write to --ready-fd"),
    };
    if has_room {
        return write();
    }
    if let Err(error) = thread::Builder::new().spawn(write) {
        warn!(%error, "cannot write to --ready-fd");
    }
}

/// The service manager that started this process, see `sd_notify(3)`.
#[derive(Debug, Clone)]
struct Manager {
    socket: NotifySocket,
    is_stopping: Arc<AtomicBool>,
    has_failed: Arc<AtomicBool>,
}

impl Manager {
    /// That of `NOTIFY_SOCKET`; one that cannot be notified is reported, and the server goes on.
    fn of_environment() -> Option<Self> {
        let value = env::var_os("NOTIFY_SOCKET").filter(|value| !value.is_empty())?;
        match NotifySocket::new(&value) {
            Ok(socket) => Some(Self {
                socket,
                is_stopping: Arc::default(),
                has_failed: Arc::default(),
            }),
            Err(error) => {
                warn!(%error, "cannot notify the service manager");
                None
            }
        }
    }

    /// Sends a state, later if the manager has no room for it.
    fn notify(&self, state: &str) {
        match self.socket.send(state) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let (socket, state) = (self.socket.clone(), state.to_owned());
                tokio::spawn(async move {
                    while is_full(&socket.send(&state)) {
                        sleep(FULL_PAUSE).await;
                    }
                });
            }
            Err(error) => {
                if !self.has_failed.swap(true, Ordering::Relaxed) {
                    let error = Error::new("notify", self.socket.address(), error);
                    warn!(%error, "cannot notify the service manager");
                }
            }
        }
    }

    /// Sends the counts when they change, and that the server stops.
    fn follow(self, table: ConnectionTable, stop: Stop) {
        let (manager, counted) = (self.clone(), table.clone());
        tokio::spawn(async move {
            loop {
                counted.changed().await;
                while is_full(&manager.socket.send(&counts(&counted))) {
                    sleep(STATUS_PAUSE).await;
                }
                sleep(STATUS_PAUSE).await;
            }
        });
        tokio::spawn(async move {
            stop.requested().await;
            self.stopping(Some(&table));
        });
    }

    /// Sends, once, that the server stops.
    fn stopping(&self, table: Option<&ConnectionTable>) {
        if !self.is_stopping.swap(true, Ordering::Relaxed) {
            self.notify(&state("STOPPING=1", table));
        }
    }
}

fn is_full(sent: &io::Result<()>) -> bool {
    matches!(sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// A state with the counts of `table`, if there are any.
fn state(state: &str, table: Option<&ConnectionTable>) -> String {
    match table {
        Some(table) => format!("{state}\n{}", counts(table)),
        None => state.to_owned(),
    }
}

/// The counts, as the service manager shows them.
fn counts(table: &ConnectionTable) -> String {
    let (totals, open) = table.snapshot();
    format!(
        "STATUS=connections={} open={} failed={} received={} sent={}",
        totals.connections,
        open.len(),
        totals.failed,
        totals.traffic.received,
        totals.traffic.sent
    )
}
