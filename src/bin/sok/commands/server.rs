//! A server of any service: it listens, serves and stops.

use std::time::Duration;

use humantime::format_duration;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sok::error::{Error, ErrorKind, Result};
use sok::loops::{Limits, OnHangup, Sources, Stop, connection_loop, outlive_file_limit};
use sok::net::ListenOptions;
use sok::service::{ConnectionTable, IdleLimit, Lifetime, Service, Threads, Tracked};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::access::{Reload, on_hangup};
use super::inherited::ListenOn;
use super::listening::listen;
use super::memory::max_connections;
use super::readiness::Readiness;
use super::run::reap_as_init;
use super::status::{self, StatusPlan};
use crate::args::LimitArgs;
use crate::exit::Exit;
use crate::output::Ui;

/// The first descriptor after the standard streams.
pub(crate) const FIRST_INHERITED: i32 = 3;

/// The time that the end of the process waits for another thread that does not get its turn.
const CUT_OFF: Duration = Duration::from_secs(1);

/// A server before it listens.
pub(crate) struct Server {
    pub(crate) places: ListenOn,
    pub(crate) readiness: Readiness,
    pub(crate) options: ListenOptions,
    pub(crate) limits: Limits,
    pub(crate) threads: usize,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) exits_when_idle: bool,
    pub(crate) on_hangup: Option<OnHangup>,
    pub(crate) reload: Option<Reload>,
    pub(crate) status: Option<StatusPlan>,
    pub(crate) table: ConnectionTable,
    pub(crate) ui: Ui,
}

impl Server {
    /// Listens, prints the ready line, and serves until a stop or a limit.
    pub(crate) async fn run<S: Service>(
        mut self,
        service: impl FnOnce(Stop) -> Result<S>,
    ) -> Result<Exit> {
        let held = self.reload.as_mut().and_then(Reload::take_held);
        let stop = Stop::on_signals(on_hangup(self.on_hangup, self.reload))
            .map_err(|error| Error::new("watch", "signals", error))?;
        drop(held);
        outlive_file_limit().map_err(|error| Error::new("watch", "SIGXFSZ", error))?;
        let table = self.table;
        on_request(table.clone(), self.ui)?;
        reap_as_init()?;
        let service = IdleLimit::new(self.idle_timeout, service(stop.clone())?);
        let service = Lifetime::new(self.lifetime, service);
        let service = Threads::new(service, self.threads)?;
        let drained = service.drained();
        // A connection that was inherited is the only one.
        let is_one_connection = self.places.is_one_connection();
        let bound = async {
            let status = match &mut self.status {
                Some(plan) => plan.listen().await?,
                None => Sources::default(),
            };
            Ok::<_, Error>((status, listen(self.places, &self.options).await?))
        };
        let (status, sources) = tokio::select! {
            biased;
            bound = bound => bound?,
            () = stop.requested() => return Ok(Exit::Done),
        };
        let listeners = &sources.listeners;
        status
            .listeners
            .iter()
            .for_each(|one| self.ui.status_on(one));
        let about = status::Served {
            table: table.clone(),
            stop: stop.clone(),
            exit_after: self.limits.exit_after,
            listening: listeners
                .iter()
                .map(|one| one.local_addr().to_string())
                .collect(),
        };
        let status = self.status.map(|plan| plan.serve(status, about));
        let accept_timeout = self.limits.accept_timeout;
        let at = listeners.iter().map(|one| one.local_addr().to_string());
        let at = at.collect::<Vec<_>>().join(" ");
        // Until the end of this function.
        let _notified = self
            .readiness
            .notify_of_server(&sources, &table, &stop, self.ui)?;
        let counted = self.limits.exit_after.is_some() || is_one_connection;
        let service = Tracked::new(table, service);
        let served = connection_loop(sources, service, self.limits, stop).await;
        // Connections that were cut off send their resets and signals before the process ends.
        let _ = timeout(CUT_OFF, drained).await;
        if let Some(status) = status {
            status.end().await;
        }
        let served = served?;
        match served.first_failure {
            Some(error) if counted || served.cut > 0 => Err(error),
            _ if served.was_idle && !self.exits_when_idle => {
                let limit = format_duration(accept_timeout.unwrap_or_default());
                let cause = format!("no client was connected for {limit}");
                Err(Error::because("accept", at, ErrorKind::TimedOut, cause))
            }
            _ => Ok(Exit::Done),
        }
    }
}

/// Prints the table at each SIGUSR1.
fn on_request(table: ConnectionTable, ui: Ui) -> Result<()> {
    let mut requests = signal(SignalKind::user_defined1())
        .map_err(|error| Error::new("watch", "SIGUSR1", error))?;
    tokio::spawn(async move {
        while requests.recv().await.is_some() {
            ui.connections(&table);
        }
    });
    Ok(())
}

/// The framings that say where a message ends.
pub(crate) const FRAMINGS: &str = "line, null or length";

pub(crate) fn limits(args: &LimitArgs) -> Limits {
    let mut limits = Limits::default();
    limits.max_connections = if args.one_at_a_time {
        1
    } else {
        args.max_connections.map_or_else(max_connections, |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        })
    };
    limits.exit_after = if args.once { Some(1) } else { args.exit_after };
    limits.grace = args.grace;
    limits
}

/// The limit of open files of this process.
pub(super) fn descriptor_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

/// Raises the limit of open files, since each connection takes one, and returns the new one: the
/// soft limit is for programs that use `select(2)`.
pub(crate) fn raise_descriptor_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return u64::MAX;
    };
    // With the old limit, the server pauses earlier, but still serves.
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}
