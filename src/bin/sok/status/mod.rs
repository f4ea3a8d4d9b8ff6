//! The status of a server over HTTP: requests are read, and answered with a page. What the pages say is
//! in `output/status.rs`.
//!
//! One request is answered for each connection, which is then closed: that is all that a probe or a
//! scrape needs, and a connection that is not read takes its place only for a while.

mod kept;
mod places;
mod request;
mod response;
mod server;
mod snapshot;

pub(crate) use self::kept::KeptPage;
#[cfg(any(test, fuzzing))]
pub(crate) use self::request::fuzz;
pub(crate) use self::response::{Page, StatusCode};
pub(crate) use self::server::{Counts, PLACES, Pages, StatusService};
pub(crate) use self::snapshot::{LISTED, Snapshot};
