//! A connection that exists already.

use std::sync::{Arc, Mutex, PoisonError};

use crate::address::{Address, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::net::Stream;

/// A connection that another program made, for the one client that takes it; clones share it.
#[derive(Debug, Clone)]
pub struct GivenConnection(Arc<Mutex<Option<(Stream, Address)>>>);

impl GivenConnection {
    /// The connection with the peer at `address`.
    #[must_use]
    pub fn new(stream: Stream, address: Address) -> Self {
        Self(Arc::new(Mutex::new(Some((stream, address)))))
    }

    /// The connection, the first time.
    pub(super) fn take(&self, target: &Target) -> Result<(Stream, Address)> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| {
            let cause = "this connection was inherited, and another client has it";
            Error::because("connect", target, ErrorKind::Other, cause)
        })
    }
}
