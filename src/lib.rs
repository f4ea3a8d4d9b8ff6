//! sok
pub mod address;
pub mod error;
pub mod loops;
pub mod net;
pub mod service;
pub use address::{Address, Family, Target};
pub use error::{Error, Kind, Result};
pub use loops::{communication_loop, connection_loop};
