//! The argument that says when the progress is shown.

use clap::{Args, ValueEnum};

/// When the progress is shown.
#[derive(Debug, Args)]
pub(crate) struct ProgressArgs {
    /// When to show the progress on standard error: rate, amount and time left [default: auto]
    // Beside --quiet, under no heading of what it is flattened into.
    #[arg(long, value_enum, value_name = "WHEN", help_heading = None::<&str>, display_order = 904)]
    progress: Option<ProgressArg>,
}

impl ProgressArgs {
    /// When it is shown.
    pub(crate) fn when(&self) -> ProgressArg {
        self.progress.unwrap_or_default()
    }

    /// The option, if it was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        self.progress.map(|_| "--progress")
    }
}

/// When progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressArg {
    /// On a terminal without data on it, after a second
    #[default]
    Auto,
    /// At once, wherever standard error goes
    Always,
    /// Not at all
    Never,
}
