//! The services of a server: what it does with one connection.

mod connection_table;
mod converse;
mod dump;
mod exec;
mod forward;
mod idle;
mod orphans;
mod send;
mod threads;

pub use self::connection_table::{ConnectionTable, Totals, Tracked};
pub use self::converse::{Converse, discard, echo, suffix};
pub use self::dump::{DUMP_QUEUE, Dump, DumpSink, DumpStyle};
pub use self::exec::Exec;
pub use self::forward::Forward;
pub use self::idle::IdleLimit;
pub use self::orphans::reap_orphans;
pub use self::send::SendFile;
pub use self::threads::Threads;
pub use crate::loops::{Service, Traffic};

use crate::loops::Connection;
use crate::transfer::Passed;

/// Adds the bytes of a transfer to the counts of `connection`: those from the peer, and those to
/// it.
fn counting(connection: &Connection) -> impl Fn(Passed) + Copy + '_ {
    |Passed { there, back }| {
        connection.set_traffic(Traffic {
            received: there,
            sent: back,
        });
    }
}
