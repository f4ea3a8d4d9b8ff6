//! Helpers of the tests: addresses of every family, the program as a process, raw peers.
//!
//! Nothing here sleeps. A wait is for an event, and [`LIMIT`] guards it: a hang fails with the
//! output so far.

#![allow(dead_code, unused_imports)]

mod activate;
mod client;
mod facts;
mod faults;
pub(crate) mod http;
mod inherit;
mod log;
mod messages;
mod namespace;
mod place;
mod process;
mod raw;
mod rights;
mod server;
mod shell;
mod terminal;

use std::time::Duration;

pub(crate) use self::activate::{Activate, PYTHON_SERVER, ask};
pub(crate) use self::client::{Client, assert_answers, assert_echoes};
pub(crate) use self::facts::{
    assert_same, is_root, noise, processor_time, resident_kib, udp_ports,
};
pub(crate) use self::faults::{can_inject, sok_with_fault, sok_with_fault_at};
pub(crate) use self::inherit::Passed;
pub(crate) use self::log::Log;
pub(crate) use self::messages::{RawMessageListener, RawMessages};
pub(crate) use self::namespace::{
    Init, in_own_mounts, in_own_network, in_own_network_and_mounts, spawn_in_own_mounts,
};
pub(crate) use self::place::{
    Form, Kind, Place, have, listed_needs, peers, require_peer, required, resolved, run,
};
pub(crate) use self::process::{Done, Process, sok, sok_for_anybody, sok_with, sok_without_rights};
pub(crate) use self::raw::{RawListener, RawStream};
pub(crate) use self::rights::{Files, kernel_can_refuse_descriptors, open_descriptors};
pub(crate) use self::server::Server;
pub(crate) use self::shell::Shell;
pub(crate) use self::terminal::{ErrorTerminal, Terminal, uncoloured};

/// The time after which a wait is a hang. No test's result depends on it otherwise.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Makes a test of each listed form out of one body, in a module named for the fact; used by the
/// macros below.
macro_rules! each_form {
    ([$($attribute:tt)*] $fact:ident $place:ident $body:block $($name:ident $kind:ident $type:ident),+) => {
        $($attribute)*
        mod $fact {
            #[allow(unused_imports)]
            use super::*;

            fn body($place: &crate::support::Place) $body

            $(
                #[test]
                fn $name() {
                    let kind = crate::support::Kind::$kind;
                    crate::support::run(kind.with_type(sok::address::SocketType::$type), body);
                }
            )+
        }
    };
}

/// Makes a test of each family out of one body, over stream sockets:
/// `families!(a_reply_comes_back, |place| { … })`, where `place` is a [`&Place`](Place).
macro_rules! families {
    ($(#[$($attribute:tt)*])* $fact:ident, |$place:ident| $body:block) => {
        each_form!([$(#[$($attribute)*])*] $fact $place $body
            inet Inet Stream, inet6 Inet6 Stream, unix Unix Stream, abstract_ Abstract Stream);
    };
}

/// The same for each family and socket type.
macro_rules! forms {
    ($(#[$($attribute:tt)*])* $fact:ident, |$place:ident| $body:block) => {
        each_form!([$(#[$($attribute)*])*] $fact $place $body
            inet Inet Stream, inet6 Inet6 Stream, unix Unix Stream, abstract_ Abstract Stream,
            unixpacket Unix SeqPacket, unixpacket_abstract Abstract SeqPacket,
            udp4 Inet Datagram, udp6 Inet6 Datagram,
            unixgram Unix Datagram, unixgram_abstract Abstract Datagram);
    };
}

/// The same for the forms with a connection.
macro_rules! connections {
    ($(#[$($attribute:tt)*])* $fact:ident, |$place:ident| $body:block) => {
        each_form!([$(#[$($attribute)*])*] $fact $place $body
            inet Inet Stream, inet6 Inet6 Stream, unix Unix Stream, abstract_ Abstract Stream,
            unixpacket Unix SeqPacket, unixpacket_abstract Abstract SeqPacket);
    };
}

/// The same for the forms that keep messages apart.
macro_rules! messages {
    ($(#[$($attribute:tt)*])* $fact:ident, |$place:ident| $body:block) => {
        each_form!([$(#[$($attribute)*])*] $fact $place $body
            unixpacket Unix SeqPacket, unixpacket_abstract Abstract SeqPacket,
            udp4 Inet Datagram, udp6 Inet6 Datagram,
            unixgram Unix Datagram, unixgram_abstract Abstract Datagram);
    };
}

/// The same for the forms without a connection.
macro_rules! datagrams {
    ($(#[$($attribute:tt)*])* $fact:ident, |$place:ident| $body:block) => {
        each_form!([$(#[$($attribute)*])*] $fact $place $body
            udp4 Inet Datagram, udp6 Inet6 Datagram,
            unixgram Unix Datagram, unixgram_abstract Abstract Datagram);
    };
}

/// The same for the forms of AF_UNIX, of every type.
macro_rules! locals {
    ($(#[$($attribute:tt)*])* $fact:ident, |$place:ident| $body:block) => {
        each_form!([$(#[$($attribute)*])*] $fact $place $body
            unix Unix Stream, abstract_ Abstract Stream,
            unixpacket Unix SeqPacket, unixpacket_abstract Abstract SeqPacket,
            unixgram Unix Datagram, unixgram_abstract Abstract Datagram);
    };
}
