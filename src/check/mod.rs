//! What this host's families really do, and who serves an address: each answer is tried, not
//! looked up. Nothing here prints.

mod address;
mod basics;
mod host;
mod listener;
mod local;
mod network;
mod report;
mod scene;

pub use self::address::{Answer, Served, check_address};
pub use self::host::check_host;
pub use self::listener::Process;
#[cfg(any(test, fuzzing))]
pub(crate) use self::listener::fuzz as fuzz_proc_rows;
pub use self::report::{Cell, Column, HostReport, Outcome};
