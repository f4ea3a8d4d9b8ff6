//! An address on the command line: a word, or its parts.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::Args;

use super::values::family;
use crate::address::{Address, Family, Target, UnixName, port_number};
use crate::error::{Error, Kind, Result};

/// An address in its parts, in place of the word.
#[derive(Debug, Args)]
#[command(next_help_heading = "The address in its parts, in place of ADDRESS")]
pub(crate) struct AddressParts {
    /// The address family: inet, inet6 or unix
    #[arg(long, value_parser = family)]
    family: Option<Family>,

    /// The socket file, byte by byte; @NAME is an abstract name
    #[arg(long, conflicts_with_all = ["host", "port"])]
    path: Option<OsString>,

    /// The host, by name or number, an IPv6 address without brackets
    #[arg(long)]
    host: Option<String>,

    /// The port
    #[arg(long)]
    port: Option<String>,
}

/// The address that was meant by `host` and `port` as two words, if that is what they are.
pub(super) fn as_one_word(host: &OsStr, port: &OsStr) -> Option<String> {
    if Target::parse(host).is_ok() || host.as_bytes().starts_with(b"-") {
        return None;
    }
    let port = port_number(port.to_str()?).ok()?;
    let target = Target::network(None, host.to_str()?, port).ok()?;
    Some(format!("HOST and PORT are one word: {target}"))
}

impl AddressParts {
    /// Whether the address is given in parts.
    pub(crate) const fn is_given(&self) -> bool {
        self.family.is_some() || self.path.is_some() || self.host.is_some() || self.port.is_some()
    }

    /// The target that `word`, or else the parts, mean.
    pub(crate) fn target(&self, word: Option<&OsString>) -> Result<Target> {
        let usage = |shown: &dyn std::fmt::Display, cause: &str| {
            Err(Error::because("address", shown, Kind::Usage, cause))
        };
        if let Some(word) = word {
            if self.is_given() {
                let cause = "the address is given twice, as a word and by --family, --path, --host or --port";
                return usage(&format!("{}", word.display()), cause);
            }
            return Target::parse(word);
        }
        if let Some(path) = &self.path {
            return self.local_target(path);
        }
        let shown = format!(
            "--family {} --host {} --port {}",
            self.family.map_or("?", Family::name),
            self.host.as_deref().unwrap_or("?"),
            self.port.as_deref().unwrap_or("?")
        );
        match (self.family, &self.host, &self.port) {
            (None, None, None) => usage(
                &"none",
                "an address is needed; see 'sok --help' for its forms",
            ),
            (Some(family), None, None) if !family.is_network() => {
                usage(&format!("--family {family}"), "--path is missing")
            }
            (Some(family), ..) if !family.is_network() => {
                usage(&shown, "this family has no host and port but a --path")
            }
            (_, _, None) => usage(&shown, "--port is missing"),
            (_, None, _) => usage(&shown, "--host is missing"),
            (family, Some(host), Some(port)) => {
                let number = match port_number(port) {
                    Ok(number) => number,
                    Err(cause) => return usage(&shown, &cause),
                };
                Target::network(family, host.trim_matches(['[', ']']), number)
            }
        }
    }

    fn local_target(&self, path: &OsString) -> Result<Target> {
        let failed = |cause: String| {
            Error::because(
                "address",
                format!("--path {}", path.display()),
                Kind::Usage,
                cause,
            )
        };
        if let Some(family) = self.family.filter(|family| family.is_network()) {
            return Err(failed(format!(
                "{family} has no --path but --host and --port"
            )));
        }
        let name = match path.as_bytes() {
            [b'@', name @ ..] if !name.is_empty() => UnixName::abstract_name(name),
            path => UnixName::path(path),
        };
        Ok(Target::Address(Address::Unix(name.map_err(failed)?)))
    }
}
