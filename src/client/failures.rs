//! Why a target could not be connected to, and whether that may pass.

use std::fmt;

use nix::Error as E;

use crate::address::Target;
use crate::error::{Error, ErrorKind};

/// One failure or several: a name may have several addresses, and each of them fails on its own.
#[derive(Debug)]
pub(super) struct ConnectErrors(Vec<Error>);

impl From<Error> for ConnectErrors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConnectErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self.0.iter().map(Error::to_string).collect();
        f.write_str(&each.join(", "))
    }
}

impl ConnectErrors {
    /// The failure of each address of `target`.
    pub(super) fn of(target: &Target, each: Vec<Error>) -> Self {
        if each.is_empty() {
            let cause = "the name has no address";
            return Error::because("resolve", target, ErrorKind::Unresolved, cause).into();
        }
        Self(each)
    }

    /// Whether a later try may succeed, at one of the addresses at least.
    pub(super) fn may_pass(&self) -> bool {
        self.0.iter().any(may_pass)
    }

    /// Whether no server is left at any address, as far as this machine can tell: an address that it
    /// cannot reach says nothing of the others.
    pub(super) fn nobody_is_left(&self) -> bool {
        let is_gone =
            |error: &Error| matches!(error.kind(), ErrorKind::NoServer | ErrorKind::Unresolved);
        let says_nothing =
            |error: &Error| matches!(error.kind(), ErrorKind::Other | ErrorKind::Usage);
        let mut each = self.0.iter();
        self.0.iter().any(is_gone) && each.all(|error| is_gone(error) || says_nothing(error))
    }

    /// Whether the name did not resolve.
    pub(super) fn is_unresolved(&self) -> bool {
        self.0
            .iter()
            .all(|error| error.kind() == ErrorKind::Unresolved)
    }

    /// One failure as it is, several as one that names each.
    pub(super) fn into_error(mut self, target: &Target) -> Error {
        if self.0.len() == 1 {
            return self.0.remove(0);
        }
        let each: Vec<String> = self
            .0
            .iter()
            .map(|error| format!("{}: {}", error.address(), error.cause()))
            .collect();
        // An address that this machine cannot reach must not hide that nobody listens on the other.
        let nobody_there = |error: &&Error| error.kind() == ErrorKind::NoServer;
        let told = self.0.iter().find(nobody_there).unwrap_or(&self.0[0]);
        let combined = Error::because("connect", target, told.kind(), each.join(", "));
        match told.hint() {
            Some(hint) => combined.with_hint(hint),
            None => combined,
        }
    }
}

/// Whether a failure to connect may pass, for `--retry-for` and for `wait` alike. What a person has
/// to mend first (a wrong address, a missing permission, a file that is no socket) does not.
fn may_pass(error: &Error) -> bool {
    match error.kind() {
        // No such file, a stale one, or refused: the server may start.
        ErrorKind::NoServer
        // No answer, or a full backlog: the host may be starting, or the server busy.
        | ErrorKind::TimedOut
        // Reset while connecting: a server that ends, or a proxy whose server is not there yet.
        | ErrorKind::Broken
        // The host may be known to the name server later, as containers are.
        | ErrorKind::Unresolved => true,
        ErrorKind::Other => matches!(
            error.os_error().map(E::from_raw),
            Some(
                // No route, or the link is down: the network may come up.
                E::ENETUNREACH
                | E::EHOSTUNREACH
                | E::ENETDOWN
                | E::EHOSTDOWN
                // Our own address is not assigned yet, or no port of it is free.
                | E::EADDRNOTAVAIL
                // Others may give descriptors or memory back.
                | E::EMFILE
                | E::ENFILE
                | E::ENOBUFS
                | E::ENOMEM
            )
        ),
        ErrorKind::Usage
        | ErrorKind::Denied
        | ErrorKind::InUse
        | ErrorKind::OutputClosed
        | ErrorKind::CannotRun
        | ErrorKind::NoProgram => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn failure(errno: E) -> Error {
        let source = io::Error::from_raw_os_error(errno as i32);
        Error::new("connect", "inet:127.0.0.1:1", source)
    }

    #[test]
    fn what_may_pass_is_what_no_person_has_to_mend() {
        let target = Target::parse("name:1").unwrap();
        for errno in [
            E::ECONNREFUSED,
            E::ENOENT,
            E::ETIMEDOUT,
            E::ECONNRESET,
            E::ENETUNREACH,
            E::EHOSTUNREACH,
            E::EADDRNOTAVAIL,
            E::EMFILE,
        ] {
            assert!(ConnectErrors::from(failure(errno)).may_pass(), "{errno}");
            let also_never = ConnectErrors::of(&target, vec![failure(E::EACCES), failure(errno)]);
            assert!(also_never.may_pass(), "{errno}");
        }
        for errno in [E::EACCES, E::EADDRINUSE, E::EPROTOTYPE, E::ENOTSOCK] {
            assert!(!ConnectErrors::from(failure(errno)).may_pass(), "{errno}");
        }
        assert!(ConnectErrors::of(&target, Vec::new()).may_pass());
        let usage = Error::because("connect", &target, ErrorKind::Usage, "wrong");
        assert!(!ConnectErrors::from(usage).may_pass());
    }
}
