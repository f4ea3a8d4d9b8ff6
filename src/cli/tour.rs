//! `sok tour`: the lessons as text for a person, or an object for each.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};

use super::args::TourArgs;
use super::descriptors::{self, need};
use super::exit::Exit;
use super::table::table;
use super::ui::{self, Standard, Ui};
use super::{block_on, until_signal};
use crate::address::Family;
use crate::client::output_error;
use crate::error::{Error, Result};
use crate::offload::offload;
use crate::tour::{Audience, Event, Figure, Lesson, Plan, Report, Statement, Step, run as take};

pub(super) fn run(args: TourArgs, ui: Ui) -> Result<Exit> {
    let TourArgs {
        lessons,
        families,
        pause,
    } = args;
    need(descriptors::TOUR, "begin", "the tour")?;
    let whole = Plan::default();
    let plan = Plan {
        lessons: if lessons.is_empty() {
            whole.lessons
        } else {
            lessons
        },
        families: if families.is_empty() {
            whole.families
        } else {
            families
        },
    };
    let mut reader = Reader {
        output: ui::stdout()?,
        json: ui.is_json(),
        keys: pause.then(ui::stdin).transpose()?.map(BufReader::new),
        ended: Vec::new(),
    };
    // A signal too must leave no temporary directory behind.
    block_on(until_signal(async {
        take(&plan, &mut reader).await?;
        Ok(Exit::Done)
    }))
}

/// Who reads the tour: it is written as it goes, with a pause after each step if one is wanted.
struct Reader {
    output: Standard,
    json: bool,
    keys: Option<BufReader<Standard>>,
    /// The lessons that are over, for the closing table.
    ended: Vec<Report>,
}

impl Audience for Reader {
    async fn hear(&mut self, event: Event<'_>) -> Result<()> {
        let text = match self.json {
            true => object(event)?,
            false => text(event),
        };
        self.write(&text)?;
        match event {
            Event::Step(_) => self.pause().await,
            Event::Ended(report) => {
                self.ended.push(report.clone());
                Ok(())
            }
            Event::Begun(_) | Event::On(_) | Event::Statement(_) => Ok(()),
            Event::Over(lesson) => match lesson {
                Lesson::WhatDiffers if !self.json => self.write(&closing_table(&self.ended)),
                _ => Ok(()),
            },
        }
    }
}

impl Reader {
    fn write(&mut self, text: &str) -> Result<()> {
        self.output.write_all(text.as_bytes()).map_err(output_error)
    }

    /// Waits for a line, beside the runtime, as signals must still be heard; none comes any more
    /// after the end of the input.
    async fn pause(&mut self) -> Result<()> {
        let Some(mut keys) = self.keys.take() else {
            return Ok(());
        };
        ui::prompt("-- Enter --");
        let failed = |error: io::Error| Error::new("read", "standard input", error);
        let reading = offload("read", "standard input", move || {
            let count = keys.skip_until(b'\n')?;
            Ok((count > 0).then_some(keys))
        });
        self.keys = reading.await?.map_err(failed)?;
        Ok(())
    }
}

/// The one line of a lesson that is over; nothing before that.
fn object(event: Event<'_>) -> Result<String> {
    let Event::Ended(report) = event else {
        return Ok(String::new());
    };
    let line = serde_json::to_string(report)
        .map_err(|error| Error::new("write", "a lesson", io::Error::from(error)))?;
    Ok(line + "\n")
}

fn text(event: Event<'_>) -> String {
    match event {
        Event::Begun(lesson) => {
            let teaches = lesson.teaches().replace('\n', "\n  ");
            format!(
                "Lesson {}: {}\n\n  {teaches}\n",
                lesson.number(),
                lesson.title()
            )
        }
        Event::On(family) => format!("\n  {}\n", family.af_name()),
        Event::Step(Step { what, calls }) => {
            let mut text = format!("    {what}.\n");
            for made in calls {
                // A String takes whatever is written to it.
                let _ = writeln!(text, "      {:<9} {}", made.who, made.call);
            }
            text
        }
        Event::Statement(Statement {
            expected,
            saw,
            held,
        }) => {
            let verdict = if *held { "ok" } else { "FAILED" };
            format!("    expected  {expected}\n    saw       {saw}  {verdict}\n")
        }
        Event::Ended(report) => match &report.skipped {
            Some(reason) => format!("    skipped: {reason}\n"),
            None => String::new(),
        },
        Event::Over(_) => "\n".to_owned(),
    }
}

/// The families side by side, in what was measured: first by the last lesson.
fn closing_table(reports: &[Report]) -> String {
    let mut families: Vec<Family> = Vec::new();
    let mut rows: Vec<(Lesson, &str)> = Vec::new();
    for report in reports.iter().filter(|report| report.skipped.is_none()) {
        if !families.contains(&report.family) {
            families.push(report.family);
        }
        for label in report.measured.iter().filter_map(|figure| figure.label) {
            if !rows.iter().any(|(_, known)| *known == label) {
                rows.push((report.lesson, label));
            }
        }
    }
    rows.sort_by_key(|(lesson, _)| *lesson != Lesson::WhatDiffers);
    let cell = |family, label| {
        let own = reports.iter().filter(|report| report.family == family);
        own.flat_map(|report| &report.measured)
            .find(|figure: &&Figure| figure.label == Some(label))
            .map_or_else(String::new, |figure| figure.value.to_string())
    };
    let header: Vec<String> = [String::new()]
        .into_iter()
        .chain(families.iter().map(|family| family.af_name().to_owned()))
        .collect();
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(_, label)| {
            let cells = families.iter().map(|family| cell(*family, label));
            [(*label).to_owned()].into_iter().chain(cells).collect()
        })
        .collect();
    format!(
        "The families side by side, as this tour has found them:\n\n{}",
        table(&header, &rows)
    )
}
