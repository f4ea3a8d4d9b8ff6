//! Sockets: one [`Listener`] and one [`Stream`] for every family.

mod attempt;
mod binding;
mod blocking;
mod bulk;
mod descriptor;
mod descriptor_budget;
mod directory;
mod end;
mod family;
mod faults;
mod holder;
mod host;
mod listener;
mod options;
mod peer;
mod pipe_ends;
mod reach;
mod read_write;
mod registration;
mod room;
mod sockaddr;
mod socket;
mod socket_call;
mod socket_file;
mod stream;

pub use self::bulk::{Yielding, is_refused};
pub use self::descriptor::connected_pair;
pub use self::descriptor_budget::{DESCRIPTOR_SHARE, DescriptorBudget};
pub(crate) use self::family::EXEC_NAMES;
#[cfg(any(test, fuzzing))]
pub(crate) use self::family::is_ending_at;
pub use self::family::{exec_environment, is_left_behind};
#[cfg(any(test, fuzzing))]
pub(crate) use self::holder::fuzz as fuzz_sock_diag;
pub use self::holder::processes_with;
pub use self::host::{
    LinkLocal, Obstacle, bind, check_congestion, create, link_local_addresses, obstacle,
};
pub use self::listener::Listener;
pub use self::options::{Congestion, ConnectOptions, Keepalive, ListenOptions, Owner};
pub use self::peer::{Credentials, Peer};
pub use self::pipe_ends::{Fed, PipeInput, PipeOutput};
pub use self::reach::{reaches, refuse_unreachable};
pub use self::socket::{SOCKET_CALLS, Socket};
pub use self::socket_call::SocketCall;
pub use self::socket_file::SocketFile;
pub use self::stream::Stream;
