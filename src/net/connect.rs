//! Connects a client.

use std::io;
use std::os::fd::AsRawFd;

use super::attempt::Attempt;
use super::binding::bind_client;
use super::call_trace::CallTrace;
use super::family;
use super::faults::{bind_error, no_answer};
use super::options::ConnectOptions;
use super::registration::WaitingSocket;
use super::sockaddr::{Encoded, encode};
use super::socket::Socket;
use super::stream::Stream;
use crate::address::Address;
use crate::error::Result;

impl Stream {
    /// Connects to `address`, see `connect(2)`.
    ///
    /// While an AF_UNIX backlog is full, retries until the deadline. TCP to a loopback address is
    /// not paced, see [`Congestion`](super::Congestion). To a group, or with the option `broadcast`,
    /// no call connects: the answers come from other addresses, and so datagrams of every host are
    /// received.
    ///
    /// # Errors
    /// [`NoServer`](crate::ErrorKind::NoServer), [`Denied`](crate::ErrorKind::Denied),
    /// [`TimedOut`](crate::ErrorKind::TimedOut), or another error of the kernel.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O and time drivers enabled.
    pub async fn connect(address: &Address, options: &ConnectOptions) -> Result<Self> {
        let failed = |source: io::Error| family::connect_error(address, source);
        let mut socket = Socket::open(address.family(), address.socket_type()).map_err(failed)?;
        if options.refuse_descriptors {
            socket.refuse_descriptors();
        }
        let family = family::of(address.family());
        let prepared = family.prepare_client(socket.inner(), address, options);
        prepared.map_err(failed)?;
        let file = match &options.bind {
            Some(own) => bind_client(&socket, own).map_err(|r| bind_error(own, r))?,
            None => None,
        };
        let name = encode(address).map_err(failed)?;
        if family.is_of_several(address, options) {
            return Self::to_several(socket, name).map_err(failed);
        }
        let watch = CallTrace::start(address.family(), "connect");
        let descriptor = socket.as_raw_fd();
        let mut attempt = Attempt::Fresh(socket);
        let arguments = || format!("{descriptor}, {address}");
        let mut full = false;
        // Trace only the first attempt that finds the backlog full.
        let connecting = attempt.finish(&name, |error| {
            if !std::mem::replace(&mut full, true) {
                watch.refused(&error, arguments);
            }
        });
        let connected = match options.deadline {
            None => connecting.await,
            Some(deadline) => tokio::time::timeout_at(deadline, connecting)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        };
        watch.done(&connected, arguments, |_| "0".to_owned());
        match connected {
            Ok(()) => {
                let io = attempt.registered().map_err(failed)?;
                let ready = family.connected(io.get_ref().inner(), address);
                ready.map_err(failed)?;
                Ok(Self::connected(io, file))
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(no_answer(address, full)),
            Err(error) => Err(failed(error)),
        }
    }

    /// A datagram socket that sends to several hosts, and takes the datagrams of every host.
    fn to_several(mut socket: Socket, name: Encoded) -> io::Result<Self> {
        socket.send_always_to(name.name);
        Ok(Self::connected(WaitingSocket::registered(socket)?, None))
    }
}
