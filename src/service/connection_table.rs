//! Keeps a table of the connections that another service serves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::loops::{Connection, Service, Traffic};
use crate::net::Stream;

/// The connections that are open, and the sum of those that were; every clone shows the same.
#[derive(Debug, Clone, Default)]
pub struct ConnectionTable(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    open: BTreeMap<u64, Arc<Connection>>,
    totals: Totals,
}

/// What has passed since the server began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// The connections accepted.
    pub connections: u64,
    /// Those of them that ended with an error.
    pub failed: u64,
    /// The bytes that passed, those of open connections included.
    pub traffic: Traffic,
}

impl ConnectionTable {
    /// The totals, and the connections that are open now, oldest first.
    #[must_use]
    pub fn snapshot(&self) -> (Totals, Vec<Arc<Connection>>) {
        self.with(|entries| {
            let open: Vec<_> = entries.open.values().cloned().collect();
            let mut totals = entries.totals;
            open.iter().for_each(|one| totals.traffic += one.traffic());
            (totals, open)
        })
    }

    fn with<T>(&self, read: impl FnOnce(&mut Entries) -> T) -> T {
        // The entries are right between any two statements of ours: a panic leaves nothing half done.
        read(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Serves as another service does, and keeps a [`ConnectionTable`] of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Tracked<S> {
    /// Where the connections are found.
    pub table: ConnectionTable,
    /// What serves them.
    pub service: S,
}

impl<S: Service> Tracked<S> {
    /// Keeps `table` of the connections that `service` serves.
    pub const fn new(table: ConnectionTable, service: S) -> Self {
        Self { table, service }
    }
}

impl<S: Service> Service for Tracked<S> {
    async fn serve(&self, stream: Stream, connection: &Arc<Connection>) -> Result<()> {
        let mut entry = Entry {
            table: &self.table,
            connection,
            failed: true,
        };
        self.table.with(|entries| {
            entries.totals.connections += 1;
            entries.open.insert(connection.id(), Arc::clone(connection));
        });
        let served = self.service.serve(stream, connection).await;
        entry.failed = served.is_err();
        served
    }
}

/// A connection in the table, which leaves it when its service ends or is cut off.
struct Entry<'a> {
    table: &'a ConnectionTable,
    connection: &'a Connection,
    failed: bool,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.table.with(|entries| {
            entries.open.remove(&self.connection.id());
            entries.totals.failed += u64::from(self.failed);
            entries.totals.traffic += self.connection.traffic();
        });
    }
}
