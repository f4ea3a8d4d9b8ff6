//! The client's side: connect, exchange streams, make one call, wait for
//! servers.
//!
//! ```
//! use sok::client::{CallOptions, ConnectPlan, Counter, Request, call, connect};
//! # use sok::loops::{Framing, Limits, MessageFormat, Stop, connection_loop};
//! # use sok::net::{ListenOptions, Listener};
//! # use sok::service::{AnswerService, suffix};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let listener = Listener::bind(&"unix:@".parse()?, &ListenOptions::default())?;
//! # let server = listener.local_addr().clone().into();
//! # let lines = MessageFormat { framing: Framing::Line, ..MessageFormat::default() };
//! # let service = AnswerService::new(lines, suffix(b", world".to_vec()));
//! # tokio::spawn(connection_loop(vec![listener], service, Limits::default(), Stop::new()));
//! // `server` is a target: what a person typed, such as `localhost:8082`.
//! let (stream, address) = connect(&server, &ConnectPlan::default()).await?;
//! let (request, options) = (Request::new("hello"), CallOptions::default());
//! let mut reply = Vec::new();
//! call(&stream, &address, request, options, &mut reply, &Counter::default()).await?;
//! assert_eq!(reply, b"hello, world\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod call;
mod connect;
mod conversation;
mod counter;
mod exchange;
mod failures;
mod race;
mod retry;
mod shown;
mod wait;
mod waiting;

use std::time::Duration;

pub use self::call::{CallOptions, Request, Until, call};
pub use self::connect::ConnectPlan;
pub use self::connect::resolve;
pub use self::conversation::{Conversation, LineSource};
pub use self::counter::Counter;
pub use self::exchange::{ExchangeOptions, exchange};
#[cfg(any(test, fuzzing))]
pub(crate) use self::shown::fuzz as fuzz_shown;
pub use self::wait::{WaitPlan, wait};
pub use self::waiting::{WaitQueue, connect};
use crate::error::{Error, ErrorKind};

/// After the peer ends, input that pauses this long is not sent.
const QUIET: Duration = Duration::from_millis(100);

/// The error of a write to our output, which may be closed.
pub fn output_error(source: std::io::Error) -> Error {
    let closed = source.kind() == std::io::ErrorKind::BrokenPipe;
    let error = Error::new("write", "standard output", source);
    error.with_kind(if closed {
        ErrorKind::OutputClosed
    } else {
        ErrorKind::Other
    })
}
