//! The answer of a server to a message.

use std::future::{Future, ready};

/// Whether a message gets a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Send the reply, even if it is empty.
    Send,
    /// Send nothing.
    Nothing,
}

/// The answer of a server to a message.
///
/// A function that answers at once is one:
///
/// ```
/// use sok::loops::Reply;
/// fn shout(message: &[u8], reply: &mut Vec<u8>) -> Reply {
///     reply.extend(message.iter().map(u8::to_ascii_uppercase));
///     Reply::Send
/// }
/// fn is_answer(_: impl sok::loops::Answer) {}
/// is_answer(shout);
/// ```
///
/// An answer that waits, as for a database, needs its own type. While it waits, the server serves
/// other connections; later messages of the same connection wait.
///
/// ```
/// use sok::client::{ConnectPlan, connect};
/// use sok::loops::{Answer, Framing, Limits, MessageFormat, Reply, Stop, connection_loop};
/// use sok::net::{ListenOptions, Listener};
/// use sok::service::AnswerService;
/// use tokio::sync::{mpsc, oneshot};
///
/// /// Asks a task that keeps the stock of a shop.
/// struct Stock(mpsc::Sender<(Vec<u8>, oneshot::Sender<u32>)>);
///
/// impl Answer for Stock {
///     async fn answer(&self, message: &[u8], reply: &mut Vec<u8>) -> Reply {
///         let (sender, count) = oneshot::channel();
///         if self.0.send((message.to_vec(), sender)).await.is_err() {
///             return Reply::Nothing;
///         }
///         match count.await {
///             Ok(count) => reply.extend(count.to_string().bytes()),
///             Err(_) => reply.extend(b"unknown"),
///         }
///         Reply::Send
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let (stock, mut requests) = mpsc::channel::<(Vec<u8>, oneshot::Sender<u32>)>(1);
/// tokio::spawn(async move {
///     while let Some((name, sender)) = requests.recv().await {
///         let _ = sender.send(if name == b"socks" { 7 } else { 0 });
///     }
/// });
/// let listener = Listener::bind(&"inet:127.0.0.1:0".parse()?, &ListenOptions::default())?;
/// let server = listener.local_addr().clone();
/// let lines = MessageFormat { framing: Framing::Line, ..MessageFormat::default() };
/// let service = AnswerService::new(lines, Stock(stock));
/// tokio::spawn(connection_loop(vec![listener], service, Limits::default(), Stop::new()));
///
/// let (client, _) = connect(&server.into(), &ConnectPlan::default()).await?;
/// client.send_all(b"socks\n").await?;
/// let mut reply = [0; 64];
/// let count = client.receive(&mut reply).await?.count();
/// assert_eq!(&reply[..count], b"7\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Answer: Send + Sync + 'static {
    /// Whether the answer may wait.
    ///
    /// An answer that never waits uses buffers that all connections of a thread share. For one that
    /// waits, each message is copied to memory of its connection, which counts in the
    /// [`MemoryLimit`](super::MemoryLimit). Either value is correct with any answer; they differ
    /// only in cost.
    const WAITS: bool = true;

    /// Appends the reply to `message`, both without their frames. `reply` may already hold earlier
    /// replies; leave them.
    ///
    /// The future is dropped if the connection ends before it, as at the end of a stop's grace.
    fn answer(&self, message: &[u8], reply: &mut Vec<u8>) -> impl Future<Output = Reply> + Send;
}

impl<F: Fn(&[u8], &mut Vec<u8>) -> Reply + Send + Sync + 'static> Answer for F {
    const WAITS: bool = false;

    fn answer(&self, message: &[u8], reply: &mut Vec<u8>) -> impl Future<Output = Reply> + Send {
        ready(self(message, reply))
    }
}
