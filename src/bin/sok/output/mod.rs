//! The only module that prints: errors and notes to standard error, results as text, tables, JSON,
//! CSV and pictures, the prompt of a conversation.

pub(crate) mod announcement;
pub(crate) mod bench;
pub(crate) mod check;
mod connection;
pub(crate) mod dump;
mod json;
pub(crate) mod progress;
pub(crate) mod prompt;
mod reports;
pub(crate) mod result_file;
pub(crate) mod standard;
pub(crate) mod status;
pub(crate) mod style;
pub(crate) mod svg;
mod table;
mod talk;
pub(crate) mod tour;
mod ui;

use sok::client::output_error;

pub(crate) use self::ui::Ui;
use crate::args::{Help, Refusal, TalkArgs};
use crate::exit::Exit;

/// Prints the refusal, and returns the exit code.
pub(crate) fn refuse(refusal: &Refusal) -> Exit {
    match refusal {
        Refusal::Help(help) => help_text(help),
        Refusal::Usage { error, json } => {
            let talk = TalkArgs {
                json: *json,
                ..TalkArgs::default()
            };
            Ui::new(&talk, None, false).failed(error);
            Exit::from(error)
        }
    }
}

/// Prints help; a failed write sets the exit code.
fn help_text(help: &Help) -> Exit {
    let Err(error) = help.print().and_then(|()| standard::flush()) else {
        return help.exit();
    };
    let error = output_error(error);
    Ui::new(&TalkArgs::default(), None, false).failed(&error);
    Exit::from(&error)
}
