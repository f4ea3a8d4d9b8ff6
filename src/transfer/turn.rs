//! A turn of one direction, whose state is Running, then ShuttingDown, then Done.

use std::io;

use super::Side;

/// The maximum of bytes in one turn, before other connections get theirs.
pub(super) const TURN: usize = 1 << 20;

/// The end that failed, as seen from this direction, the operation, and the error.
pub(super) type EndFault = (Side, &'static str, io::Error);

#[derive(Debug)]
pub(super) enum State {
    Running,
    ShuttingDown,
    Done,
}
