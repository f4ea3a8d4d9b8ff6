//! One rule: whom it matches, as `10.0.0.0/8` or `uid:alice`.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::str::FromStr;

use super::prefix::{Prefix, width};
use crate::error::{Error, ErrorKind, Result};
use crate::names;

/// Whom a rule matches. It displays as a word that parses as the same rule.
///
/// ```
/// use sok::access::Rule;
/// let office: Rule = "192.0.2.0/24".parse()?;
/// assert_eq!(office.to_string(), "192.0.2.0/24");
/// let wrong = "192.0.2.1/24".parse::<Rule>().unwrap_err();
/// assert_eq!(wrong.hint(), Some("write 192.0.2.0/24, or 192.0.2.1"));
/// # Ok::<(), sok::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Every peer: `any`.
    Any,
    /// The peers at these IP addresses: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.1`.
    Address(Prefix),
    /// The processes of this effective user: `uid:1000`, `uid:alice`. In a user namespace, the
    /// kernel shows the users of others as `nobody`.
    User(u32),
    /// The processes with this effective or supplementary group: `gid:998`, `gid:docker`.
    Group(u32),
}

/// The forms of a rule, for the hint of an error.
const FORMS: &str =
    "a rule is an IP address, a prefix such as 10.0.0.0/8, uid:USER, gid:GROUP, or any";

/// Looks up the number of a user or a group.
pub(super) type LookUp<'a> = &'a dyn Fn(&str) -> io::Result<Option<u32>>;

impl Rule {
    /// Parses a rule, with other look-ups than those of the system.
    pub(super) fn parse(word: &str, user: LookUp<'_>, group: LookUp<'_>) -> Result<Self> {
        match word.split_once(':') {
            _ if word == "any" => Ok(Self::Any),
            Some(("uid", name)) => number(word, "user", name, user).map(Self::User),
            Some(("gid", name)) => number(word, "group", name, group).map(Self::Group),
            _ => address(word).map(Self::Address),
        }
    }
}

impl FromStr for Rule {
    type Err = Error;

    /// Parses a rule; the name of a user or a group is looked up, which may block.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a word that is no rule, and for a name that does not exist; a failed
    /// look-up has the kind of its cause.
    fn from_str(word: &str) -> Result<Self> {
        Self::parse(word, &names::user_id, &names::group_id)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Address(prefix) => prefix.fmt(f),
            Self::User(number) => write!(f, "uid:{number}"),
            Self::Group(number) => write!(f, "gid:{number}"),
        }
    }
}

fn refused(word: &str, cause: impl Into<String>) -> Error {
    Error::because("rule", word, ErrorKind::Usage, cause)
}

/// The number of the user or group `name`, which may be a number.
fn number(word: &str, what: &str, name: &str, look_up: LookUp<'_>) -> Result<u32> {
    if name.is_empty() {
        return Err(refused(word, format!("no {what} is given")));
    }
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        // The kernel takes the largest number for "no change".
        let number = name.parse().ok().filter(|number| *number != u32::MAX);
        let cause = || format!("the number of a {what} is at most {}", u32::MAX - 1);
        return number.ok_or_else(|| refused(word, cause()));
    }
    match look_up(name) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(refused(word, format!("no such {what}: {name:?}"))),
        Err(error) => Err(Error::new("rule", word, error)),
    }
}

fn address(word: &str) -> Result<Prefix> {
    let (ip, length) = match word.split_once('/') {
        Some((ip, length)) => (ip, Some(length)),
        None => (word, None),
    };
    let Ok(ip) = ip.parse::<IpAddr>() else {
        return Err(refused(word, no_address(ip)).with_hint(FORMS));
    };
    let Some(length) = length else {
        return Ok(ip.into());
    };
    let most = width(ip);
    let number = length.bytes().all(|byte| byte.is_ascii_digit());
    let number = length.parse().ok().filter(|_| number);
    let Some(prefix) = number.and_then(|length| Prefix::around(ip, length)) else {
        let cause = format!("the length of a prefix of {ip} is a number from 0 to {most}");
        return Err(refused(word, cause));
    };
    match prefix.begins_at(ip) {
        true => Ok(prefix),
        false => {
            let cause = format!("{ip} has bits after the first {length}");
            let own = Prefix::from(ip);
            Err(refused(word, cause).with_hint(format!("write {prefix}, or {own}")))
        }
    }
}

/// Why a word is no IP address.
fn no_address(word: &str) -> String {
    match word.split_once('%') {
        Some((ip, _)) if ip.parse::<IpAddr>().is_ok() => {
            "a rule has no interface: it matches the address on all of them".to_owned()
        }
        _ => format!("{word:?} is no IP address"),
    }
}
