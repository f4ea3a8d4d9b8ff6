//! Where a lesson is played: it does its steps here, and states what was to be seen.

use std::fmt::Display;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use sok::address::{Address, Family};
use sok::error::{Error, ErrorKind, Result};
use tokio::time::timeout;

use super::recorder::{Made, Recorder};
use super::report::{Event, Figure, LessonFault, LessonReport, Observer, Statement, Step, Value};

/// After this a step hangs, and its lesson has failed.
const STEP_LIMIT: Duration = Duration::from_secs(5);

/// One lesson on one family, as it is played.
#[derive(Debug)]
pub(super) struct Stage<'a, A> {
    directory: &'a Path,
    recorder: &'a Recorder,
    observer: &'a mut A,
    report: &'a mut LessonReport,
    names: u32,
}

impl<'a, A: Observer> Stage<'a, A> {
    pub(super) const fn new(
        directory: &'a Path,
        recorder: &'a Recorder,
        observer: &'a mut A,
        report: &'a mut LessonReport,
    ) -> Self {
        Self {
            directory,
            recorder,
            observer,
            report,
            names: 0,
        }
    }

    pub(super) const fn family(&self) -> Family {
        self.report.family
    }

    /// An address where nobody listens yet.
    pub(super) fn address(&mut self) -> Address {
        self.names += 1;
        let name = format!("{}-{}.sock", self.report.lesson.number(), self.names);
        self.family().nearby(self.directory, &name)
    }

    /// Does one thing, and tells of it with the socket calls that did it.
    pub(super) async fn step<T>(
        &mut self,
        what: impl Into<String>,
        work: impl Future<Output = Result<T>>,
    ) -> std::result::Result<T, LessonFault> {
        let what = what.into();
        let done = timeout(STEP_LIMIT, work).await.unwrap_or_else(|_| {
            let cause = format!("it did not end within {STEP_LIMIT:?}");
            Err(Error::because("tour", &what, ErrorKind::TimedOut, cause))
        });
        let calls = self.recorder.take();
        let step = Step { what, calls };
        let told = self.observer.observe(Event::Step(&step)).await;
        self.report.steps.push(step);
        told.map_err(LessonFault::Observer)?;
        done.map_err(LessonFault::Lesson)
    }

    /// The socket calls of the last step.
    pub(super) fn last_calls(&self) -> &[Made] {
        self.report
            .steps
            .last()
            .map_or(&[], |step| step.calls.as_slice())
    }

    /// All socket calls of `who` so far, by name.
    pub(super) fn calls_of(&self, who: &str) -> Vec<&str> {
        let all = self.report.steps.iter().flat_map(|step| &step.calls);
        all.filter(|made| made.who == who)
            .map(|made| made.call.call.as_str())
            .collect()
    }

    /// States what was to be seen, and that it was.
    pub(super) async fn expect(
        &mut self,
        expected: impl Display,
        saw: impl Display,
    ) -> std::result::Result<(), LessonFault> {
        let (expected, saw) = (expected.to_string(), saw.to_string());
        let held = expected == saw;
        let statement = Statement {
            expected,
            saw,
            held,
        };
        let told = self.observer.observe(Event::Statement(&statement)).await;
        self.report.statements.push(statement);
        told.map_err(LessonFault::Observer)
    }

    /// Keeps what was measured.
    pub(super) fn measured(&mut self, key: &'static str, value: impl Into<Value>) {
        self.keep(key, None, value.into());
    }

    /// Keeps what was measured, and is to stand in the closing table as `label`.
    pub(super) fn compared(
        &mut self,
        key: &'static str,
        label: &'static str,
        value: impl Into<Value>,
    ) {
        self.keep(key, Some(label), value.into());
    }

    fn keep(&mut self, key: &'static str, label: Option<&'static str>, value: Value) {
        self.report.measured.push(Figure { key, label, value });
    }
}
