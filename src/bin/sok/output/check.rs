//! Prints the results of a check as tables and notes.

use std::fmt::Write;

use sok::escape::word;

use super::style::Styles;
use super::table::table;
use crate::check::{AddressReport, Cell, Column, HostReport, TargetReport, Verdict};

fn mark(cell: &Cell) -> &str {
    match cell.outcome {
        Verdict::Works => cell.shown.as_deref().unwrap_or("yes"),
        Verdict::Fails => "no",
        Verdict::Untried | Verdict::Absent => "-",
    }
}

/// A row for each cell and a column for each kind of address, then the notes.
pub(crate) fn host_text(report: &HostReport, styles: Styles) -> String {
    let mut header = vec![""];
    header.extend(report.columns.iter().map(|column| column.form));
    let names = report
        .columns
        .first()
        .map_or(&[][..], |column| &column.cells);
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut group = "";
    for (at, cell) in names.iter().enumerate() {
        let name = match cell.name.strip_prefix(group) {
            // The tests of one socket type are below it.
            Some(test) if test.starts_with(' ') => format!(" {test}"),
            _ => cell.name.to_string(),
        };
        if !name.starts_with(' ') {
            group = &cell.name;
        }
        let marks = report.columns.iter().map(|column| mark(&column.cells[at]));
        let row: Vec<String> = std::iter::once(&*name)
            .chain(marks)
            .map(str::to_owned)
            .collect();
        // A row without values is omitted.
        if row[1..].iter().any(|mark| mark != "-") {
            rows.push(row);
        }
    }
    let mut text = styles.table(&table(&header, &rows), first_column(&rows));
    text.push('\n');
    for outcome in [Verdict::Fails, Verdict::Untried, Verdict::Works] {
        for column in &report.columns {
            notes(column, outcome, &mut text);
        }
    }
    text
}

fn first_column(rows: &[Vec<String>]) -> usize {
    let names = rows.iter().map(|row| row[0].chars().count());
    names.max().unwrap_or_default()
}

/// The notes on the cells of one outcome; equal notes share a line.
fn notes(column: &Column, outcome: Verdict, text: &mut String) {
    let mut notes: Vec<(String, Vec<&str>)> = Vec::new();
    for cell in column.cells.iter().filter(|cell| cell.outcome == outcome) {
        let Some(note) = note(cell) else {
            continue;
        };
        match notes.iter_mut().find(|(known, _)| *known == note) {
            Some((_, names)) => names.push(&*cell.name),
            None => notes.push((note, vec![&*cell.name])),
        }
    }
    for (note, names) in notes {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}, {}: {note}", column.form, names.join(", "));
    }
}

/// Why a cell fails and its remedy, why it was not tried, or what was found.
fn note(cell: &Cell) -> Option<String> {
    let reason = cell.reason.as_deref().unwrap_or_default();
    match (cell.outcome, &cell.hint) {
        (Verdict::Works, _) if cell.shown.is_some() => None,
        (Verdict::Works, _) => cell.found.clone(),
        (Verdict::Fails, Some(hint)) => Some(format!("{reason}; {hint}")),
        (Verdict::Fails, None) => Some(reason.to_owned()),
        (Verdict::Untried, _) => Some(format!("not tried, {reason}")),
        (Verdict::Absent, _) => None,
    }
}

/// A row for each address, then the reasons for missing answers.
pub(crate) fn served_text(served: &TargetReport, styles: Styles) -> String {
    let rows: Vec<Vec<String>> = served.addresses.iter().map(answer_row).collect();
    let header = ["address", "serves", "connect", "listener"];
    let mut text = styles.table(&table(&header, &rows), first_column(&rows));
    for answer in &served.addresses {
        let Some(reason) = &answer.reason else {
            continue;
        };
        let hint = answer
            .hint
            .as_deref()
            .map_or_else(String::new, |hint| format!("; {hint}"));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {reason}{hint}", answer.address);
    }
    text
}

fn answer_row(answer: &AddressReport) -> Vec<String> {
    let names = answer.listeners.iter().map(|process| {
        // A program can choose any name.
        let name = process.name.as_deref().map(word);
        let name = name.as_deref().unwrap_or("has ended");
        format!("pid {} ({name})", process.pid)
    });
    let mut who: Vec<String> = names.collect();
    if let Some(credentials) = answer.credentials {
        who.push(format!("uid {} gid {}", credentials.uid, credentials.gid));
    }
    if who.is_empty() {
        who.push("-".to_owned());
    }
    let connect = match answer.serves {
        Some(true) => format!("{}us", answer.micros),
        _ => "-".to_owned(),
    };
    let serves = match answer.serves {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    };
    vec![
        answer.address.clone(),
        serves.to_owned(),
        connect,
        who.join(", "),
    ]
}
