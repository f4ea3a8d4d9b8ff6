//! The word for an inherited socket.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// The prefix of the word.
pub(super) const PREFIX: &str = "fd";

/// How a user names a socket that this process has inherited: `fd:3`, or `fd:NAME`.
///
/// ```
/// use sok::Target;
/// use sok::address::DescriptorName;
/// let number = Target::parse("fd:3")?;
/// assert_eq!(number, Target::Inherited(DescriptorName::Number(3)));
/// let name = Target::parse("fd:sok.socket")?;
/// assert_eq!(name, Target::Inherited(DescriptorName::Name("sok.socket".to_owned())));
/// # Ok::<(), sok::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DescriptorName {
    /// The number of the descriptor.
    Number(i32),
    /// The name of one or several descriptors in `LISTEN_FDNAMES`, see `sd_listen_fds(3)`.
    Name(String),
}

impl DescriptorName {
    /// The largest number of characters in a name, as systemd has it.
    const LONGEST: usize = 255;

    /// Reads what follows the prefix: a number has only digits.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the descriptor is missing; write fd:3, or fd:NAME".to_owned());
        }
        if let Some(name) = text.strip_prefix("//") {
            return Err(format!("an address is not a URL; write {PREFIX}:{name}"));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = text.parse().map(Self::Number);
            return number.map_err(|_| format!("no descriptor has a number as large as {text}"));
        }
        let is_allowed = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        match text.bytes().all(is_allowed) && text.len() <= Self::LONGEST {
            true => Ok(Self::Name(text.to_owned())),
            false => Err(format!(
                "the name of a descriptor has up to {} visible ASCII characters, without a colon",
                Self::LONGEST
            )),
        }
    }

    /// The error where an address is needed to bind or to connect to.
    pub(super) fn has_no_address(&self, operation: &'static str) -> Error {
        let cause = "an inherited socket is used as it is, and here an address is needed";
        Error::because(operation, self, ErrorKind::Usage, cause)
            .with_hint("serve, relay, connect and call take an inherited socket")
    }
}

impl fmt::Display for DescriptorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{PREFIX}:{number}"),
            Self::Name(name) => write!(f, "{PREFIX}:{name}"),
        }
    }
}
