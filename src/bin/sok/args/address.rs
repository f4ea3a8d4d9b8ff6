//! An address on the command line: one word, or parts.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use sok::address::{AddressParts, Family, SocketType, Target};
use sok::error::{Error, ErrorKind, Result};

use super::values::{family, socket_type};

/// An address in parts, instead of one word.
#[derive(Debug, Args)]
#[command(next_help_heading = "The address in parts, instead of ADDRESS")]
pub(crate) struct AddressArgs {
    #[arg(long, value_parser = family, help = family_help())]
    family: Option<Family>,

    #[arg(long = "type", value_name = "TYPE", value_parser = socket_type, help = type_help())]
    socket_type: Option<SocketType>,

    /// The path of the socket file, without escapes; @NAME is an abstract name
    #[arg(long, conflicts_with_all = ["host", "port"])]
    path: Option<OsString>,

    /// The host, by name or IP address; an IPv6 address without brackets
    #[arg(long)]
    host: Option<String>,

    /// The port
    #[arg(long)]
    port: Option<String>,
}

fn family_help() -> String {
    format!(
        "The address family: {}",
        one_of(&Family::ALL.map(Family::name))
    )
}

fn type_help() -> String {
    let known = one_of(&SocketType::ALL.map(SocketType::name));
    let usual = SocketType::default();
    format!("The type of the socket: {known} [default: {usual}]")
}

/// A choice in words, such as "a, b or c".
fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// A hint for `host` and `port` given as two words, if together they are an address.
pub(crate) fn as_one_word(host: &OsStr, port: &OsStr) -> Option<String> {
    if Target::parse(host).is_ok() || host.as_bytes().starts_with(b"-") {
        return None;
    }
    let mut parts = AddressParts::default();
    parts.host = Some(host.to_str()?.to_owned());
    parts.port = Some(port.to_str()?.to_owned());
    let target = parts.target().ok()?;
    Some(format!("write HOST and PORT as one word: {target}"))
}

impl AddressArgs {
    /// Whether the address is given in parts.
    pub(crate) fn is_given(&self) -> bool {
        // A stream is the default, so the parts do not say that it was given.
        self.socket_type.is_some() || self.parts() != AddressParts::default()
    }

    /// The target given by `word` or by the parts.
    pub(crate) fn target(&self, word: Option<&OsString>) -> Result<Target> {
        match word {
            Some(word) if !self.is_given() => Target::parse(word),
            Some(word) => {
                let cause = "the address is given twice, as a word and by --family, --type, --path, \
                             --host or --port";
                Err(Error::because(
                    "address",
                    word.display(),
                    ErrorKind::Usage,
                    cause,
                ))
            }
            None => self.parts().target(),
        }
    }

    fn parts(&self) -> AddressParts {
        let mut parts = AddressParts::default();
        parts.family = self.family;
        parts.socket_type = self.socket_type.unwrap_or_default();
        parts.path.clone_from(&self.path);
        parts.host.clone_from(&self.host);
        parts.port.clone_from(&self.port);
        parts
    }
}
