//! The stage of a lesson: it runs the steps and compares the statements.

use std::fmt::Display;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use sok::address::{Address, Family};
use sok::error::{Error, ErrorKind, Result};
use tokio::time::timeout;

use super::recorder::{Made, Recorder};
use super::report::{Event, Figure, LessonFault, LessonReport, Observer, Statement, Step, Value};

/// The time limit of a step; beyond it the lesson fails.
pub(super) const STEP_LIMIT: Duration = Duration::from_secs(5);

/// One running lesson on one family.
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

    /// A fresh address.
    pub(super) fn address(&mut self) -> Address {
        self.names += 1;
        let name = format!("{}-{}.sock", self.report.lesson.number(), self.names);
        self.family().local_address(self.directory, &name)
    }

    /// Runs one step, and reports it with its socket calls.
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
        let observed = self.observer.observe(Event::Step(&step)).await;
        self.report.steps.push(step);
        observed.map_err(LessonFault::Observer)?;
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

    /// Compares what happened with what was expected, and reports both.
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
        let observed = self.observer.observe(Event::Statement(&statement)).await;
        self.report.statements.push(statement);
        observed.map_err(LessonFault::Observer)
    }

    /// Records a measured value.
    pub(super) fn measured(&mut self, key: &'static str, value: impl Into<Value>) {
        self.keep(key, None, value.into());
    }

    /// Records a measured value that the closing table shows as `label`.
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
