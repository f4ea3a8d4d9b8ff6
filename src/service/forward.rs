//! Forwards each connection to a target of any family.

use std::time::Duration;

use tracing::info;

use crate::address::{Address, Target};
use crate::client::{ConnectPlan, connect};
use crate::error::{Error, Kind, Result};
use crate::net::{Peer, Stream};
use crate::service::{Service, Traffic};
use crate::transfer::{End, Engine, Fault, Passed, transfer};

/// Connects to the target anew for each connection, and moves the bytes both ways.
///
/// A target that cannot be reached, and an error of either side, reach the client and the target
/// as a reset, not as a clean end, where their family has one.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Where to; it is resolved anew for each connection.
    pub target: Target,
    /// How it is connected to.
    pub plan: ConnectPlan,
    /// How bytes are moved.
    pub engine: Engine,
    /// After how long without a byte, either way, a connection is given up.
    pub idle_timeout: Option<Duration>,
}

impl Service for Forward {
    async fn serve(&self, near: Stream, peer: &Peer) -> Result<Traffic> {
        let (far, address) = match connect(&self.target, &self.plan).await {
            Ok(connected) => connected,
            Err(error) => {
                near.refuse().await;
                return Err(error);
            }
        };
        let mut passed = Passed::default();
        let moved = transfer(&near, &far, self.engine, self.idle_timeout, &mut passed).await;
        let Passed { there, back } = passed;
        let how = if moved.is_ok() {
            "both ended"
        } else {
            "broken"
        };
        info!(%peer, target = %address, received = there, sent = back, how, "forwarded");
        match moved {
            Ok(()) => Ok(Traffic {
                received: there,
                sent: back,
            }),
            Err(fault) => {
                near.reset();
                far.reset();
                Err(told(fault, peer, &address))
            }
        }
    }
}

fn told(fault: Fault, peer: &Peer, target: &Address) -> Error {
    match fault {
        Fault::Broken(End::Near, operation, source) => Error::new(operation, peer, source),
        Fault::Broken(End::Far, operation, source) => Error::new(operation, target, source),
        Fault::Idle(limit) => {
            let cause = format!("nothing passed, either way, for {limit:?}");
            Error::because("forward", target, Kind::TimedOut, cause)
        }
    }
}
