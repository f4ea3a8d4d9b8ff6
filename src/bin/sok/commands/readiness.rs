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
use sok::error::{Error, ErrorKind, Result};
use sok::loops::{Sources, Stop};
use sok::net::{Listener, NotifySocket, take};
use sok::service::ConnectionTable;
use tokio::time::sleep;
use tracing::warn;

use super::inherited::{Numbered, Places};
use crate::args::ReadyArgs;
use crate::output::Ui;
use crate::output::announcement::{Announced, Announcement};

/// The shortest time between two states of the counts.
const STATUS_PAUSE: Duration = Duration::from_secs(1);
/// The pause before a state is sent again that the manager had no room for.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// Who is told that clients can connect.
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
    /// Takes the descriptor, creates the file, and finds the service manager, for a server on `places`.
    pub(crate) fn prepare(args: &ReadyArgs, places: &Places) -> Result<Self> {
        if let (Some(path), true) = (&args.announce, places.is_one_connection()) {
            let cause = "--announce has no address to name: the server gets one connection";
            let path = path.display();
            return Err(Error::because("announce", path, ErrorKind::Usage, cause));
        }
        let newline = args.ready_fd.map(ready_file).transpose()?;
        let announcement = args.announce.as_deref().map(Announcement::prepare);
        Ok(Self {
            newline,
            announcement: announcement.transpose()?,
            manager: Manager::of_environment(),
        })
    }

    /// Says at one moment, to all, that clients can connect.
    pub(crate) fn tell(
        self,
        sources: &Sources,
        table: &ConnectionTable,
        stop: &Stop,
        ui: Ui,
    ) -> Result<Told> {
        let listeners = &sources.listeners;
        // Whoever is told below may read it.
        let announced = self
            .announcement
            .map(|file| file.publish(&lines(listeners)));
        let announced = announced.transpose()?;
        for listener in listeners {
            ui.listening(listener);
        }
        if let Some(manager) = &self.manager {
            manager.tell(&format!("READY=1\n{}", status(table)));
            manager.clone().follow(table.clone(), stop.clone());
        }
        if let Some(file) = self.newline {
            write_newline(file);
        }
        Ok(Told {
            _announced: announced,
            manager: self.manager,
            table: table.clone(),
        })
    }
}

/// The addresses of the listeners, one a line.
fn lines(listeners: &[Listener]) -> String {
    let each = listeners.iter();
    each.map(|listener| format!("{}\n", listener.local_addr()))
        .collect()
}

/// Those who were told; on drop they are told the end.
#[derive(Debug)]
pub(crate) struct Told {
    _announced: Option<Announced>,
    manager: Option<Manager>,
    table: ConnectionTable,
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(manager) = &self.manager {
            manager.stopping(&self.table);
        }
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
        Err(error) => warn!(%error, "nobody reads --ready-fd"),
    };
    if has_room {
        return write();
    }
    if let Err(error) = thread::Builder::new().spawn(write) {
        warn!(%error, "nobody reads --ready-fd");
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
    /// That of `NOTIFY_SOCKET`; one that cannot be told is reported, and the server goes on.
    fn of_environment() -> Option<Self> {
        let value = env::var_os("NOTIFY_SOCKET").filter(|value| !value.is_empty())?;
        match NotifySocket::new(&value) {
            Ok(socket) => Some(Self {
                socket,
                is_stopping: Arc::default(),
                has_failed: Arc::default(),
            }),
            Err(error) => {
                warn!(%error, "the service manager is not told");
                None
            }
        }
    }

    /// Sends a state, later if the manager has no room for it.
    fn tell(&self, state: &str) {
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
                    warn!(%error, "the service manager is not told");
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
                while is_full(&manager.socket.send(&status(&counted))) {
                    sleep(STATUS_PAUSE).await;
                }
                sleep(STATUS_PAUSE).await;
            }
        });
        tokio::spawn(async move {
            stop.requested().await;
            self.stopping(&table);
        });
    }

    /// Sends, once, that the server stops.
    fn stopping(&self, table: &ConnectionTable) {
        if !self.is_stopping.swap(true, Ordering::Relaxed) {
            self.tell(&format!("STOPPING=1\n{}", status(table)));
        }
    }
}

fn is_full(sent: &io::Result<()>) -> bool {
    matches!(sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// The counts, as the service manager shows them.
fn status(table: &ConnectionTable) -> String {
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
