//! The tests of the program as its users meet it: the real binary, real sockets, real peers.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::needless_pass_by_value
)]

#[macro_use]
mod support;

mod architecture;
mod connection_loop;
mod harness;
mod readme;
mod relay;
mod socket_file;
mod transfer;
