//! Lesson 8: the families side by side, as measured.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use sok::address::Address;
use sok::error::{Error, ErrorKind, Result};
use sok::loops::MessageFormat;
use sok::net::{ListenOptions, Peer};
use sok::service::{AnswerService, echo};

use super::Played;
use crate::tour::actors::{Client, SERVER, Server, Setup, listen};
use crate::tour::recorder::{done_by, unrecorded};
use crate::tour::report::{Observer, Value};
use crate::tour::stage::Stage;

/// The round trips before the measurement, and those that count.
const WARM_UP: usize = 50;
const ROUND_TRIPS: usize = 500;

pub(super) async fn play(stage: &mut Stage<'_, impl Observer>) -> Played {
    let facts = stage.family().facts();
    let address = stage.address();
    let of_name = address.kind().facts();
    let starting = Server::start(
        &address,
        Setup::default(),
        AnswerService::new(MessageFormat::default(), echo),
    );
    let server = stage.step("The server listens", starting).await?;
    let address = server.address().clone();
    stage.compared("address", "address", address.to_string());

    let mode = mode(&address);
    let may_connect = match mode {
        Some(mode) => format!("{} ({mode:o})", of_name.may_connect),
        None => of_name.may_connect.to_owned(),
    };
    stage.compared("may_connect", "who may connect", may_connect);
    // Only a name in the file system outlives its socket.
    let wanted = of_name
        .outlives_socket
        .then_some(ListenOptions::default().mode);
    stage
        .expect(
            format!("the address is protected by: {}", guard(wanted)),
            format!("the address is protected by: {}", guard(mode)),
        )
        .await?;

    let (client, peer) = stage
        .step("A client connects", async {
            let client = Client::connect("client", server.address()).await?;
            server.has_accepted(1).await?;
            Ok((client, server.progress().accepted.remove(0)))
        })
        .await?;
    stage.compared("peer", "the server learns", identity(&peer));
    stage
        .expect(
            match facts.peer_is_process {
                true => format!("the server learns: pid {}", std::process::id()),
                false => format!("the server learns: {}", own_address(&client)?),
            },
            format!("the server learns: {}", identity(&peer)),
        )
        .await?;

    let what = format!("{ROUND_TRIPS} round trips, both ends on one thread (calls not shown)");
    let micros = stage.step(what, round_trips(&client)).await?;
    stage.compared(
        "round_trip_micros",
        "round trip (median)",
        Value::Micros(micros),
    );

    stage
        .step("The client closes, and the server stops", async {
            client.leave();
            server.has_ended(1).await?;
            server.finish().await
        })
        .await?;

    let address = stage.address();
    let mut simple = ListenOptions::default();
    simple.reuse_address = false;
    simple.remove_file = false;
    let again = stage
        .step(
            "A server without clients closes, and another one binds",
            async {
                let first = listen(&address, &simple)?;
                let address = first.local_addr().clone();
                done_by(SERVER, || drop(first));
                match listen(&address, &simple) {
                    Ok(second) => {
                        done_by(SERVER, || drop(second));
                        Ok(false)
                    }
                    Err(error) if error.kind() == ErrorKind::InUse => Ok(true),
                    Err(error) => Err(error),
                }
            },
        )
        .await?;
    stage.compared("lifetime", "the name after close", lifetime(again));
    stage
        .expect(
            format!(
                "the name of a closed socket: {}",
                lifetime(of_name.outlives_socket)
            ),
            format!("the name of a closed socket: {}", lifetime(again)),
        )
        .await?;
    stage.compared("reach", "reach", facts.reach);
    Ok(())
}

/// The mode of the socket file, if there is one.
fn mode(address: &Address) -> Option<u32> {
    let metadata = fs::metadata(address.as_path()?).ok()?;
    Some(metadata.permissions().mode() & 0o777)
}

fn guard(mode: Option<u32>) -> String {
    mode.map_or_else(
        || "nothing on this host".to_owned(),
        |mode| format!("the mode of the file, {mode:o}"),
    )
}

fn identity(peer: &Peer) -> String {
    match peer.credentials {
        Some(process) => format!("pid {}", process.pid),
        None => peer.address.to_string(),
    }
}

fn own_address(client: &Client) -> Result<Address> {
    let local = client.stream().local_addr();
    local.map_err(|error| Error::new("ask", "the client's own address", error))
}

const fn lifetime(outlives: bool) -> &'static str {
    match outlives {
        true => "stays until removed",
        false => "free at once",
    }
}

/// The median of the round trips, in microseconds.
async fn round_trips(client: &Client) -> Result<f64> {
    let _silence = unrecorded();
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for trip in 0..WARM_UP + ROUND_TRIPS {
        let began = Instant::now();
        client.send("ping").await?;
        client.receive().await?;
        if trip >= WARM_UP {
            times.push(began.elapsed());
        }
    }
    times.sort_unstable();
    Ok(times[ROUND_TRIPS / 2].as_secs_f64() * 1e6)
}
