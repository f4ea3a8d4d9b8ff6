//! A socket call, read back from its report.

use std::fmt;

use tracing::field::{Field, Visit};

/// A socket call as it was made: what an event of [`SOCKET_CALLS`](super::SOCKET_CALLS) tells. It is
/// filled by recording the event into it.
///
/// It is printed as `AF_UNIX  connect(7, unix:/tmp/s.sock) = 0  12us`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SocketCall {
    /// The kernel's name of the family: `AF_UNIX`.
    pub family: String,
    /// The name of the call: `connect`.
    pub call: String,
    /// Its arguments, with commas.
    pub arguments: String,
    /// What it returned; after `-1` the error.
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
