//! `sok activate`: keeps sockets open while the program that serves them starts, ends and starts again.

mod due;
mod pacing;
mod run;
mod signals;
mod stopping;
mod supervisor;

pub(crate) use self::signals::Signals;
pub(crate) use self::supervisor::{Plan, supervise};
