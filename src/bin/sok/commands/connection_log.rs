//! The report of a client's connection.

use sok::address::Address;
use sok::error::{ErrorKind, Result};
use sok::loops::Traffic;
use tokio::time::Instant;
use tracing::info;

/// Reports a connection and its end, as a server does.
pub(crate) struct ConnectionLog<'a> {
    address: &'a Address,
    began: Instant,
}

impl<'a> ConnectionLog<'a> {
    pub(crate) fn connected(address: &'a Address) -> Self {
        info!(%address, "connected");
        Self {
            address,
            began: Instant::now(),
        }
    }

    pub(crate) fn ended<T>(self, traffic: Traffic, done: &Result<T>) {
        let address = self.address;
        let Traffic { received, sent, .. } = traffic;
        let seconds = self.began.elapsed().as_secs_f64();
        match done {
            // The reader of our output has seen enough.
            Err(error) if error.kind() != ErrorKind::OutputClosed => {
                info!(%address, received, sent, seconds, "failed");
            }
            _ => info!(%address, received, sent, seconds, "ended"),
        }
    }
}
