//! Descriptors that a peer sends beside its bytes.

use nix::sys::socket::setsockopt;

use crate::address::Family;
use crate::net::socket::Socket;

mod option {
    use nix::{libc, setsockopt_impl, sockopt_impl};

    /// `SO_PASSRIGHTS` of `asm-generic/socket.h`, Linux 6.16 and later.
    const PASS_RIGHTS: i32 = 83;

    sockopt_impl!(PassRights, SetOnly, libc::SOL_SOCKET, PASS_RIGHTS, bool);
}

/// Has the kernel refuse with `EPERM` what sends descriptors to the connections of a listener
/// (`SCM_RIGHTS`, see `unix(7)`), which inherit it. `false` where the kernel does not know that: it
/// then closes them as they are received.
pub(in crate::net) fn refuse_descriptors(socket: &Socket) -> bool {
    match socket.family() {
        Family::Inet | Family::Inet6 => true,
        Family::Unix => setsockopt(socket, option::PassRights, &false).is_ok(),
    }
}
