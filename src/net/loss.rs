//! Errors that concern one message, not its connection.

use std::io;

use super::rights::is_not_passed;
use super::stream::Stream;

impl Stream {
    /// Whether its peer is connected, so that it learns when this end closes or fails. A datagram
    /// socket, or a session of one, has only the name of its peer.
    pub(crate) fn has_connection(&self) -> bool {
        self.socket_type().has_connection()
    }

    /// Takes the pending error of its socket, such as a refusal of a datagram.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket().take_error()
    }

    /// Whether an error of a send or a receive means that one message was lost, while others may
    /// pass. A connection is broken by an error; datagrams have none, unless nobody takes them.
    pub(crate) fn is_loss(&self, error: &io::Error) -> bool {
        use nix::Error as E;
        if self.has_connection() {
            return false;
        }
        match error.raw_os_error().map(E::from_raw) {
            None => error.kind() == io::ErrorKind::InvalidData || is_not_passed(error),
            Some(known) => matches!(
                known,
                E::EMSGSIZE
                    | E::ENOBUFS
                    | E::ENOMEM
                    | E::EPERM
                    | E::EACCES
                    | E::EHOSTUNREACH
                    | E::EHOSTDOWN
                    | E::ENETUNREACH
                    | E::ENETDOWN
                    | E::EPROTO
                    | E::ENOPROTOOPT
            ),
        }
    }
}
