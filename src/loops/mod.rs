//! The two loops of a server, independent of the family: [`connection_loop`] accepts,
//! [`communication_loop`] receives, decodes, answers and sends.
//!
//! Where messages end in a stream of bytes is said by a [`MessageFormat`] and found by a
//! [`MessageDecoder`], which can be used without the loops:
//!
//! ```
//! use sok::loops::{Framing, MemoryLimit, MessageDecoder, MessageFormat};
//!
//! let lines = MessageFormat { framing: Framing::Line, ..MessageFormat::default() };
//! let mut decoder = MessageDecoder::new(lines, MemoryLimit::default());
//! // Two receives, and a line that is cut between them.
//! let mut messages = Vec::new();
//! for mut received in [&b"one\ntw"[..], &b"o\n"[..]] {
//!     while let Some(message) = decoder.next_message(&mut received)? {
//!         messages.push(String::from_utf8_lossy(message).into_owned());
//!     }
//! }
//! assert_eq!(messages, ["one", "two"]);
//! decoder.finish()?; // Nothing is left unfinished.
//! # Ok::<(), std::io::Error>(())
//! ```

mod accepting;
mod admission;
mod answer;
mod arrivals;
mod buffers;
mod communication;
mod connection;
mod connection_errors;
mod framing;
mod service;
mod signals;
mod sources;
mod stop;

pub use self::admission::REFUSED_OPEN;
pub use self::answer::{Answer, Reply};
pub use self::arrivals::AcceptProxy;
pub(crate) use self::buffers::Buffers;
pub use self::communication::communication_loop;
pub use self::connection::{Limits, LoopTotals, connection_loop};
pub use self::framing::{Framing, MessageDecoder, MessageFormat};
pub use self::service::{Connection, Service, Traffic};
pub use self::signals::{EndSignals, outlive_file_limit};
pub use self::sources::Sources;
pub use self::stop::{OnHangup, Stop};
pub use crate::memory::MemoryLimit;
