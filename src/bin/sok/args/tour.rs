//! The arguments of `tour`.

use clap::Args;
use sok::address::Family;

use crate::args::values::{family, lesson};
use crate::tour::Lesson;

#[derive(Debug, Args)]
pub(crate) struct TourArgs {
    /// Run only this lesson, 1 to 9; repeatable
    #[arg(long = "lesson", value_name = "N", value_parser = lesson)]
    pub(crate) lessons: Vec<Lesson>,

    /// Run the lessons on this family only, such as inet6; repeatable
    #[arg(long = "family", value_name = "FAMILY", value_parser = family)]
    pub(crate) families: Vec<Family>,

    /// Wait for Enter after each step
    #[arg(long)]
    pub(crate) pause: bool,
}
