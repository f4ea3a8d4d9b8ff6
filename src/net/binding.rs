//! Binds sockets: of listeners, and of clients with a local address.

use super::family::{self, BindTarget};
use super::faults::Refusal;
use super::options::ListenOptions;
use super::socket::Socket;
use super::socket_file::SocketFile;
use crate::address::Address;

/// Binds `socket` to `address` and listens; a socket file is published when it accepts.
pub(super) fn listen(
    socket: &Socket,
    address: &Address,
    options: &ListenOptions,
) -> Result<Option<SocketFile>, Refusal> {
    let family = family::of(address.family());
    let place = family.place(address)?;
    family.prepare_listener(socket.inner(), address, options)?;
    match place {
        BindTarget::File(path) => SocketFile::publish(socket, path, options).map(Some),
        BindTarget::Name(name) => {
            let bound = socket.bind(&name.name, address);
            bound.map_err(|error| family.bind_fault(error, address))?;
            if socket.socket_type().has_connection() {
                socket.listen(options.backlog)?;
            }
            Ok(None)
        }
    }
}

/// Binds a client's socket.
pub(super) fn bind_client(
    socket: &Socket,
    address: &Address,
) -> Result<Option<SocketFile>, Refusal> {
    let family = family::of(address.family());
    match family.place(address)? {
        BindTarget::File(path) => SocketFile::bind(socket, path).map(Some),
        BindTarget::Name(name) => {
            family.prepare_own_name(socket.inner(), address)?;
            let bound = socket.bind(&name.name, address);
            bound.map_err(|error| family.bind_fault(error, address))?;
            Ok(None)
        }
    }
}
