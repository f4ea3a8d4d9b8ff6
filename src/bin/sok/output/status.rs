//! The pages of the status: one object, and the metrics of Prometheus.

use std::fmt::{self, Display, Write};
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_millis;
use serde::Serialize;
use sok::client::TargetState;
use sok::service::Totals;

use super::connection::OpenConnection;
use super::json::visible;
use crate::status::Snapshot;

/// The media type of [`metrics`]: the text format of Prometheus.
pub(crate) const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    pid: u32,
    started: String,
    uptime_seconds: f64,
    accepting: bool,
    listening: &'a [String],
    totals: StatusTotals,
    open: Vec<OpenConnection>,
    /// The open connections that are not listed.
    open_left_out: usize,
    targets: Vec<StatusTarget>,
    status: StatusRequests,
}

#[derive(Serialize)]
struct StatusTotals {
    connections: u64,
    open: usize,
    refused: u64,
    failed: u64,
    received: u64,
    sent: u64,
    undelivered: u64,
}

#[derive(Serialize)]
struct StatusTarget {
    target: String,
    up: bool,
    connections: u64,
    failures: u64,
    last_error: Option<String>,
    last_error_seconds: Option<f64>,
}

#[derive(Serialize)]
struct StatusRequests {
    answered: u64,
    dropped: u64,
}

impl From<&TargetState> for StatusTarget {
    fn from(state: &TargetState) -> Self {
        let last = state.last_failure.as_ref();
        Self {
            target: state.target.to_string(),
            up: state.is_up,
            connections: state.connections,
            failures: state.failures,
            last_error: last.map(|(error, _)| error.clone()),
            last_error_seconds: last.map(|(_, ago)| ago.as_secs_f64()),
        }
    }
}

/// The status as one object.
pub(crate) fn json(snapshot: &Snapshot) -> String {
    let Totals {
        connections,
        refused,
        failed,
        traffic,
        ..
    } = snapshot.totals;
    let listed = snapshot.listed.iter();
    let open: Vec<OpenConnection> = listed.map(|one| (&**one).into()).collect();
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        started: format_rfc3339_millis(snapshot.began).to_string(),
        uptime_seconds: snapshot.uptime.as_secs_f64(),
        accepting: snapshot.accepting,
        listening: &snapshot.listening,
        totals: StatusTotals {
            connections,
            open: snapshot.open,
            refused,
            failed,
            received: traffic.received,
            sent: traffic.sent,
            undelivered: traffic.undelivered,
        },
        open_left_out: snapshot.open - open.len(),
        open,
        targets: snapshot.targets.iter().map(StatusTarget::from).collect(),
        status: StatusRequests {
            answered: snapshot.answered,
            dropped: snapshot.dropped,
        },
    };
    // No value of it can fail to be serialized.
    let json = serde_json::to_string(&status).unwrap_or_default();
    visible(&json) + "\n"
}

/// The metrics, in the text format of Prometheus.
pub(crate) fn metrics(snapshot: &Snapshot) -> String {
    let Totals {
        connections,
        refused,
        failed,
        traffic,
        ..
    } = snapshot.totals;
    let mut text = Metrics::default();
    text.gauge("sok_build_info", "The version of sok.");
    let version = Label("version", env!("CARGO_PKG_VERSION"));
    text.labelled("sok_build_info", &version, 1);
    text.gauge("process_start_time_seconds", "When it started, since 1970.");
    let began = snapshot.began.duration_since(SystemTime::UNIX_EPOCH);
    let began = began.unwrap_or(Duration::ZERO).as_secs_f64();
    text.value("process_start_time_seconds", began);
    text.gauge("sok_accepting", "Whether new clients are accepted.");
    text.value("sok_accepting", u8::from(snapshot.accepting));
    for (name, help, value) in [
        ("sok_connections_total", "Connections served.", connections),
        (
            "sok_connections_failed_total",
            "Connections that ended with an error.",
            failed,
        ),
        (
            "sok_connections_refused_total",
            "Connections refused by a rule or a limit.",
            refused,
        ),
        (
            "sok_received_bytes_total",
            "Bytes received from clients.",
            traffic.received,
        ),
        (
            "sok_sent_bytes_total",
            "Bytes sent to clients.",
            traffic.sent,
        ),
        (
            "sok_undelivered_datagrams_total",
            "Datagrams that were not delivered, either way.",
            traffic.undelivered,
        ),
        (
            "sok_status_requests_total",
            "Status requests answered.",
            snapshot.answered,
        ),
        (
            "sok_status_dropped_total",
            "Status connections that ended before they were answered.",
            snapshot.dropped,
        ),
    ] {
        text.counter(name, help);
        text.value(name, value);
    }
    text.gauge("sok_connections_open", "Connections that are open.");
    text.value("sok_connections_open", snapshot.open);
    text.targets(&snapshot.targets);
    text.0
}

/// Metrics in the text format of Prometheus, version 0.0.4.
#[derive(Default)]
struct Metrics(String);

impl Metrics {
    fn gauge(&mut self, name: &str, help: &str) {
        self.describe(name, help, "gauge");
    }

    fn counter(&mut self, name: &str, help: &str) {
        self.describe(name, help, "counter");
    }

    fn describe(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn value(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn labelled(&mut self, name: &str, label: &Label<'_>, value: impl Display) {
        let _ = writeln!(self.0, "{name}{{{label}}} {value}");
    }

    fn targets(&mut self, targets: &[TargetState]) {
        if targets.is_empty() {
            return;
        }
        let words: Vec<String> = targets.iter().map(|one| one.target.to_string()).collect();
        let each = || {
            targets
                .iter()
                .zip(words.iter().map(|word| Label("target", word)))
        };
        let up = "sok_target_up";
        self.gauge(
            up,
            "Whether the target is used: it has not failed since it last accepted.",
        );
        each().for_each(|(one, label)| self.labelled(up, &label, u8::from(one.is_up)));
        let connections = "sok_target_connections_total";
        self.counter(connections, "Connections to the target.");
        each().for_each(|(one, label)| self.labelled(connections, &label, one.connections));
        let failures = "sok_target_failures_total";
        self.counter(
            failures,
            "Connects that the target refused or did not answer.",
        );
        each().for_each(|(one, label)| self.labelled(failures, &label, one.failures));
    }
}

/// A label and its value, which may have any characters.
struct Label<'a>(&'static str, &'a str);

impl Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=\"", self.0)?;
        for c in self.1.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_label_is_escaped() {
        let label = Label("target", "a\\x20\"b\"\nü");
        assert_eq!(label.to_string(), r#"target="a\\x20\"b\"\nü""#);
    }
}
