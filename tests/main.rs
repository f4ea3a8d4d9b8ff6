//! The tests of the program as its users meet it: the real binary, real sockets, real peers.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::needless_pass_by_value
)]

#[macro_use]
mod support;

mod access;
mod access_limits;
mod access_rules;
mod activation;
mod activation_peers;
mod addresses;
mod answers;
mod architecture;
mod bench;
mod beside_the_stream;
mod call;
mod call_replies;
mod check;
mod check_address;
mod chosen_name;
mod circles;
mod communication_loop;
mod congestion;
mod connect;
mod connect_exec;
mod connection_loop;
mod conversation;
mod daemon_peers;
mod datagram_options;
mod descriptors;
mod dual_stack;
mod dump;
mod errors;
mod exchange;
mod exec;
mod exec_streams;
mod failover;
mod framing;
mod harness;
mod hostile_output;
mod idle;
mod inherited;
mod keepalive;
mod limits;
mod log;
mod memory;
mod message_clients;
mod message_peers;
mod messages;
mod one_way;
mod peers;
mod private_directory;
mod proxy_header;
mod proxy_peers;
mod proxy_received;
mod proxy_sent;
mod readiness;
mod readme;
mod refused_calls;
mod relay;
mod relay_closed;
mod relay_framing;
mod relay_messages;
mod relay_names;
mod relay_options;
mod relay_peers;
mod send;
mod sessions;
mod several_addresses;
mod shared_listener;
mod signals;
mod socket_file;
mod splice_refused;
mod stalled;
mod start;
mod status;
mod status_http;
mod status_peers;
mod stdio;
mod stdio_kept;
mod stdio_messages;
mod stdio_options;
mod stdio_peers;
mod swapped_name;
mod system_calls;
mod tour;
mod trace;
mod transfer;
mod wait;
mod wait_messages;
mod waiters;
mod waiting;
