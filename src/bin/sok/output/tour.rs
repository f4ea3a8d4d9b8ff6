//! `sok tour`: prints the lessons as text, or an object for each.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};

use sok::address::Family;
use sok::client::output_error;
use sok::error::{Error, Result};
use sok::offload::offload;

use super::standard::{self, Standard};
use super::style::{Styles, fitted, wrapped};
use super::table::folded;
use super::talk;
use crate::tour::{Event, Figure, Lesson, LessonReport, Observer, Statement, Step};

/// Prints the tour as it runs, with a pause after each step if requested.
pub(crate) struct Printer {
    output: Standard,
    json: bool,
    keys: Option<BufReader<Standard>>,
    page: Page,
    /// The ended lessons, for the closing table.
    ended: Vec<LessonReport>,
}

impl Observer for Printer {
    async fn observe(&mut self, event: Event<'_>) -> Result<()> {
        let text = match self.json {
            true => object(event)?,
            false => self.page.text(event),
        };
        self.write(&text)?;
        match event {
            Event::Step(_) => self.pause().await,
            Event::Ended(report) => {
                self.ended.push(report.clone());
                Ok(())
            }
            Event::Begun(_) | Event::On(_) | Event::Statement(_) | Event::Over => Ok(()),
        }
    }
}

impl Printer {
    /// A printer to the standard output; with `pause`, it reads a line from the standard input
    /// after each step.
    ///
    /// # Errors
    /// If a standard stream is missing.
    pub(crate) fn new(json: bool, pause: bool) -> Result<Self> {
        Ok(Self {
            output: standard::stdout()?,
            json,
            keys: pause.then(standard::stdin).transpose()?.map(BufReader::new),
            page: Page {
                width: standard::width(),
                styles: Styles::of_output(),
            },
            ended: Vec::new(),
        })
    }

    /// Prints the closing table, after the lesson on what differs, and the verdict on all ended
    /// lessons.
    ///
    /// # Errors
    /// If the standard output cannot be written.
    pub(crate) fn finish(&mut self) -> Result<()> {
        if self.json || self.ended.is_empty() {
            return Ok(());
        }
        let mut end = String::new();
        if self
            .ended
            .iter()
            .any(|report| report.lesson == Lesson::WhatDiffers)
        {
            end += &self.page.closing_table(&self.ended);
        }
        end += &self.page.verdict(&self.ended);
        self.write(&end)
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.output.write_all(text.as_bytes()).map_err(output_error)
    }

    /// Waits for a line on another thread, since signals must still be handled; after end of input
    /// it no longer waits.
    async fn pause(&mut self) -> Result<()> {
        let Some(mut keys) = self.keys.take() else {
            return Ok(());
        };
        talk::prompt("-- Enter --");
        let failed = |error: io::Error| Error::new("read", "standard input", error);
        let reading = offload("read", "standard input", move || {
            let count = keys.skip_until(b'\n')?;
            Ok((count > 0).then_some(keys))
        });
        self.keys = reading.await?.map_err(failed)?;
        Ok(())
    }
}

/// The line of an ended lesson; nothing before that.
fn object(event: Event<'_>) -> Result<String> {
    let Event::Ended(report) = event else {
        return Ok(String::new());
    };
    let line = serde_json::to_string(report)
        .map_err(|error| Error::new("write", "a lesson", io::Error::from(error)))?;
    Ok(line + "\n")
}

/// The longest line of text that is easy to read.
const PROSE: usize = 80;

/// The layout of the text.
struct Page {
    /// The columns of the terminal, if it is one.
    width: Option<usize>,
    styles: Styles,
}

impl Page {
    fn text(&self, event: Event<'_>) -> String {
        let Styles {
            title,
            call,
            held: good,
            failed: bad,
        } = self.styles;
        match event {
            Event::Begun(lesson) => format!(
                "{title}Lesson {}: {}{title:#}\n\n{}",
                lesson.number(),
                lesson.title(),
                self.prose(lesson.teaches(), "  ")
            ),
            Event::On(family) => format!("\n  {title}{}{title:#}\n", family.af_name()),
            Event::Step(Step { what, calls }) => {
                let mut text = self.line(&format!("{what}."), "    ", "    ");
                for made in calls {
                    let line = format!("{:<9} {}", made.who, made.call);
                    let line = self.line(&line, "      ", "                ");
                    // Writing to a String cannot fail.
                    let _ = writeln!(text, "{call}{}{call:#}", line.trim_end());
                }
                text
            }
            Event::Statement(Statement {
                expected,
                saw,
                held,
            }) => {
                let (style, verdict) = if *held { (good, "ok") } else { (bad, "FAILED") };
                let rest = "              ";
                let expected = self.line(expected, "    expected  ", rest);
                let saw = self.line(&format!("{saw}  {verdict}"), "    saw       ", rest);
                let saw = saw.trim_end().trim_end_matches(verdict);
                format!("{expected}{saw}{style}{verdict}{style:#}\n")
            }
            Event::Ended(report) => match &report.skipped {
                Some(reason) => self.line(&format!("skipped: {reason}"), "    ", "    "),
                None => String::new(),
            },
            Event::Over => "\n".to_owned(),
        }
    }

    fn prose(&self, text: &str, indent: &str) -> String {
        let width = self.width.map_or(PROSE, |width| width.min(PROSE));
        wrapped(text, width, indent, indent)
    }

    fn line(&self, text: &str, first: &str, rest: &str) -> String {
        fitted(text, self.width, first, rest)
    }

    /// The verdict, and the next command.
    fn verdict(&self, reports: &[LessonReport]) -> String {
        let statements = reports.iter().flat_map(|report| &report.statements);
        let (held, failed): (Vec<_>, Vec<_>) = statements.partition(|statement| statement.held);
        let mut lessons: Vec<Lesson> = reports.iter().map(|report| report.lesson).collect();
        lessons.dedup();
        let skipped = reports.iter().filter(|report| report.skipped.is_some());
        let mut families: Vec<&str> = skipped.map(|report| report.family.af_name()).collect();
        families.sort_unstable();
        families.dedup();
        let (style, mut verdict) = match failed.len() {
            0 => (
                self.styles.held,
                format!("Verdict: all {} statements held.", held.len()),
            ),
            count => (
                self.styles.failed,
                format!(
                    "Verdict: {count} of {} statements failed; look for FAILED.",
                    count + held.len()
                ),
            ),
        };
        if !families.is_empty() {
            verdict += &format!(" Skipped: {}.", families.join(", "));
        }
        let next = match lessons[..] {
            [lesson] => Lesson::numbered(lesson.number() + 1),
            _ => lessons.first().copied(),
        };
        let next = next.map_or_else(String::new, |lesson| {
            let number = lesson.number();
            let what = match lessons.len() {
                1 => "The next lesson",
                _ => "To run one lesson step by step",
            };
            self.prose(&format!("{what}: sok tour --lesson {number} --pause"), "")
        });
        let verdict = self.prose(&verdict, "");
        format!("{style}{}{style:#}\n{next}", verdict.trim_end())
    }

    /// The families side by side, as measured: first by the lesson on what differs.
    fn closing_table(&self, reports: &[LessonReport]) -> String {
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
            "The families side by side, from the results of this tour:\n\n{}\n",
            folded(&header, &rows, self.width)
        )
    }
}
