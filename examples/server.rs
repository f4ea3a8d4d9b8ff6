//! A server on any address: it answers each line, and ends at SIGTERM or Ctrl-C.
//!
//! ```sh
//! cargo run --example server -- ./s.sock
//! cargo run --example server -- inet6:[::1]:8082
//! ```

#![allow(clippy::print_stderr)]

use sok::loops::{Framing, Limits, MessageFormat, Reply, Stop, connection_loop};
use sok::net::{ListenOptions, Listener};
use sok::service::AnswerService;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let word = std::env::args().nth(1).ok_or("usage: server ADDRESS")?;
    // A name may stand for several addresses.
    let listeners = Listener::bind_all(&word.parse()?, &ListenOptions::default())?;
    for listener in &listeners {
        eprintln!("listening on {}", listener.local_addr());
    }
    let lines = MessageFormat {
        framing: Framing::Line,
        ..MessageFormat::default()
    };
    let service = AnswerService::new(lines, |line: &[u8], reply: &mut Vec<u8>| {
        reply.extend(line.iter().rev());
        Reply::Send
    });
    let done = connection_loop(
        listeners,
        service,
        Limits::default(),
        Stop::on_signals(None)?,
    )
    .await?;
    eprintln!("connections: {}, failed: {}", done.connections, done.failed);
    Ok(())
}
