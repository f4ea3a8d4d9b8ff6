//! The services of a server: what it does with one connection.
//!
//! The services here can be wrapped by others: [`IdleLimit`], [`Lifetime`] and [`Tracked`] are such. A service of
//! one's own serves a connection until its end:
//!
//! ```
//! use std::sync::Arc;
//!
//! use sok::loops::{Connection, Limits, Service, Stop, connection_loop};
//! use sok::net::{ConnectOptions, ListenOptions, Listener, Stream};
//!
//! /// Says to each client its own address.
//! struct WhoAmI;
//!
//! impl Service for WhoAmI {
//!     async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> sok::Result<()> {
//!         let peer = &connection.peer().address;
//!         let sent = stream.send_all(peer.to_string().as_bytes()).await;
//!         sent.map_err(|error| sok::Error::new("send", peer, error))
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let listener = Listener::bind(&"inet:127.0.0.1:0".parse()?, &ListenOptions::default())?;
//! let server = listener.local_addr().clone();
//! tokio::spawn(connection_loop(vec![listener], WhoAmI, Limits::default(), Stop::new()));
//!
//! let client = Stream::connect(&server, &ConnectOptions::default()).await?;
//! let mut said = [0; 64];
//! let count = client.receive(&mut said).await?.count();
//! assert_eq!(&said[..count], client.local_addr()?.to_string().as_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer_service;
mod connection_table;
mod dump;
mod exec;
mod forward;
mod group;
mod idle;
mod lifetime;
mod orphans;
mod send;
mod threads;

pub use self::answer_service::{AnswerService, discard, echo, suffix};
pub use self::connection_table::{ConnectionTable, Totals, Tracked};
pub use self::dump::{DUMP_QUEUE, Dump, DumpSink, DumpStyle};
pub use self::exec::{Exec, ExecEnd};
pub use self::forward::Forward;
pub use self::group::ProcessGroup;
pub use self::idle::IdleLimit;
pub use self::lifetime::Lifetime;
pub use self::orphans::{Awaited, reap_orphans, spawn};
pub use self::send::SendFile;
pub use self::threads::Threads;
pub use crate::loops::{Service, Traffic};

use std::io;

use crate::error::{Error, ErrorKind};
use crate::loops::Connection;
use crate::net::is_not_passed;
use crate::transfer::Passed;

/// The failure of `connection` in `operation`, and what to do about it.
fn broken(operation: &'static str, connection: &Connection, source: io::Error) -> Error {
    about_message(Error::new(operation, connection.peer(), source))
}

/// The same error, with what to do about a message that cannot pass.
fn about_message(error: Error) -> Error {
    use io::ErrorKind as E;
    let source = error.io_error();
    let hint = match source.kind() {
        _ if is_not_passed(source) => "use --descriptors refuse, or drop to go on without them",
        E::InvalidData => "raise --max-message",
        E::InvalidInput if source.raw_os_error().is_none() => "use --framing length",
        E::FileTooLarge if source.raw_os_error().is_none() => "send smaller messages",
        E::QuotaExceeded => "raise --max-memory",
        _ => return error,
    };
    match error.kind() {
        // The message is at fault, not the request of the user.
        ErrorKind::Usage => error.with_kind(ErrorKind::Other).with_hint(hint),
        _ => error.with_hint(hint),
    }
}

/// Adds the bytes of a transfer to the counts of `connection`: those from the peer, and those to
/// it.
fn counting(connection: &Connection) -> impl Fn(Passed) + Copy + '_ {
    |Passed {
         near_to_far,
         far_to_near,
     }| {
        connection.set_traffic(near_to_far, far_to_near);
    }
}
