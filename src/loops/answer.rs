//! What a server says to a message.

use std::future::{Future, ready};

/// Whether a message is replied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Send what was written as the reply, be it empty.
    Send,
    /// Send nothing.
    Nothing,
}

/// What a server says to a message.
///
/// A function that has its answer at once is one:
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
/// An answer that waits, as for a database, is a type of its own. While it waits the other
/// connections are served; the messages of its own connection wait for their turn.
///
/// ```
/// use sok::client::{ConnectPlan, connect};
/// use sok::loops::{Answer, Framing, Limits, MessageFormat, Reply, Stop, connection_loop};
/// use sok::net::{ListenOptions, Listener};
/// use sok::service::Converse;
/// use tokio::sync::{mpsc, oneshot};
///
/// /// Asks a task that has the stock of a shop.
/// struct Stock(mpsc::Sender<(Vec<u8>, oneshot::Sender<u32>)>);
///
/// impl Answer for Stock {
///     async fn answer(&self, message: &[u8], reply: &mut Vec<u8>) -> Reply {
///         let (tell, told) = oneshot::channel();
///         if self.0.send((message.to_vec(), tell)).await.is_err() {
///             return Reply::Nothing;
///         }
///         match told.await {
///             Ok(count) => reply.extend(count.to_string().bytes()),
///             Err(_) => reply.extend(b"nobody knows"),
///         }
///         Reply::Send
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let (ask, mut asked) = mpsc::channel::<(Vec<u8>, oneshot::Sender<u32>)>(1);
/// tokio::spawn(async move {
///     while let Some((name, tell)) = asked.recv().await {
///         let _ = tell.send(if name == b"socks" { 7 } else { 0 });
///     }
/// });
/// let listener = Listener::bind(&"inet:127.0.0.1:0".parse()?, &ListenOptions::default())?;
/// let server = listener.local_addr().clone();
/// let lines = MessageFormat { framing: Framing::Line, ..MessageFormat::default() };
/// let service = Converse::new(lines, Stock(ask));
/// tokio::spawn(connection_loop(vec![listener], service, Limits::default(), Stop::new()));
///
/// let (client, _) = connect(&server.into(), &ConnectPlan::default()).await?;
/// client.send_all(b"socks\n").await?;
/// let mut reply = [0; 64];
/// let count = client.receive(&mut reply).await?;
/// assert_eq!(&reply[..count], b"7\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Answer: Send + Sync + 'static {
    /// Whether the answer may have to wait for something.
    ///
    /// One that never waits works in the buffers that all connections of a thread share. For one that
    /// does, each message is copied to memory of its connection, which counts in the
    /// [`MemoryLimit`](super::MemoryLimit). Both are right with either; it is only what they cost.
    const WAITS: bool = true;

    /// Appends the reply to `message`, both without their frames. What `reply` holds already are
    /// replies before it, and stays.
    ///
    /// The future is dropped when the connection ends meanwhile, as at the end of a stop's grace.
    fn answer(&self, message: &[u8], reply: &mut Vec<u8>) -> impl Future<Output = Reply> + Send;
}

impl<F: Fn(&[u8], &mut Vec<u8>) -> Reply + Send + Sync + 'static> Answer for F {
    const WAITS: bool = false;

    fn answer(&self, message: &[u8], reply: &mut Vec<u8>) -> impl Future<Output = Reply> + Send {
        ready(self(message, reply))
    }
}
