//! Why a connect to a target failed, and whether that is temporary.

use std::fmt;

use nix::Error as E;

use crate::address::Target;
use crate::error::{Error, ErrorKind};

/// One error or several: each address of a name fails separately.
#[derive(Debug)]
pub(super) struct ConnectErrors(Vec<Error>);

impl From<Error> for ConnectErrors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl FromIterator<Self> for ConnectErrors {
    /// The errors of several targets.
    fn from_iter<I: IntoIterator<Item = Self>>(each: I) -> Self {
        Self(each.into_iter().flat_map(|errors| errors.0).collect())
    }
}

impl fmt::Display for ConnectErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self.0.iter().map(Error::to_string).collect();
        f.write_str(&each.join(", "))
    }
}

impl ConnectErrors {
    /// The errors of the addresses of `target`.
    pub(super) fn of(target: &Target, each: Vec<Error>) -> Self {
        if each.is_empty() {
            let cause = "the name has no address";
            return Error::because("resolve", target, ErrorKind::Unresolved, cause).into();
        }
        Self(each)
    }

    /// Whether a later attempt may succeed at one of the addresses.
    pub(super) fn may_pass(&self) -> bool {
        self.0.iter().any(may_pass)
    }

    /// Whether no address has a server, as far as this machine can tell: an unreachable address
    /// says nothing about the others.
    pub(super) fn nobody_is_left(&self) -> bool {
        let is_gone =
            |error: &Error| matches!(error.kind(), ErrorKind::NoServer | ErrorKind::Unresolved);
        let says_nothing =
            |error: &Error| matches!(error.kind(), ErrorKind::Other | ErrorKind::Usage);
        let mut each = self.0.iter();
        self.0.iter().any(is_gone) && each.all(|error| is_gone(error) || says_nothing(error))
    }

    /// Whether each of them is a lack of this machine, which says nothing about the target.
    pub(super) fn are_ours(&self) -> bool {
        self.0.iter().all(is_ours)
    }

    /// Whether the name did not resolve.
    pub(super) fn is_unresolved(&self) -> bool {
        self.0
            .iter()
            .all(|error| error.kind() == ErrorKind::Unresolved)
    }

    /// One error unchanged, several as one error that names each.
    pub(super) fn into_error(mut self, targets: impl fmt::Display) -> Error {
        if self.0.len() == 1 {
            return self.0.remove(0);
        }
        let each: Vec<String> = self
            .0
            .iter()
            .map(|error| format!("{}: {}", error.address(), error.cause()))
            .collect();
        // An unreachable address must not hide that no server listens on the other.
        let nobody_there = |error: &&Error| error.kind() == ErrorKind::NoServer;
        let told = self.0.iter().find(nobody_there).unwrap_or(&self.0[0]);
        let combined = Error::because("connect", targets, told.kind(), each.join(", "));
        match told.hint() {
            Some(hint) => combined.with_hint(hint),
            None => combined,
        }
    }
}

/// Whether it is an error of this machine: descriptors, memory or ports have run out, its own address
/// is in use, or what was requested can never work.
fn is_ours(error: &Error) -> bool {
    matches!(
        error.os_error().map(E::from_raw),
        Some(E::EADDRINUSE | E::EADDRNOTAVAIL | E::EMFILE | E::ENFILE | E::ENOBUFS | E::ENOMEM)
    ) || error.kind() == ErrorKind::Usage
}

/// Whether a connect error is temporary, for `--retry-for` and `wait`. What a person must fix first
/// (a wrong address, a missing permission, a file that is not a socket) is not.
fn may_pass(error: &Error) -> bool {
    match error.kind() {
        // No such file, a stale one, or refused: the server may start.
        ErrorKind::NoServer
        // No answer, or a full backlog: the host may be starting, or the server busy.
        | ErrorKind::TimedOut
        // Reset while connecting: a server that ends, or a proxy whose server has not started.
        | ErrorKind::Broken
        // The name may exist later, as those of containers do.
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
                // Others may release descriptors or memory.
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
