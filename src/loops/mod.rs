//! The two loops of a server, independent of the family: [`connection_loop`] accepts,
//! [`communication_loop`] receives, decodes, answers and sends.

mod answer;
mod buffers;
mod communication;
mod connection;
mod failures;
mod framing;
mod service;
mod signals;
mod stop;

pub use self::answer::{Answer, Reply};
pub use self::communication::communication_loop;
pub use self::connection::{Limits, LoopTotals, connection_loop};
pub use self::framing::{Framing, MessageDecoder, MessageFormat};
pub use self::service::{Connection, Service, Traffic};
pub use self::signals::{EndSignals, outlive_file_limit};
pub use self::stop::{OnHangup, Stop};
pub use crate::memory::MemoryLimit;
