//! An open connection in JSON.

use serde::Serialize;
use sok::loops::{Connection, Traffic};

/// An open connection, in the order of its fields.
#[derive(Debug, Serialize)]
pub(super) struct OpenConnection {
    connection: u64,
    peer: String,
    pid: Option<i32>,
    uid: Option<u32>,
    gid: Option<u32>,
    forwarded_to: Option<String>,
    received: u64,
    sent: u64,
    undelivered: u64,
    seconds: f64,
}

impl From<&Connection> for OpenConnection {
    fn from(connection: &Connection) -> Self {
        let Traffic {
            received,
            sent,
            undelivered,
        } = connection.traffic();
        let process = connection.peer().credentials;
        Self {
            connection: connection.id(),
            peer: connection.peer().address.to_string(),
            pid: process.map(|process| process.pid),
            uid: process.map(|process| process.uid),
            gid: process.map(|process| process.gid),
            forwarded_to: connection.forwarded_to().map(ToString::to_string),
            received,
            sent,
            undelivered,
            seconds: connection.age().as_secs_f64(),
        }
    }
}
