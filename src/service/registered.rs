//! Keeps a register of the connections that another service serves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::loops::{Connection, Service, Traffic};
use crate::net::Stream;

/// The connections that are open, and the sum of those that were; every clone shows the same.
#[derive(Debug, Clone, Default)]
pub struct Register(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    open: BTreeMap<u64, Arc<Connection>>,
    totals: Totals,
}

/// What has passed since the server began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// The connections accepted.
    pub connections: u64,
    /// Those of them that ended with an error.
    pub failed: u64,
    /// The bytes that passed, those of open connections included.
    pub traffic: Traffic,
}

impl Register {
    /// The totals, and the connections that are open now, oldest first.
    #[must_use]
    pub fn snapshot(&self) -> (Totals, Vec<Arc<Connection>>) {
        self.with(|books| {
            let open: Vec<_> = books.open.values().cloned().collect();
            let mut totals = books.totals;
            open.iter().for_each(|one| totals.traffic += one.traffic());
            (totals, open)
        })
    }

    fn with<T>(&self, read: impl FnOnce(&mut Books) -> T) -> T {
        // The books are right between any two statements of ours: a panic leaves nothing half done.
        read(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Serves as another service does, and keeps a [`Register`] of it.
#[derive(Debug, Clone)]
pub struct Registered<S> {
    /// Where the connections are found.
    pub register: Register,
    /// What serves them.
    pub service: S,
}

impl<S: Service> Service for Registered<S> {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        let mut entry = Entry {
            register: &self.register,
            connection,
            failed: true,
        };
        self.register.with(|books| {
            books.totals.connections += 1;
            books.open.insert(connection.id(), Arc::clone(connection));
        });
        let served = self.service.serve(stream, connection).await;
        entry.failed = served.is_err();
        served
    }
}

/// A connection in the register, which leaves it when its service ends or is cut off.
struct Entry<'a> {
    register: &'a Register,
    connection: &'a Connection,
    failed: bool,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.register.with(|books| {
            books.open.remove(&self.connection.id());
            books.totals.failed += u64::from(self.failed);
            books.totals.traffic += self.connection.traffic();
        });
    }
}
