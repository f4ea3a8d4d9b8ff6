//! The output of the program, as its options say: lines of text, or objects.

use std::io::Write;

use serde::Serialize;
use sok::address::{Address, DescriptorName, Family};
use sok::client::output_error;
use sok::error::{Error, ErrorKind};
use sok::loops::Traffic;
use sok::net::{Credentials, Listener, Peer, SOCKET_CALLS};
use sok::service::{ConnectionTable, Totals};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use super::connection::OpenConnection;
use super::json::{object, visible};
use super::reports::Reports;
use super::standard::stdout;
use super::style::Styles;
use super::talk::{as_server, noted, talk};
use crate::args::{LogArg, TalkArgs};
use crate::exit::Exit;

/// The output of the program, as its options say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    quiet: bool,
    /// Whether results are objects.
    json: bool,
    /// Whether the lines on standard error are.
    log_json: bool,
}

impl Ui {
    /// Sets up the reports, in the format of `log` if it was given; `warnings` for a command that
    /// continues after a failure.
    pub(crate) fn new(talk: &TalkArgs, log: Option<LogArg>, warnings: bool) -> Self {
        let ui = Self {
            quiet: talk.quiet,
            json: talk.json,
            log_json: log.map_or(talk.json, |format| format == LogArg::Json),
        };
        let level = match (talk.quiet, talk.verbose) {
            (true, _) => LevelFilter::OFF,
            (_, true) => LevelFilter::INFO,
            (_, false) if warnings => LevelFilter::WARN,
            (_, false) => LevelFilter::OFF,
        };
        let calls = if talk.trace {
            LevelFilter::TRACE
        } else {
            LevelFilter::OFF
        };
        if warnings {
            as_server(ui.log_json);
        }
        if level != LevelFilter::OFF || talk.trace {
            let targets = Targets::new()
                .with_target("sok", level)
                .with_target(SOCKET_CALLS, calls);
            let reports =
                tracing_subscriber::registry().with(Reports::new(ui.log_json).with_filter(targets));
            let _ = tracing::subscriber::set_global_default(reports);
        }
        ui
    }

    /// Whether only errors are printed.
    pub(crate) const fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Whether results are printed as objects.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Whether the lines on standard error are objects.
    pub(crate) const fn logs_objects(self) -> bool {
        self.log_json
    }

    /// Prints the ready line: clients can connect now.
    pub(crate) fn listening(self, listener: &Listener) {
        let also = listener.also_takes();
        self.listening_on(listener.local_addr(), also, listener.inherited());
    }

    /// The same for an address, whose socket may accept clients of another family too, and may be
    /// inherited.
    pub(crate) fn listening_on(
        self,
        address: &Address,
        also: Option<Family>,
        inherited: Option<&DescriptorName>,
    ) {
        if self.quiet {
            return;
        }
        if self.log_json {
            let family = address.family().name();
            let event = serde_json::json!({
                "event": "listening", "address": address.to_string(), "family": family,
                "also": also.map(Family::name),
                "inherited": inherited.map(ToString::to_string),
            });
            return talk(object(event));
        }
        let inherited = inherited.map(ToString::to_string);
        let also = also.map(|family| format!("dual-stack: also {family}"));
        let facts: Vec<String> = inherited.into_iter().chain(also).collect();
        match facts[..] {
            [] => talk(format!("listening on {address}")),
            _ => talk(format!("listening on {address} ({})", facts.join(", "))),
        }
    }

    /// Prints where the status is served.
    pub(crate) fn status_on(self, listener: &Listener) {
        if self.quiet {
            return;
        }
        let address = listener.local_addr();
        if self.log_json {
            let family = address.family().name();
            let event = serde_json::json!({
                "event": "status", "address": address.to_string(), "family": family,
            });
            return talk(object(event));
        }
        talk(format!("status on {address}"));
    }

    /// Prints a note, unless with `--quiet`.
    pub(crate) fn note(self, text: &str) {
        if self.quiet {
            return;
        }
        talk(noted(self.log_json, text));
    }

    /// Prints the totals and the open connections, on request.
    pub(crate) fn connections(self, table: &ConnectionTable) {
        let (totals, open) = table.snapshot();
        let Totals {
            connections,
            refused,
            failed,
            traffic,
            ..
        } = totals;
        if self.log_json {
            let open: Vec<OpenConnection> = open.iter().map(|one| (&**one).into()).collect();
            let event = serde_json::json!({
                "event": "totals", "connections": connections, "refused": refused, "failed": failed,
                "received": traffic.received, "sent": traffic.sent,
                "undelivered": traffic.undelivered, "open": open,
            });
            return talk(object(event));
        }
        let refused = counted("refused", refused);
        talk(format!(
            "sok: totals connections={connections} open={} failed={failed}{refused} received={} sent={}{}",
            open.len(),
            traffic.received,
            traffic.sent,
            undelivered(traffic)
        ));
        for connection in open {
            let traffic = connection.traffic();
            let Traffic { received, sent, .. } = traffic;
            let undelivered = undelivered(traffic);
            let to = connection
                .forwarded_to()
                .map_or_else(String::new, |to| format!(" forwarded_to={to}"));
            let named = |Credentials { pid, uid, gid }| format!(" pid={pid} uid={uid} gid={gid}");
            let Peer {
                address,
                credentials,
                ..
            } = connection.peer();
            let process = credentials.map_or_else(String::new, named);
            talk(format!(
                "sok: open connection={} peer={address}{process}{to} received={received} sent={sent}{undelivered} seconds={:.3}",
                connection.id(),
                connection.age().as_secs_f64()
            ));
        }
    }

    /// Prints the result of a command to standard output: one JSON object, or `text`.
    pub(crate) fn result(
        self,
        result: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> sok::error::Result<()> {
        let printed = match self.json {
            true => {
                visible(&serde_json::to_string(result).map_err(|e| output_error(e.into()))?) + "\n"
            }
            false => text(),
        };
        stdout()?
            .write_all(printed.as_bytes())
            .map_err(output_error)
    }

    /// Prints an error, unless it is that the reader of the output has closed.
    pub(crate) fn failed(self, error: &Error) {
        if error.kind() == ErrorKind::OutputClosed {
            return;
        }
        if self.log_json {
            let event = serde_json::json!({
                "event": "error", "operation": error.operation(), "address": error.address(),
                "cause": error.cause(), "hint": error.hint(), "exit": Exit::from(error).code(),
            });
            return talk(object(event));
        }
        talk(Styles::of_errors().error(&error.to_string(), error.hint()));
    }
}

/// The number of datagrams that were not delivered, if any.
fn undelivered(traffic: Traffic) -> String {
    counted("undelivered", traffic.undelivered)
}

/// A number with its name, if it is not 0.
fn counted(name: &str, count: u64) -> String {
    match count {
        0 => String::new(),
        count => format!(" {name}={count}"),
    }
}
