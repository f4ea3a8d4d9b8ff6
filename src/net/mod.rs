//! Sockets: one [`Listener`] and one [`Stream`] for every family.
//!
//! ```
//! use std::net::Shutdown;
//!
//! use sok::net::{ConnectOptions, ListenOptions, Listener, Received, Stream};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let listener = Listener::bind(&"inet6:[::1]:0".parse()?, &ListenOptions::default())?;
//! let client = Stream::connect(listener.local_addr(), &ConnectOptions::default()).await?;
//! let (server, peer) = listener.accept().await?;
//! assert_eq!(peer.address, client.local_addr()?);
//!
//! client.send_all(b"hello").await?;
//! client.shutdown(Shutdown::Write)?;
//! let mut buffer = [0; 64];
//! assert_eq!(server.receive(&mut buffer).await?, Received::Bytes(5));
//! assert_eq!(server.receive(&mut buffer).await?, Received::End);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accept_thread;
mod acceptor;
mod attempt;
mod binding;
mod blocking;
mod bound;
mod bulk;
mod call_trace;
mod closed_listener;
mod connect;
mod datagram;
mod descriptor;
mod descriptor_budget;
mod descriptor_number;
mod directory;
mod end;
mod family;
mod faults;
mod gate;
mod holder;
mod host;
mod inherited;
mod listener;
mod loss;
mod losses;
mod notify_socket;
mod options;
mod pause;
mod peer;
mod pipe_ends;
mod proxy;
mod reach;
mod read_write;
mod received;
mod receiving_socket;
mod registration;
mod rights;
mod room;
mod send_receive;
mod session;
mod shared;
mod shared_socket;
mod sockaddr;
mod socket;
mod socket_call;
mod socket_file;
mod stream;

pub use self::bound::BoundSocket;
pub(crate) use self::bulk::is_refused;
pub use self::call_trace::SOCKET_CALLS;
pub(crate) use self::call_trace::uninterrupted;
pub use self::closed_listener::ClosedListener;
pub use self::descriptor::connected_pair;
pub use self::descriptor_budget::DESCRIPTOR_SHARE;
pub(crate) use self::descriptor_budget::{DescriptorBudget, WaitingDescriptors, WaitingPlace};
pub use self::descriptor_number::{is_open, keep_on_exec, take};
pub(crate) use self::family::EXEC_NAMES;
pub(crate) use self::family::connect_error;
#[cfg(any(test, fuzzing))]
pub(crate) use self::family::is_ending_at;
pub use self::family::{exec_environment, is_left_behind};
pub use self::gate::{SessionGate, SessionPlace};
#[cfg(any(test, fuzzing))]
pub(crate) use self::holder::fuzz as fuzz_sock_diag;
pub use self::holder::{local_servers, processes_at, processes_with};
pub use self::host::{
    LinkLocal, Obstacle, check_congestion, is_of_this_host, link_local_addresses, obstacle,
    try_bind, try_create,
};
pub use self::inherited::InheritedSocket;
pub use self::listener::Listener;
pub use self::losses::Losses;
pub use self::notify_socket::NotifySocket;
pub use self::options::{
    Congestion, ConnectOptions, Keepalive, ListenOptions, Membership, Owner, UdpOptions,
};
pub use self::peer::{Credentials, Peer};
pub(crate) use self::pipe_ends::{Fed, PipeReader, PipeWriter};
#[cfg(any(test, fuzzing))]
pub(crate) use self::proxy::fuzz as fuzz_proxy_header;
pub use self::proxy::{HeaderFault, LONGEST_HEADER, Proxied, ProxyVersion};
pub use self::reach::{reaches, refuse_unreachable};
pub use self::received::Received;
pub(crate) use self::received::{LONGEST_MESSAGE, with_length};
pub use self::receiving_socket::{ReceivingSocket, Sender};
pub(crate) use self::rights::{MOST_DESCRIPTORS, is_not_passed, not_passed};
pub use self::socket::Socket;
pub use self::socket_call::SocketCall;
pub use self::socket_file::SocketFile;
pub use self::stream::Stream;
