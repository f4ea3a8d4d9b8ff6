//! An echo server and its client in one process, on the address that is given.

use sok::client::{ConnectPlan, connect};
use sok::loops::{Limits, MessageFormat, Stop, connection_loop};
use sok::net::{ListenOptions, Listener};
use sok::service::{AnswerService, echo};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: embedded ADDRESS")?;
    let listener = Listener::bind(&address.parse()?, &ListenOptions::default())?;
    let server = listener.local_addr().clone();
    let mut limits = Limits::default();
    limits.exit_after = Some(1);
    let service = AnswerService::new(MessageFormat::default(), echo);
    let serving = tokio::spawn(connection_loop(vec![listener], service, limits, Stop::new()));

    let (client, _) = connect(&server.into(), &ConnectPlan::default()).await?;
    client.send_all(b"hello").await?;
    let mut reply = [0; 64];
    let count = client.receive(&mut reply).await?.count();
    println!("{}", String::from_utf8_lossy(&reply[..count]));
    drop(client);
    assert_eq!(serving.await??.connections, 1);
    Ok(())
}
