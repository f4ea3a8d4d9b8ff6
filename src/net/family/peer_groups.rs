//! The supplementary groups of the process at the other end of a socket.

use std::io;

use nix::Error as E;
use nix::sys::socket::getsockopt;
use nix::{getsockopt_impl, libc, sockopt_impl};
use socket2::Socket;

/// Asks for exactly as many groups as each of these numbers, until one is right.
macro_rules! in_turn {
    ($socket:ident: $($count:literal)+) => {
        $({
            sockopt_impl!(Groups, GetOnly, libc::SOL_SOCKET, libc::SO_PEERGROUPS, [u32; $count]);
            match getsockopt($socket, Groups) {
                Err(E::ERANGE) => {}
                done => return Ok(done?.to_vec()),
            }
        })+
    };
}

/// The most groups that are found. `NGROUPS_MAX` of the kernel is 65536, but few users have more than
/// twenty.
const MOST: usize = 128;

/// The supplementary groups of the peer, as of its `connect(2)`: `SO_PEERGROUPS` of `socket(7)`, Linux
/// 4.13.
///
/// No crate has a safe call for it: the kernel returns as many bytes as there are groups, while the
/// options of `nix` have a fixed size, and it checks that the kernel filled it. With less room the kernel
/// fails with `ERANGE`, and so each size is tried, from none up: one call for each group and one more.
/// `/proc/PID/status` is no substitute: by now the process may have other groups, or the number may be that
/// of another process, and a rule would be decided by them.
///
/// # Errors
/// `ENOPROTOOPT` of a kernel without it, and an error for a process with more than 128 groups.
pub(super) fn peer_groups(socket: &Socket) -> io::Result<Vec<u32>> {
    in_turn! { socket:
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62
        63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92
        93 94 95 96 97 98 99 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116
        117 118 119 120 121 122 123 124 125 126 127 128
    }
    let cause = format!("the process has more than {MOST} groups");
    Err(io::Error::other(cause))
}

#[cfg(test)]
mod tests {
    use nix::unistd::getgroups;
    use socket2::{Domain, Type};

    use super::*;

    #[test]
    fn a_process_has_its_own_groups() {
        let (one, _other) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let own = getgroups().unwrap();
        let own: Vec<u32> = own.into_iter().map(|group| group.as_raw()).collect();
        assert_eq!(peer_groups(&one).unwrap(), own);
    }
}
