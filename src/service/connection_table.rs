//! A table of the connections of a service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::access::Access;
use crate::error::Result;
use crate::loops::{Connection, Service, Traffic};
use crate::net::Stream;

/// The open connections, and the totals of all; clones share the table.
#[derive(Debug, Clone, Default)]
pub struct ConnectionTable {
    entries: Arc<Mutex<Entries>>,
    access: Access,
    /// A connection has begun or ended.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Entries {
    open: BTreeMap<u64, Arc<Connection>>,
    totals: Totals,
}

/// The totals since the server started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// The connections served.
    pub connections: u64,
    /// The connections refused, see [`Access::refused`].
    pub refused: u64,
    /// The connections that ended with an error.
    pub failed: u64,
    /// The bytes of all connections, including the open ones.
    pub traffic: Traffic,
}

impl ConnectionTable {
    /// A table of the connections that `access` admits, whose refusals are in its totals.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self {
            access,
            ..Self::default()
        }
    }

    /// The totals, and the open connections, oldest first.
    #[must_use]
    pub fn snapshot(&self) -> (Totals, Vec<Arc<Connection>>) {
        let (totals, _, open) = self.oldest(usize::MAX);
        (totals, open)
    }

    /// The connections served so far; the open ones are not visited for it.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.with(|entries| entries.totals.connections)
    }

    /// The totals, the number of open connections, and at most `most` of them, oldest first. Meanwhile
    /// no connection begins or ends.
    #[must_use]
    pub fn oldest(&self, most: usize) -> (Totals, usize, Vec<Arc<Connection>>) {
        self.with(|entries| {
            let mut totals = entries.totals;
            let mut oldest = Vec::with_capacity(entries.open.len().min(most));
            for connection in entries.open.values() {
                totals.traffic += connection.traffic();
                if oldest.len() < most {
                    oldest.push(Arc::clone(connection));
                }
            }
            totals.refused = self.access.refused();
            (totals, entries.open.len(), oldest)
        })
    }

    /// Waits until a connection has begun or ended since the last call. Only one task may wait.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn with<T>(&self, read: impl FnOnce(&mut Entries) -> T) -> T {
        let entries = self.entries.lock();
        // The entries are consistent after each statement, so a panic leaves no partial update.
        read(&mut entries.unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Entries)) {
        self.with(change);
        self.changed.notify_one();
    }
}

/// Wraps a service, and keeps a [`ConnectionTable`] of its connections.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Tracked<S> {
    /// The table.
    pub table: ConnectionTable,
    /// The wrapped service.
    pub service: S,
}

impl<S: Service> Tracked<S> {
    /// Keeps `table` of the connections that `service` serves.
    pub const fn new(table: ConnectionTable, service: S) -> Self {
        Self { table, service }
    }
}

impl<S: Service> Service for Tracked<S> {
    // An `async fn` would hold its arguments twice for each connection.
    #[allow(clippy::manual_async_fn)]
    fn serve(
        &self,
        stream: Stream,
        connection: &Arc<Connection>,
    ) -> impl Future<Output = Result<()>> + Send {
        async move {
            let mut entry = Entry {
                table: &self.table,
                connection,
                failed: true,
            };
            self.table.change(|entries| {
                entries.totals.connections += 1;
                entries.open.insert(connection.id(), Arc::clone(connection));
            });
            let served = self.service.serve(stream, connection).await;
            entry.failed = served.is_err();
            served
        }
    }
}

/// A connection in the table, removed when its service ends or is cut off.
struct Entry<'a> {
    table: &'a ConnectionTable,
    connection: &'a Connection,
    failed: bool,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.table.change(|entries| {
            entries.open.remove(&self.connection.id());
            entries.totals.failed += u64::from(self.failed);
            entries.totals.traffic += self.connection.traffic();
        });
    }
}
