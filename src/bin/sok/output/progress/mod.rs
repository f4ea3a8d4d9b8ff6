//! The progress of a transfer or a measurement, on a line of the terminal that is replaced.
//!
//! No crate is used: they estimate with powers, and loading the mathematics library takes a tenth
//! of the time of a whole `sok call`.

mod meter;
mod words;

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use self::meter::{Meter, mean};
pub(crate) use self::words::Count;
use self::words::Words;
use super::standard;
use super::talk::ReplacedLine;
use super::ui::Ui;
use crate::args::ProgressArg;
use crate::bench::Progress as Measured;

/// The age from which the progress of a transfer is shown: most end before.
const AFTER: Duration = Duration::from_secs(1);
/// The time between two lines.
const BETWEEN: Duration = Duration::from_millis(200);

/// Whether, and when, the progress of a command is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    after: Option<Duration>,
}

impl Progress {
    /// As the options say; by default not if data of the command `shares_terminal` with it.
    pub(crate) fn new(ui: Ui, when: ProgressArg, shares_terminal: bool) -> Self {
        let fits = || !shares_terminal && !ui.logs_objects() && standard::replaces_lines();
        let after = match when {
            _ if ui.is_quiet() => None,
            ProgressArg::Never => None,
            ProgressArg::Always => Some(Duration::ZERO),
            ProgressArg::Auto => fits().then_some(AFTER),
        };
        Self { after }
    }

    /// The age from which a connection is shown, if any is.
    pub(crate) const fn after(self) -> Option<Duration> {
        self.after
    }

    /// The line of a measurement that begins now.
    pub(crate) fn of_measurement(self) -> MeasurementLine {
        MeasurementLine {
            line: self.after.map(|_| ReplacedLine::new()),
            began: Instant::now(),
            drawn: None,
        }
    }

    /// Runs `work` to its end, and shows what `count` returns meanwhile. If the line `stays`, it says
    /// at the end how much it was.
    pub(crate) async fn beside<T>(
        self,
        work: impl Future<Output = T>,
        stays: bool,
        count: impl Fn() -> Count,
    ) -> T {
        let Some(after) = self.after else {
            return work.await;
        };
        let mut line = TransferLine {
            line: ReplacedLine::new(),
            meter: Meter::default(),
            began: Instant::now(),
        };
        let mut work = pin!(work);
        let mut next = after;
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    if stays {
                        line.end(count());
                    }
                    return done;
                }
                () = sleep(next) => next = line.draw(count()),
            }
        }
    }
}

/// The line of a transfer. It is erased after a signal too, when it is dropped.
struct TransferLine {
    line: ReplacedLine,
    meter: Meter,
    began: Instant,
}

impl TransferLine {
    /// Replaces the line, and returns the time until the next one.
    fn draw(&mut self, count: Count) -> Duration {
        let elapsed = self.began.elapsed();
        if count.open == 0 {
            self.meter = Meter::starting(elapsed, count.traffic);
            self.line.clear();
            return AFTER;
        }
        let rates = self.meter.rates(elapsed, count.traffic);
        self.line
            .show(&Words::during(count, rates, elapsed).fitting(columns()));
        BETWEEN
    }

    fn end(&mut self, count: Count) {
        if !self.line.is_shown() {
            return;
        }
        let elapsed = self.began.elapsed();
        let rates = mean(count.traffic, elapsed);
        self.line
            .show(&Words::after(count, rates, elapsed).fitting(columns()));
        self.line.leave();
    }
}

/// The line of a measurement, which is drawn between its slices. It is erased at the end.
pub(crate) struct MeasurementLine {
    line: Option<ReplacedLine>,
    began: Instant,
    drawn: Option<Instant>,
}

impl MeasurementLine {
    pub(crate) fn show(&mut self, now: Measured<'_>) {
        let Some(line) = &mut self.line else { return };
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < BETWEEN) {
            return;
        }
        self.drawn = Some(Instant::now());
        line.show(&Words::measuring(now, self.began.elapsed()).fitting(columns()));
    }
}

/// The columns of standard error.
fn columns() -> usize {
    standard::columns_of_errors().unwrap_or(80)
}
