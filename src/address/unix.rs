//! Names of AF_UNIX sockets: bytes, their length rule and their escaping.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::escape::{escape, is_part_of_word};

/// The capacity of `sun_path` without its closing NUL; see `unix(7)`.
pub const SUN_PATH_MAX: usize = 107;

/// The name of an AF_UNIX socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// A socket file.
    Path(PathBuf),
    /// A name in Linux's abstract namespace, without the leading NUL; any bytes. If it is empty,
    /// bind lets the kernel choose a name.
    Abstract(Vec<u8>),
    /// No name: a socket that was never bound, like most clients'.
    Unnamed,
}

/// An invalid name of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// A path of no bytes.
    EmptyPath,
    /// A path with a NUL byte, which no file can have.
    NulInPath,
    /// An abstract name of this many bytes, more than [`SUN_PATH_MAX`].
    LongAbstractName(usize),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyPath => f.write_str("the path is empty"),
            Self::NulInPath => f.write_str("the path contains a NUL byte"),
            Self::LongAbstractName(length) => write!(
                f,
                "the abstract name has {length} bytes; the limit is {SUN_PATH_MAX}"
            ),
        }
    }
}

impl std::error::Error for NameError {}

impl UnixName {
    /// Parses a name: `@name` is abstract, an empty text is unnamed, anything else is a path. `@`
    /// is an empty abstract name: the kernel chooses one on bind.
    ///
    /// `\\` stands for a backslash and `\xNN` for any byte, so that every name can be typed.
    /// A path that begins with `@` is written `\x40…` or `./@…`.
    ///
    /// # Errors
    /// As [`UnixName::path`] and [`UnixName::abstract_name`].
    pub fn from_escaped(text: &[u8]) -> Result<Self, NameError> {
        match text.split_first() {
            None => Ok(Self::Unnamed),
            Some((b'@', name)) => Self::abstract_name(unescape(name)),
            Some(_) => Self::path(unescape(text)),
        }
    }

    /// The name of a socket file, without escapes.
    ///
    /// # Errors
    /// An empty path, or one with a NUL byte, cannot name a file.
    pub fn path(bytes: impl AsRef<[u8]>) -> Result<Self, NameError> {
        let bytes = bytes.as_ref();
        if bytes.is_empty() {
            return Err(NameError::EmptyPath);
        }
        if bytes.contains(&0) {
            return Err(NameError::NulInPath);
        }
        Ok(Self::Path(PathBuf::from(OsStr::from_bytes(bytes))))
    }

    /// An abstract name, without the leading NUL.
    ///
    /// # Errors
    /// A name that does not fit `sun_path`, as abstract names have no longer form.
    pub fn abstract_name(bytes: impl Into<Vec<u8>>) -> Result<Self, NameError> {
        let bytes = bytes.into();
        if bytes.len() > SUN_PATH_MAX {
            return Err(NameError::LongAbstractName(bytes.len()));
        }
        Ok(Self::Abstract(bytes))
    }

    /// Whether the name is complete: for an empty abstract name, and for no name, the kernel
    /// chooses a free one (autobind, see `unix(7)`).
    #[must_use]
    pub fn is_specified(&self) -> bool {
        match self {
            Self::Path(_) => true,
            Self::Abstract(name) => !name.is_empty(),
            Self::Unnamed => false,
        }
    }

    /// The socket file, if the name is one.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Abstract(_) | Self::Unnamed => None,
        }
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => {
                let bytes = path.as_os_str().as_bytes();
                match bytes.split_first() {
                    Some((b'@', rest)) => {
                        f.write_str("\\x40")?;
                        write_name(rest, f)
                    }
                    _ => write_name(bytes, f),
                }
            }
            Self::Abstract(name) => {
                f.write_str("@")?;
                write_name(name, f)
            }
            Self::Unnamed => Ok(()),
        }
    }
}

/// Writes a name as one word.
fn write_name(name: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    write_escaped(name, is_part_of_word, f)
}

/// Escapes `bytes` for [`unescape`]: bytes that `keeps` refuses become `\xNN`, and a backslash is
/// doubled.
pub(super) fn write_escaped(
    bytes: &[u8],
    keeps: fn(char) -> bool,
    f: &mut impl fmt::Write,
) -> fmt::Result {
    for (number, part) in bytes.split(|byte| *byte == b'\\').enumerate() {
        if number > 0 {
            f.write_str("\\\\")?;
        }
        escape(part, keeps, f)?;
    }
    Ok(())
}

/// Decodes escapes; a backslash that starts no escape stands for itself.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let (value, after) = match (byte, tail) {
            (b'\\', [b'\\', after @ ..]) => (b'\\', after),
            (b'\\', [b'x', high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (byte, tail),
            },
            _ => (byte, tail),
        };
        bytes.push(value);
        rest = after;
    }
    bytes
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
