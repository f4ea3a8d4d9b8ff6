//! Starts the program, and again: after its end, for the next client, at a SIGHUP.

use std::future::pending;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use sok::error::{Error, ErrorKind, Result};
use sok::net::BoundSocket;
use tokio::process::Command;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::due::Due;
use super::pacing::Pacing;
use super::run::Run;
use super::signals::{Signals, is_stop};
use super::stopping::Stopping;
use crate::exit::Exit;

/// What is supervised, and how.
pub(crate) struct Plan {
    /// The name of the program, for errors.
    pub(crate) program: String,
    /// Whether its calls on the sockets do not wait.
    pub(crate) nonblocking: bool,
    /// Whether it starts only when a client waits.
    pub(crate) on_demand: bool,
    /// Whether it starts again when it has ended.
    pub(crate) restart: bool,
    /// How long a new run must last before it replaces the old one; with 0, the old one ends first.
    pub(crate) overlap: Duration,
    /// The signal that stops it, instead of the one that stops its supervisor.
    pub(crate) stop_signal: Option<Signal>,
    /// How long a stop may take.
    pub(crate) grace: Duration,
}

/// Runs `command`, which inherits `sockets`, until a signal asks for the end or, unless it is to
/// restart, until it has ended.
///
/// # Errors
/// If the program cannot be started, or has shut down a socket.
///
/// # Panics
/// Outside a tokio runtime with its I/O driver enabled.
pub(crate) async fn supervise(
    plan: &Plan,
    sockets: Vec<BoundSocket>,
    command: impl Fn(&[BoundSocket]) -> io::Result<Command>,
    signals: &mut Signals,
    stopping: impl FnOnce(),
) -> Result<Exit> {
    let mut supervisor = Supervisor {
        plan,
        sockets,
        command,
        due: plan.due(Instant::now()),
        pacing: Pacing::default(),
        current: None,
        next: None,
        stopping: Stopping::new(plan.grace),
    };
    let ending = supervisor.run(signals).await;
    stopping();
    supervisor.end(signals, ending).await
}

impl Plan {
    /// A start at `time`, or for the first client after it.
    fn due(&self, time: Instant) -> Due {
        match self.on_demand {
            true => Due::AtClient(time),
            false => Due::At(time),
        }
    }

    fn not_awaited(&self, error: io::Error) -> Error {
        Error::new("await", &self.program, error).with_kind(ErrorKind::Other)
    }
}

struct Supervisor<'a, C> {
    plan: &'a Plan,
    sockets: Vec<BoundSocket>,
    command: C,
    due: Due,
    pacing: Pacing,
    current: Option<Run>,
    /// It replaces the current one when it has lasted for the overlap.
    next: Option<Run>,
    stopping: Stopping,
}

/// How the supervision ends.
enum Ending {
    /// The program has ended by itself.
    Itself(ExitStatus),
    /// A signal asks for it, and this one stops the program.
    Asked(Signal),
}

enum Event {
    Signal(Signal),
    CurrentEnded(ExitStatus),
    NextEnded(ExitStatus),
    /// The new run has lasted for the overlap.
    NextLasted,
    Due,
}

impl<C: Fn(&[BoundSocket]) -> io::Result<Command>> Supervisor<'_, C> {
    async fn run(&mut self, signals: &mut Signals) -> Result<Ending> {
        loop {
            match self.event(signals).await? {
                Event::Signal(signal) if is_stop(signal) => {
                    return Ok(Ending::Asked(self.plan.stop_signal.unwrap_or(signal)));
                }
                Event::Signal(Signal::SIGHUP) if self.plan.restart => self.replace(),
                Event::Signal(signal) => {
                    for run in self.current.iter().chain(&self.next) {
                        run.signal(signal);
                    }
                }
                Event::CurrentEnded(status) if self.plan.restart => self.restart(status),
                Event::CurrentEnded(status) => {
                    let pid = self.current.as_ref().map(Run::pid);
                    info!(pid, %status, "program ended");
                    return Ok(Ending::Itself(status));
                }
                Event::NextEnded(status) => {
                    if let Some(run) = self.next.take() {
                        warn!(pid = run.pid(), %status, "the new program ended, the old one stays");
                        self.stopping.add(run, None);
                    }
                }
                Event::NextLasted => {
                    let old = self.current.take();
                    self.current = self.next.take();
                    self.replaced(old);
                }
                Event::Due => self.start()?,
            }
        }
    }

    /// The next event.
    async fn event(&mut self, signals: &mut Signals) -> Result<Event> {
        let overlap = self.plan.overlap;
        let lasts = self.next.as_ref().map(|next| next.began() + overlap);
        let ended = |status: io::Result<_>| status.map_err(|error| self.plan.not_awaited(error));
        tokio::select! {
            biased;
            signal = signals.next() => Ok(Event::Signal(signal)),
            status = end_of(self.current.as_mut()) => ended(status).map(Event::CurrentEnded),
            status = end_of(self.next.as_mut()) => ended(status).map(Event::NextEnded),
            () = until(lasts) => Ok(Event::NextLasted),
            came = self.due.comes(&self.sockets, &mut self.stopping) => came.map(|()| Event::Due),
        }
    }

    /// Starts the program, to replace the current one if there is one.
    fn start(&mut self) -> Result<()> {
        if self.due == Due::WhenStopped && self.plan.on_demand {
            self.due = self.plan.due(Instant::now());
            return Ok(());
        }
        self.due = Due::Never;
        self.check_sockets()?;
        let began = Instant::now();
        match (self.command)(&self.sockets).and_then(|mut command| Run::start(&mut command)) {
            Ok(run) if self.current.is_some() => self.next = Some(run),
            Ok(run) => self.current = Some(run),
            Err(error) if self.plan.restart => {
                warn!(program = self.plan.program, %error, "cannot start");
                if self.current.is_none() {
                    self.due = Due::At(self.pacing.next_start(began, began, false));
                }
            }
            Err(error) => {
                let error = Error::new("start", &self.plan.program, error);
                return Err(error.with_kind(ErrorKind::Other));
            }
        }
        Ok(())
    }

    /// Prepares the sockets for the next run.
    fn check_sockets(&mut self) -> Result<()> {
        // Another run that has them relies on the mode that it has set.
        let are_shared = self.current.is_some() || !self.stopping.is_empty();
        for socket in &self.sockets {
            let address = socket.local_addr();
            let failed = |error| Error::new("listen", address, error);
            if socket.is_shut_down().map_err(failed)? {
                let cause = "the program has shut down the socket, which takes no more clients";
                let error = Error::because("listen", address, ErrorKind::Other, cause);
                return Err(error.with_hint("let the program only close it"));
            }
            if !socket.has_its_name() {
                warn!(%address, "no client finds the server: its socket file was removed or replaced");
            }
            if !are_shared {
                let set = socket.set_nonblocking(self.plan.nonblocking);
                set.map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Schedules the next start after the program has ended, unless another run takes its place.
    fn restart(&mut self, status: ExitStatus) {
        let Some(run) = self.current.take() else {
            return;
        };
        let may_be_short = self.plan.on_demand && status.success();
        let now = Instant::now();
        let time = self.pacing.next_start(run.began(), now, may_be_short);
        let pid = run.pid();
        match may_be_short || self.next.is_some() {
            true => info!(pid, %status, "program ended"),
            false => {
                let pause = time.saturating_duration_since(now).as_millis();
                warn!(pid, %status, pause = %format_args!("{pause}ms"), "program ended");
            }
        }
        self.stopping.add(run, None);
        self.current = self.next.take();
        if self.current.is_none() && self.due == Due::Never {
            self.due = self.plan.due(time);
        }
    }

    /// Replaces the program by a new run, if it runs.
    fn replace(&mut self) {
        let now = Instant::now();
        if self.current.is_none() {
            match self.due {
                Due::At(_) => self.due = Due::At(now),
                _ => info!("no program runs that could be replaced"),
            }
        } else if self.plan.overlap.is_zero() {
            let old = self.current.take();
            self.replaced(old);
            self.due = Due::WhenStopped;
        } else {
            let old = self.next.take();
            self.replaced(old);
            self.due = Due::At(now);
        }
    }

    /// Stops a run that is replaced.
    fn replaced(&mut self, old: Option<Run>) {
        let signal = self.plan.stop_signal.unwrap_or(Signal::SIGTERM);
        if let Some(old) = old {
            self.stopping.add(old, Some(signal));
        }
    }

    /// Stops what still runs, and returns the exit code of this process.
    async fn end(mut self, signals: &mut Signals, ending: Result<Ending>) -> Result<Exit> {
        // From now on clients are refused, or wait for the program as long as it accepts.
        self.sockets.clear();
        let signal = match &ending {
            Ok(Ending::Asked(signal)) => Some(*signal),
            Ok(Ending::Itself(_)) => None,
            Err(_) => Some(Signal::SIGTERM),
        };
        let current = self.current.as_ref().map(Run::pid);
        for run in self.current.take().into_iter().chain(self.next.take()) {
            self.stopping.add(run, signal);
        }
        let mut last = None;
        loop {
            tokio::select! {
                stopped = self.stopping.next() => match stopped {
                    None => break,
                    Some((pid, status)) if Some(pid) == current => {
                        last = Some(status.map_err(|error| self.plan.not_awaited(error))?);
                    }
                    Some(_) => {}
                },
                _ = signals.stop() => self.stopping.cut_off(),
            }
        }
        match (ending?, last) {
            (Ending::Itself(status), _) => Ok(Exit::of_program(status)),
            (Ending::Asked(signal), Some(status)) if status.signal() != Some(signal as i32) => {
                Ok(Exit::of_program(status))
            }
            (Ending::Asked(_), _) => Ok(Exit::Done),
        }
    }
}

/// Waits for the end of a run, if there is one.
async fn end_of(run: Option<&mut Run>) -> io::Result<ExitStatus> {
    match run {
        Some(run) => run.ended().await,
        None => pending().await,
    }
}

/// Waits until `time`, if there is one.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
