//! A socket call, parsed from its trace event.

use std::fmt;

use tracing::field::{Field, Visit};

/// A socket call, as an event of [`SOCKET_CALLS`](super::SOCKET_CALLS) reports it. Record the event
/// into it to fill it.
///
/// Displays as `AF_UNIX connect(7, unix:/tmp/s.sock) = 0 12us`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SocketCall {
    /// The kernel's name of the family: `AF_UNIX`.
    pub family: String,
    /// The name of the call: `connect`.
    pub call: String,
    /// Its arguments, separated by commas.
    pub arguments: String,
    /// Its result; the error follows `-1`.
    pub result: String,
    /// How long it took, in microseconds.
    pub micros: u64,
}

impl fmt::Display for SocketCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            family,
            call,
            arguments,
            result,
            micros,
        } = self;
        write!(f, "{family:<8} {call}({arguments}) = {result}  {micros}us")
    }
}

impl Visit for SocketCall {
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        let place = match field.name() {
            "family" => &mut self.family,
            "call" => &mut self.call,
            "arguments" => &mut self.arguments,
            "result" => &mut self.result,
            _ => return,
        };
        value.clone_into(place);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "micros" {
            self.micros = value;
        }
    }
}
