//! Prints the results of a bench as tables and bars, and as comma-separated values.

use std::fmt::Write;

use sok::error::{Error, Result};

use super::style::{Styles, fitted};
use super::table::{bar, fitting};
use crate::bench::{BenchReport, Measure, Measurement, PlanSummary, Rates, Times};

/// A table and bars for each measure, in lines of at most `width`.
pub(crate) fn text(report: &BenchReport, width: Option<usize>, styles: Styles) -> String {
    let mut text = String::new();
    for measure in Measure::ALL {
        let all = report.results.iter();
        let outcomes: Vec<&Measurement> = all.filter(|one| one.measure == measure).collect();
        let Some(first) = outcomes.first() else {
            continue;
        };
        let gap = if text.is_empty() { "" } else { "\n" };
        let title = fitted(&title(first, &report.plan), width, "", "  ");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{gap}{0}{1}{0:#}\n", styles.title, title.trim_end());
        let (table, left_out) = match measure {
            Measure::Rtt | Measure::Connect => table_of_times(&outcomes, width),
            Measure::Throughput => table_of_rates(&outcomes, width),
        };
        let (head, rows) = table.split_once('\n').unwrap_or((&table, ""));
        text += &styles.head(head);
        text += rows;
        if !left_out.is_empty() {
            let note = format!(
                "Columns that do not fit: {}; --csv has them",
                left_out.join(", ")
            );
            text += &fitted(&note, width, "", "  ");
        }
        text += "\n";
        text += &bars(&outcomes);
    }
    text
}

/// A measure, described in one line.
fn title(first: &Measurement, plan: &PlanSummary) -> String {
    let what = match first.measure {
        Measure::Rtt => "rtt: a message and its echo",
        Measure::Throughput => "throughput: bytes, counted by the receiver",
        Measure::Connect => "connect: a new connection, its first message and the echo",
    };
    let connections = match plan.connections {
        1 => "1 connection".to_owned(),
        count => format!("{count} connections"),
    };
    let pace = match (first.measure, plan.rate) {
        (Measure::Throughput, _) | (_, None) => String::new(),
        (_, Some(rate)) => format!(", {rate} per second on a schedule"),
    };
    let polls = plan.spin && first.measure == Measure::Rtt;
    let spin = if polls { ", polling" } else { "" };
    format!("{what} ({}, {connections}{pace}{spin})", bytes(first.size))
}

/// The columns that a narrow terminal omits, the least important first, after those without values.
fn least<'a>(outcomes: &[&Measurement], columns: &[&'a str]) -> Vec<&'a str> {
    let mut least = Vec::new();
    if outcomes
        .iter()
        .all(|one| (one.errors, one.dropped) == (0, 0))
    {
        least.extend(["errors", "dropped"]);
    }
    least.extend(columns);
    least
}

fn table_of_times(outcomes: &[&Measurement], width: Option<usize>) -> (String, Vec<String>) {
    let compared = format!("p50 vs {}", outcomes[0].form());
    let mut head = vec![
        "family", "count", "rate/s", "min", "mean", "p50", "p90", "p99", "p99.9", "max", "stdev",
        "errors", "dropped",
    ];
    let may_lose = outcomes.iter().any(|one| one.lost_percent.is_some());
    if may_lose {
        head.push("lost");
    }
    if outcomes.len() > 1 {
        head.push(&compared);
    }
    let rows = outcomes.iter().map(|one| {
        let mut row = vec![
            one.form().to_owned(),
            one.count.to_string(),
            format!("{:.0}", one.per_second),
        ];
        row.extend(match one.times {
            Some(times) => columns(times).map(time).to_vec(),
            None => vec!["-".to_owned(); 8],
        });
        row.extend([one.errors.to_string(), one.dropped.to_string()]);
        if may_lose {
            row.push(lost(one));
        }
        if outcomes.len() > 1 {
            row.push(ratio(one));
        }
        row
    });
    let least = least(
        outcomes,
        &[
            "stdev", "min", "mean", "count", "p99.9", "p90", "rate/s", "max",
        ],
    );
    let (table, left_out) = fitting(&head, &rows.collect::<Vec<_>>(), &least, width);
    (table, left_out.into_iter().map(str::to_owned).collect())
}

fn table_of_rates(outcomes: &[&Measurement], width: Option<usize>) -> (String, Vec<String>) {
    let compared = format!("vs {}", outcomes[0].form());
    let mut head = vec![
        "family",
        "bytes",
        "rate",
        "slowest slice",
        "fastest slice",
        "sends/s",
        "errors",
        "dropped",
    ];
    let may_lose = outcomes.iter().any(|one| one.lost_percent.is_some());
    if may_lose {
        head.push("lost");
    }
    if outcomes.len() > 1 {
        head.push(&compared);
    }
    let rows = outcomes.iter().map(|one| {
        let rates = one.bytes_per_second.unwrap_or(Rates {
            min: 0.0,
            mean: 0.0,
            max: 0.0,
        });
        let mut row = vec![
            one.form().to_owned(),
            one.bytes.unwrap_or_default().to_string(),
            bytes_per_second(rates.mean),
            bytes_per_second(rates.min),
            bytes_per_second(rates.max),
            format!("{:.0}", one.per_second),
            one.errors.to_string(),
            one.dropped.to_string(),
        ];
        if may_lose {
            row.push(lost(one));
        }
        if outcomes.len() > 1 {
            row.push(ratio(one));
        }
        row
    });
    let least = least(
        outcomes,
        &["bytes", "sends/s", "fastest slice", "slowest slice"],
    );
    let (table, left_out) = fitting(&head, &rows.collect::<Vec<_>>(), &least, width);
    (table, left_out.into_iter().map(str::to_owned).collect())
}

/// The share of datagrams that were lost.
fn lost(outcome: &Measurement) -> String {
    let share = outcome.lost_percent;
    share.map_or_else(|| "-".to_owned(), |share| format!("{share:.2} %"))
}

/// The times of a row, in the order of the columns.
#[allow(clippy::cast_precision_loss)]
const fn columns(times: Times) -> [f64; 8] {
    [
        times.min_ns as f64,
        times.mean_ns,
        times.p50_ns as f64,
        times.p90_ns as f64,
        times.p99_ns as f64,
        times.p999_ns as f64,
        times.max_ns as f64,
        times.stdev_ns,
    ]
}

fn ratio(outcome: &Measurement) -> String {
    let ratio = outcome.relative;
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("x {ratio:.2}"))
}

/// The figure for comparison, a rate or a median time, formatted for reading.
pub(crate) fn figure(outcome: &Measurement) -> (f64, String) {
    match (outcome.bytes_per_second, outcome.times) {
        (Some(rates), _) => (rates.mean, bytes_per_second(rates.mean)),
        #[allow(clippy::cast_precision_loss)]
        (None, Some(times)) => (times.p50_ns as f64, time(times.p50_ns as f64)),
        (None, None) => (0.0, "-".to_owned()),
    }
}

fn bars(outcomes: &[&Measurement]) -> String {
    let figures: Vec<(f64, String)> = outcomes.iter().map(|one| figure(one)).collect();
    let longest = figures.iter().map(|(value, _)| *value).fold(0.0, f64::max);
    let names = outcomes.iter().map(|one| one.form().len());
    let wide = names.max().unwrap_or_default().max(6);
    let mut text = String::new();
    for (outcome, (value, shown)) in outcomes.iter().zip(&figures) {
        let median = if outcome.times.is_some() { "p50 " } else { "" };
        let (name, bar) = (outcome.form(), bar(*value, longest));
        let _ = writeln!(text, "{name:<wide$} {bar} {median}{shown}");
    }
    text
}

/// A time with its unit and three digits.
pub(crate) fn time(nanos: f64) -> String {
    let (value, unit) = match nanos {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "us"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    three_digits(value, unit)
}

/// A rate with its unit and three digits.
pub(super) fn bytes_per_second(rate: f64) -> String {
    let (value, unit) = match rate {
        r if r < 1e3 => (r, " B/s"),
        r if r < 1e6 => (r / 1e3, " kB/s"),
        r if r < 1e9 => (r / 1e6, " MB/s"),
        r => (r / 1e9, " GB/s"),
    };
    three_digits(value, unit)
}

/// A number of bytes with the units of [`bytes_per_second`].
#[allow(clippy::cast_precision_loss)]
pub(super) fn decimal_bytes(count: u64) -> String {
    match count {
        count if count < 1_000 => format!("{count} B"),
        count => bytes_per_second(count as f64).replace("/s", ""),
    }
}

fn three_digits(value: f64, unit: &str) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}{unit}"),
        v if v >= 10.0 => format!("{v:.1}{unit}"),
        v => format!("{v:.2}{unit}"),
    }
}

/// A size in the form of `--size`.
pub(crate) fn bytes(size: usize) -> String {
    match size {
        size if size >= 1 << 20 && size % (1 << 20) == 0 => format!("{}MiB", size >> 20),
        size if size >= 1 << 10 && size % (1 << 10) == 0 => format!("{}KiB", size >> 10),
        1 => "1 byte".to_owned(),
        size => format!("{size} bytes"),
    }
}

/// The columns of [`csv`], with the names of the JSON report.
const COLUMNS: [&str; 30] = [
    "measure",
    "family",
    "address",
    "own_server",
    "size",
    "connections",
    "rate",
    "spin",
    "count",
    "seconds",
    "per_second",
    "relative",
    "min_ns",
    "mean_ns",
    "p50_ns",
    "p90_ns",
    "p99_ns",
    "p999_ns",
    "max_ns",
    "stdev_ns",
    "bytes",
    "bytes_per_second_min",
    "bytes_per_second_mean",
    "bytes_per_second_max",
    "errors",
    "dropped",
    "client_cpus",
    "server_cpus",
    "type",
    "lost_percent",
];

/// A line for each result; a missing value is empty.
pub(crate) fn csv(report: &BenchReport) -> Result<String> {
    let failed = |error: csv::Error| Error::new("write", "the report", std::io::Error::from(error));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(failed)?;
    for one in &report.results {
        let maybe =
            |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
        let mut row = vec![
            one.measure.to_string(),
            one.family.to_string(),
            one.address.clone(),
            one.own_server.to_string(),
            one.size.to_string(),
            report.plan.connections.to_string(),
            maybe(report.plan.rate),
            (report.plan.spin && one.measure == Measure::Rtt).to_string(),
            one.count.to_string(),
            format!("{:.6}", one.seconds),
            format!("{:.3}", one.per_second),
            maybe(one.relative),
        ];
        row.extend(match one.times {
            Some(times) => columns(times).map(|nanos| format!("{nanos:.0}")).to_vec(),
            None => vec![String::new(); 8],
        });
        row.push(
            one.bytes
                .map_or_else(String::new, |bytes| bytes.to_string()),
        );
        let rates = one.bytes_per_second;
        row.extend([
            maybe(rates.map(|r| r.min)),
            maybe(rates.map(|r| r.mean)),
            maybe(rates.map(|r| r.max)),
        ]);
        row.extend([one.errors.to_string(), one.dropped.to_string()]);
        row.extend([maybe(Some(one.client_cpus)), maybe(one.server_cpus)]);
        row.extend([one.socket_type.to_string(), maybe(one.lost_percent)]);
        writer.write_record(&row).map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_shown_with_their_unit() {
        assert_eq!(time(950.0), "950ns");
        assert_eq!(time(4_600.0), "4.60us");
        assert_eq!(time(24_340.0), "24.3us");
        assert_eq!(time(200_000_000.0), "200ms");
        assert_eq!(time(5e9), "5.00s");
        assert_eq!(bytes_per_second(5.4e9), "5.40 GB/s");
        assert_eq!(bytes(64), "64 bytes");
        assert_eq!(bytes(65536), "64KiB");
        assert_eq!(bytes(3 << 20), "3MiB");
        assert_eq!(bytes(1500), "1500 bytes");
    }
}
