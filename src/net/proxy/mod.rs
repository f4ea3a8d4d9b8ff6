//! The PROXY protocol of HAProxy, versions 1 and 2: a header in front of the data of a connection, in
//! which a proxy says who its client is. See
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>.
//!
//! The crate `ppp` parses the addresses. What it does otherwise than specified is done here: see
//! `v1.rs` and `v2.rs`.

mod codec;
mod fault;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod proxied;
mod receive;
mod send;
mod v1;
mod v2;

pub use self::codec::ProxyVersion;
pub use self::fault::{HeaderFault, LONGEST_HEADER};
#[cfg(any(test, fuzzing))]
pub(crate) use self::fuzz::fuzz;
pub use self::proxied::Proxied;
