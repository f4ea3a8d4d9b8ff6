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
mod candidate;
mod connect;
mod conversation;
mod counter;
mod exchange;
mod failures;
mod given;
mod leave;
mod message_call;
mod race;
mod request;
mod retry;
mod shown;
mod targets;
mod wait;
mod waiting;

use std::io;
use std::time::Duration;

use tracing::warn;

pub use self::call::call;
pub use self::candidate::TargetState;
pub use self::connect::ConnectPlan;
pub use self::connect::resolve;
pub use self::conversation::{Conversation, LineSource};
pub use self::counter::Counter;
pub use self::exchange::{ExchangeEnds, ExchangeOptions, Way, exchange};
pub use self::given::GivenConnection;
pub use self::request::{CallOptions, Request, Until};
#[cfg(any(test, fuzzing))]
pub(crate) use self::shown::fuzz as fuzz_shown;
pub use self::targets::{Connected, Targets};
pub use self::wait::{WaitPlan, wait};
pub use self::waiting::{WaitQueue, connect};
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};
use crate::net::connect_error;

/// After the peer ends, input that pauses this long is not sent.
const QUIET: Duration = Duration::from_millis(100);

/// Whether a message was too large to be sent or received. On a datagram socket that concerns no
/// other message.
fn is_too_large(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge
    )
}

/// The error of a send or receive on a connected socket.
fn passing_error(operation: &'static str, address: &Address, source: io::Error) -> Error {
    match source.kind() {
        // Only a datagram is refused after the connect: no socket has the address.
        io::ErrorKind::ConnectionRefused => connect_error(address, source),
        io::ErrorKind::InvalidData if operation == "receive" => {
            Error::new(operation, address, source).with_hint("raise --max-message")
        }
        _ => Error::new(operation, address, source),
    }
}

/// Reports a message that was too large, and goes on.
fn report_lost(address: &Address, error: &io::Error) {
    warn!(%address, %error, "a message was lost");
}

/// The result of an exchange in which so many messages were lost.
fn without_loss(lost: u64, address: &Address) -> Result<()> {
    match lost {
        0 => Ok(()),
        _ => {
            let cause = format!("messages lost: {lost}");
            Err(Error::because("exchange", address, ErrorKind::Other, cause))
        }
    }
}

/// The error of a write to our output, which may be closed.
pub fn output_error(source: io::Error) -> Error {
    let closed = source.kind() == io::ErrorKind::BrokenPipe;
    let error = Error::new("write", "standard output", source);
    error.with_kind(if closed {
        ErrorKind::OutputClosed
    } else {
        ErrorKind::Other
    })
}
