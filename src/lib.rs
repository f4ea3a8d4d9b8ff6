//! One socket tool for every address family.
//!
//! The same connection loop (accept) and the same communication loop (receive, decode, answer, send)
//! run over AF_INET, AF_INET6 and AF_UNIX; only the [`Address`] differs:
//!
//! ```
//! use sok::client::{ConnectPlan, connect};
//! use sok::loops::{Limits, MessageFormat, Stop, connection_loop};
//! use sok::net::{ListenOptions, Listener};
//! use sok::service::{AnswerService, echo};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let directory = tempfile::tempdir()?;
//! # let path = format!("unix:{}/s.sock", directory.path().display());
//! for address in ["inet:127.0.0.1:0", "inet6:[::1]:0", &path] {
//!     let listener = Listener::bind(&address.parse()?, &ListenOptions::default())?;
//!     let server = listener.local_addr().clone();
//!     let mut limits = Limits::default();
//!     limits.exit_after = Some(1);
//!     let service = AnswerService::new(MessageFormat::default(), echo);
//!     let serving = tokio::spawn(connection_loop(vec![listener], service, limits, Stop::new()));
//!
//!     let (client, _) = connect(&server.into(), &ConnectPlan::default()).await?;
//!     client.send_all("你好".as_bytes()).await?;
//!     let mut reply = [0; 64];
//!     let count = client.receive(&mut reply).await?.count();
//!     assert_eq!(&reply[..count], "你好".as_bytes());
//!     drop(client);
//!     assert_eq!(serving.await??.connections, 1);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A name is a [`Target`] until it is resolved to addresses; a socket is a
//! [`Listener`](net::Listener) or a [`Stream`](net::Stream), whatever its family; what a server
//! does with a connection is a [`Service`](service::Service).

pub mod access;
pub mod address;
pub mod client;
pub mod error;
pub mod escape;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod loops;
mod memory;
pub mod names;
pub mod net;
pub mod offload;
mod reports;
pub mod service;
pub mod transfer;

pub use address::{Address, Family, SocketType, Target};
pub use error::{Error, ErrorKind, Result};
pub use loops::{communication_loop, connection_loop};

/// Compiles and runs the example of the page about the library.
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
struct LibraryPage;
