//! An address given in parts.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;

use super::word::port_number;
use super::{Address, Family, SocketType, Target, UnixName};
use crate::error::{Error, ErrorKind, Result};

/// The parts of an address, as given by options: a family, and a path or a host and a port.
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
        if let Some(path) = path {
            return self.local_target(path);
        }
        let shown = format!(
            "--family {} --host {} --port {}",
            family.map_or("?", Family::name),
            host.as_deref().unwrap_or("?"),
            port.as_deref().unwrap_or("?")
        );
        match (family, host, port) {
            (None, None, None) => Err(Error::because(
                "usage",
                "",
                ErrorKind::Usage,
                "no address given; see 'sok --help' for its forms",
            )),
            (Some(family), None, None) if !family.is_network() => {
                Err(usage(&format!("--family {family}"), "--path is missing"))
            }
            (Some(family), ..) if !family.is_network() => Err(usage(
                &shown,
                "this family takes --path, not --host and --port",
            )),
            (_, _, None) => Err(usage(&shown, "--port is missing")),
            (_, None, _) => Err(usage(&shown, "--host is missing")),
            (family, Some(host), Some(port)) => {
                let number = port_number(port).map_err(|cause| usage(&shown, &cause))?;
                Target::network(*family, *socket_type, host.trim_matches(['[', ']']), number)
            }
        }
    }

    fn local_target(&self, path: &OsStr) -> Result<Target> {
        let shown = format!("--path {}", path.display());
        if let Some(family) = self.family.filter(|family| family.is_network()) {
            let cause = format!("{family} takes --host and --port, not --path");
            return Err(usage(&shown, &cause));
        }
        let name = match path.as_bytes() {
            [b'@', name @ ..] if !name.is_empty() => UnixName::abstract_name(name),
            path => UnixName::path(path),
        };
        let name = name.map_err(|cause| usage(&shown, &cause.to_string()))?;
        Address::new(name, self.socket_type).map(Target::Address)
    }
}

fn usage(shown: &dyn Display, cause: &str) -> Error {
    Error::because("address", shown, ErrorKind::Usage, cause)
}
