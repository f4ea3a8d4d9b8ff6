//! The report of a lesson on one family.

use std::fmt;
use std::future::Future;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use sok::address::Family;
use sok::error::{Error, Result};

use super::lesson::Lesson;
use super::recorder::Made;

/// Follows a tour, which continues when `observe` returns.
pub(crate) trait Observer {
    /// Gets the next event.
    ///
    /// # Errors
    /// An error ends the tour.
    fn observe(&mut self, event: Event<'_>) -> impl Future<Output = Result<()>>;
}

/// The events of a tour, in this order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event<'a> {
    /// A lesson begins.
    Begun(Lesson),
    /// It begins on one family.
    On(Family),
    /// It has done a step.
    Step(&'a Step),
    /// It has compared a statement with what happened.
    Statement(&'a Statement),
    /// It is over on this family, or was skipped.
    Ended(&'a LessonReport),
    /// It is over on all families.
    Over,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    /// In words.
    pub(crate) what: String,
    /// The socket calls that did it.
    pub(crate) calls: Vec<Made>,
}

/// What a lesson expects of sockets, compared with what they did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Statement {
    /// What was expected.
    pub(crate) expected: String,
    /// What happened.
    pub(crate) saw: String,
    /// Whether both are equal.
    pub(crate) held: bool,
}

/// A measured value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// Its name in JSON.
    pub(crate) key: &'static str,
    /// Its label in the closing table, if it is shown there.
    pub(crate) label: Option<&'static str>,
    /// The value.
    pub(crate) value: Value,
}

/// The value of a [`Figure`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    /// Words.
    Text(String),
    /// A number of things.
    Count(usize),
    /// Microseconds.
    Micros(f64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(count)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Count(count) => count.fmt(f),
            Self::Micros(micros) => write!(f, "{micros:.1} us"),
        }
    }
}

/// One lesson on one family.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LessonReport {
    /// The number of the lesson.
    #[serde(serialize_with = "number")]
    pub(crate) lesson: Lesson,
    /// Its title.
    pub(crate) title: &'static str,
    /// The family.
    #[serde(serialize_with = "name")]
    pub(crate) family: Family,
    /// Why it was not run: this machine lacks the family.
    pub(crate) skipped: Option<String>,
    /// What it did.
    pub(crate) steps: Vec<Step>,
    /// What it stated.
    pub(crate) statements: Vec<Statement>,
    /// What it measured, as an object.
    #[serde(serialize_with = "figures")]
    pub(crate) measured: Vec<Figure>,
    /// Whether all statements held; `None` if the lesson was skipped.
    pub(crate) held: Option<bool>,
}

impl LessonReport {
    pub(super) const fn new(lesson: Lesson, family: Family) -> Self {
        Self {
            lesson,
            title: lesson.title(),
            family,
            skipped: None,
            steps: Vec::new(),
            statements: Vec::new(),
            measured: Vec::new(),
            held: None,
        }
    }
}

/// The reason why a lesson ends early.
#[derive(Debug)]
pub(super) enum LessonFault {
    /// A step failed.
    Lesson(Error),
    /// The observer failed.
    Observer(Error),
}

impl From<Error> for LessonFault {
    fn from(error: Error) -> Self {
        Self::Lesson(error)
    }
}

// By reference, as serde passes it.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn number<S: Serializer>(lesson: &Lesson, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_u8(lesson.number())
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn name<S: Serializer>(family: &Family, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(family.name())
}

fn figures<S: Serializer>(
    figures: &[Figure],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(figures.len()))?;
    for figure in figures {
        map.serialize_entry(figure.key, &figure.value)?;
    }
    map.end()
}
