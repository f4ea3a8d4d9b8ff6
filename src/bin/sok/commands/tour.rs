//! `sok tour`: lessons on sockets, run live.

use sok::error::Result;

use super::descriptors::{self, need};
use super::run::{block_on, until_signal};
use crate::args::TourArgs;
use crate::exit::Exit;
use crate::output::Ui;
use crate::output::tour::Printer;
use crate::tour::{TourPlan, run as take};

pub(crate) fn run(args: TourArgs, ui: Ui) -> Result<Exit> {
    let TourArgs {
        lessons,
        families,
        pause,
    } = args;
    need(descriptors::TOUR, "begin", "the tour")?;
    let whole = TourPlan::default();
    let plan = TourPlan {
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
    let mut printer = Printer::new(ui.is_json(), pause)?;
    // A signal must not leave a temporary directory behind.
    block_on(until_signal(async {
        let taken = take(&plan, &mut printer).await;
        printer.finish()?;
        taken.map(|()| Exit::Done)
    }))
}
