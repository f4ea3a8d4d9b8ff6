//! Lessons on sockets, run live on each family: both ends in one process, with real sockets and the
//! library's loops. Each lesson states what it expects and compares it with what happens. Nothing is
//! printed here: an [`Observer`] gets each event.

mod actors;
mod lesson;
mod lessons;
mod message_server;
mod recorder;
mod report;
mod stage;

use std::path::Path;
use std::time::Duration;

pub(crate) use self::lesson::Lesson;
pub(crate) use self::report::{Event, Figure, LessonReport, Observer, Statement, Step};

use self::recorder::Recorder;
use self::report::LessonFault;
use self::stage::Stage;
use sok::address::Family;
use sok::client::{ConnectPlan, connect};
use sok::error::{Error, ErrorKind, Result};
use sok::net::{ListenOptions, Listener};

/// The time limit for the probe of a family.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// The parts of the tour to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TourPlan {
    /// The lessons, run in the order of [`Lesson::ALL`].
    pub(crate) lessons: Vec<Lesson>,
    /// The families, each in every lesson, in the order of [`Family::ALL`].
    pub(crate) families: Vec<Family>,
}

impl Default for TourPlan {
    /// The whole tour.
    fn default() -> Self {
        Self {
            lessons: Lesson::ALL.into(),
            families: Family::ALL.into(),
        }
    }
}

/// Runs the lessons of `plan`, each on every family, and reports each event to the observer.
///
/// Socket files are created in a temporary directory, which is removed when this future ends or is
/// dropped. Run it on one thread: only the socket calls of that thread are recorded.
///
/// # Errors
/// [`ErrorKind::Other`] naming the lessons that failed, after all have run; the same if this machine
/// has none of the families. An error of the observer ends the tour at once.
///
/// # Panics
/// Outside a tokio runtime with its I/O and time drivers enabled.
pub(crate) async fn run(plan: &TourPlan, observer: &mut impl Observer) -> Result<()> {
    take(plan, observer, async |lesson, stage| {
        lessons::play(lesson, stage).await
    })
    .await
}

/// The same, with lessons that `play` runs.
async fn take<A: Observer>(
    plan: &TourPlan,
    observer: &mut A,
    play: impl AsyncFn(Lesson, &mut Stage<'_, A>) -> std::result::Result<(), LessonFault>,
) -> Result<()> {
    let directory = tempfile::Builder::new()
        .prefix("sok-tour-")
        .tempdir()
        .map_err(|error| {
            Error::new("create", "a temporary directory", error)
                .with_kind(ErrorKind::Other)
                .with_hint("set TMPDIR to a writable directory")
        })?;
    let recorder = Recorder::default();
    let _recording = recorder.start();
    let mut families = Vec::new();
    for family in Family::ALL {
        if plan.families.contains(&family) {
            families.push((family, lacks(family, directory.path()).await));
        }
    }
    let (mut failed, mut ran) = (Vec::new(), false);
    for lesson in Lesson::ALL {
        if !plan.lessons.contains(&lesson) {
            continue;
        }
        observer.observe(Event::Begun(lesson)).await?;
        for (family, lack) in &families {
            observer.observe(Event::On(*family)).await?;
            let mut report = LessonReport::new(lesson, *family);
            match lack {
                Some(reason) => report.skipped = Some(reason.to_string()),
                None => {
                    recorder.take();
                    let mut stage = Stage::new(directory.path(), &recorder, observer, &mut report);
                    let played = play(lesson, &mut stage).await;
                    let held = judge(played, &mut report, observer).await?;
                    ran = true;
                    if !held {
                        failed.push(format!("lesson {} on {family}", lesson.number()));
                    }
                }
            }
            observer.observe(Event::Ended(&report)).await?;
        }
        observer.observe(Event::Over).await?;
    }
    let failure = |cause: &str| Err(Error::because("tour", "", ErrorKind::Other, cause));
    match (ran, failed.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => failure(&format!("failed: {}", failed.join(", "))),
        (false, _) => failure("this machine has no sockets of these families"),
    }
}

/// The reason why this machine cannot use a family, if it cannot. A bind is not enough: the interface
/// of the address may be down.
async fn lacks(family: Family, directory: &Path) -> Option<Error> {
    let address = family.local_address(directory, "probe.sock");
    let listener = match Listener::bind(&address, &ListenOptions::default()) {
        Ok(listener) => listener,
        Err(error) => return Some(error),
    };
    let mut plan = ConnectPlan::default();
    plan.timeout = Some(PROBE_LIMIT);
    connect(&listener.local_addr().clone().into(), &plan)
        .await
        .err()
}

/// Whether all statements of a lesson held. A lesson that ended early gets a failed statement.
async fn judge(
    played: std::result::Result<(), LessonFault>,
    report: &mut LessonReport,
    observer: &mut impl Observer,
) -> Result<bool> {
    match played {
        Ok(()) => {}
        Err(LessonFault::Observer(error)) => return Err(error),
        Err(LessonFault::Lesson(error)) => {
            let statement = Statement {
                expected: "the lesson runs to its end".to_owned(),
                saw: error.to_string(),
                held: false,
            };
            observer.observe(Event::Statement(&statement)).await?;
            report.statements.push(statement);
        }
    }
    let held = report.statements.iter().all(|statement| statement.held);
    report.held = Some(held);
    Ok(held)
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use super::*;

    /// An observer that records reports, or fails.
    #[derive(Default)]
    struct Recorded {
        reports: Vec<LessonReport>,
        closed: bool,
    }

    impl Observer for Recorded {
        async fn observe(&mut self, event: Event<'_>) -> Result<()> {
            if let Event::Ended(report) = event {
                self.reports.push(report.clone());
            }
            match self.closed {
                true => Err(Error::because(
                    "observe",
                    "",
                    ErrorKind::OutputClosed,
                    "closed",
                )),
                false => Ok(()),
            }
        }
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap().block_on(work)
    }

    fn two_lessons() -> TourPlan {
        TourPlan {
            lessons: vec![Lesson::Backlog, Lesson::OneMessage],
            families: vec![Family::Unix],
        }
    }

    #[test]
    fn a_false_statement_fails_the_tour_but_does_not_stop_it() {
        let mut recorded = Recorded::default();
        let taken = block_on(take(
            &two_lessons(),
            &mut recorded,
            async |lesson, stage| {
                stage.expect(1, lesson.number()).await?;
                stage.expect("true", true).await
            },
        ));
        let error = taken.unwrap_err();
        assert_eq!(error.to_string(), "tour: failed: lesson 4 on unix");
        assert_eq!(error.kind(), ErrorKind::Other);
        let held: Vec<_> = recorded.reports.iter().map(|report| report.held).collect();
        assert_eq!(held, [Some(true), Some(false)]);
        let statement = &recorded.reports[1].statements[0];
        assert_eq!((&*statement.expected, &*statement.saw), ("1", "4"));
        assert!(!statement.held && recorded.reports[1].statements[1].held);
    }

    #[test]
    fn a_failed_step_fails_the_tour_with_its_reason() {
        let mut recorded = Recorded::default();
        let taken = block_on(take(&two_lessons(), &mut recorded, async |_, stage| {
            let refused = Error::because("connect", "there", ErrorKind::NoServer, "refused");
            stage.step("It connects", async { Err(refused) }).await
        }));
        let error = taken.unwrap_err().to_string();
        assert!(
            error.ends_with("lesson 1 on unix, lesson 4 on unix"),
            "{error}"
        );
        let [report, _] = &recorded.reports[..] else {
            panic!("{:?}", recorded.reports)
        };
        assert_eq!(report.steps[0].what, "It connects");
        assert_eq!(report.statements[0].saw, "connect there: refused");
        assert_eq!(report.held, Some(false));
    }

    #[test]
    fn a_tour_whose_observer_fails_ends_at_once() {
        let mut recorded = Recorded {
            closed: true,
            ..Recorded::default()
        };
        let taken = block_on(run(&TourPlan::default(), &mut recorded));
        assert_eq!(taken.unwrap_err().kind(), ErrorKind::OutputClosed);
        assert!(recorded.reports.is_empty());
    }

    #[test]
    fn a_tour_without_families_is_an_error() {
        let plan = TourPlan {
            families: Vec::new(),
            ..TourPlan::default()
        };
        let taken = block_on(run(&plan, &mut Recorded::default()));
        assert_eq!(taken.unwrap_err().kind(), ErrorKind::Other);
    }
}
