//! A client of any address: it sends one line and prints the reply.
//!
//! ```sh
//! cargo run --example client -- ./s.sock hello
//! cargo run --example client -- localhost:8082 hello
//! ```

use std::io::stdout;
use std::time::Duration;

use sok::client::{CallOptions, ConnectPlan, Counter, Request, call, connect};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(address), Some(line)) = (words.next(), words.next()) else {
        return Err("usage: client ADDRESS LINE".into());
    };
    let mut plan = ConnectPlan::default();
    // While the server starts.
    plan.retry_for = Some(Duration::from_secs(5));
    let (stream, address) = connect(&address.parse()?, &plan).await?;
    let (request, options) = (Request::new(line), CallOptions::default());
    call(
        &stream,
        &address,
        request,
        options,
        &mut stdout(),
        &Counter::default(),
    )
    .await?;
    Ok(())
}
