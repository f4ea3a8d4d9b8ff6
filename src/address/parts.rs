//! An address given in parts.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use super::word::port_number;
use super::{Address, Family, SocketType, Target, UnixName};
use crate::error::{Error, ErrorKind, Result};

/// The parts of an address, as given by options: a family, a type, and a path or a host and a port.
///
/// ```
/// use sok::address::{AddressParts, Family, SocketType};
/// let mut parts = AddressParts::default();
/// parts.family = Some(Family::Inet6);
/// parts.socket_type = SocketType::Datagram;
/// parts.host = Some("::1".to_owned());
/// parts.port = Some("53".to_owned());
/// assert_eq!(parts.target()?.to_string(), "udp6:[::1]:53");
/// # Ok::<(), sok::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressParts {
    /// The family; without one, it follows from the host or the path.
    pub family: Option<Family>,
    /// The type of the socket.
    pub socket_type: SocketType,
    /// The path of the socket file, without escapes; `@NAME` is an abstract name.
    pub path: Option<OsString>,
    /// The host, by name or IP address.
    pub host: Option<String>,
    /// The port.
    pub port: Option<String>,
}

impl AddressParts {
    /// The target of the parts.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if one is missing, or does not apply to the family.
    pub fn target(&self) -> Result<Target> {
        let Self {
            family,
            socket_type,
            path,
            host,
            port,
        } = self;
        if *self == Self::default() {
            let cause = "no address given; see 'sok --help' for its forms";
            return Err(Error::because("usage", "", ErrorKind::Usage, cause));
        }
        if let Some(family) = family {
            let required = family.require(*socket_type);
            required.map_err(|error| self.usage(&error.cause()))?;
        }
        if let Some(path) = path {
            return self.local_target(path);
        }
        match (family, host, port) {
            (None, None, None) => Err(self.usage("--path, or --host and --port, are missing")),
            (Some(family), None, None) if !family.is_network() => {
                Err(self.usage("--path is missing"))
            }
            (Some(family), ..) if !family.is_network() => {
                Err(self.usage("this family takes --path, not --host and --port"))
            }
            (_, _, None) => Err(self.usage("--port is missing")),
            (_, None, _) => Err(self.usage("--host is missing")),
            (family, Some(host), Some(port)) => {
                let number = port_number(port).map_err(|cause| self.usage(&cause))?;
                Target::network(*family, *socket_type, host.trim_matches(['[', ']']), number)
            }
        }
    }

    fn local_target(&self, path: &OsStr) -> Result<Target> {
        if let Some(family) = self.family.filter(|family| family.is_network()) {
            return Err(self.usage(&format!("{family} takes --host and --port, not --path")));
        }
        let name = match path.as_bytes() {
            [b'@', name @ ..] if !name.is_empty() => UnixName::abstract_name(name),
            path => UnixName::path(path),
        };
        let name = name.map_err(|cause| self.usage(&cause.to_string()))?;
        Address::new(name, self.socket_type).map(Target::Address)
    }

    fn usage(&self, cause: &str) -> Error {
        Error::because("address", self, ErrorKind::Usage, cause)
    }
}

impl fmt::Display for AddressParts {
    /// The options that give these parts; a stream, the usual type, is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            family,
            socket_type,
            path,
            host,
            port,
        } = self;
        let mut options = Vec::new();
        options.extend(family.map(|family| format!("--family {family}")));
        if *socket_type != SocketType::default() {
            options.push(format!("--type {socket_type}"));
        }
        options.extend(
            path.as_ref()
                .map(|path| format!("--path {}", path.display())),
        );
        options.extend(host.as_ref().map(|host| format!("--host {host}")));
        options.extend(port.as_ref().map(|port| format!("--port {port}")));
        f.write_str(&options.join(" "))
    }
}
