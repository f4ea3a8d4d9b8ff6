//! Parsers for option values: durations, sizes, numbers, permission bits.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::Signal;
use sok::address::{Family, SocketType};
use sok::net::{Keepalive, Membership};

use crate::tour::Lesson;

pub(crate) fn family(text: &str) -> Result<Family, String> {
    let known = || {
        let each = Family::ALL.into_iter();
        each.flat_map(|family| family.aliases().map(move |name| (name, family)))
    };
    let found = known().find(|(name, _)| *name == text);
    found.map(|(_, family)| family).ok_or_else(|| {
        let known: Vec<&str> = known().map(|(name, _)| name).collect();
        format!("known families are {}", known.join(", "))
    })
}

pub(crate) fn socket_type(text: &str) -> Result<SocketType, String> {
    let found = SocketType::ALL.into_iter().find(|one| one.name() == text);
    found.ok_or_else(|| {
        let known: Vec<&str> = SocketType::ALL.iter().map(|one| one.name()).collect();
        format!("known types are {}", known.join(", "))
    })
}

pub(crate) fn lesson(text: &str) -> Result<Lesson, String> {
    let number = text.parse().ok();
    number.and_then(Lesson::numbered).ok_or_else(|| {
        let last = Lesson::ALL.len();
        format!("the lessons are 1 to {last}")
    })
}

const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// A number with its unit, or a bare number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    // A user who writes 1M means a minute; humantime would read a month.
    if text.contains('M') {
        return Err("M means months; write 1m for a minute".to_owned());
    }
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let duration = match text.parse().ok().filter(|_| is_number) {
        Some(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        None => humantime::parse_duration(text)
            .map_err(|error| format!("{error}; write 500ms, 2s or 1m, or a number of seconds")),
    }?;
    // A duration beyond the range of the clock would panic.
    (duration <= DURATION_MAX)
        .then_some(duration)
        .ok_or_else(|| "more than 100 years".to_owned())
}

/// A time limit above zero.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    (!time.is_zero())
        .then_some(time)
        .ok_or_else(|| "must be more than 0".to_owned())
}

/// The idle time before the first keepalive probe.
pub(crate) fn keepalive(text: &str) -> Result<Keepalive, String> {
    if text == "off" {
        return Ok(Keepalive::OFF);
    }
    let idle = duration(text).map_err(|error| format!("{error}, or off"))?;
    (Keepalive::MIN..=Keepalive::MAX)
        .contains(&idle)
        .then(|| Keepalive::after(idle))
        .ok_or_else(|| "must be from 1s to 9h, or off".to_owned())
}

pub(crate) fn size(text: &str) -> Result<usize, String> {
    let size: bytesize::ByteSize = text
        .parse()
        .map_err(|error| format!("{error}; write 4096, 64KiB or 1MiB"))?;
    usize::try_from(size.as_u64())
        .ok()
        .filter(|size| *size > 0)
        .ok_or_else(|| "must be at least 1 byte".to_owned())
}

/// A number of bytes of a stream.
pub(crate) fn count_of_bytes(text: &str) -> Result<u64, String> {
    size(text).map(|size| size as u64)
}

/// The size of a message that `bench` keeps in memory for each connection.
pub(crate) fn message_size(text: &str) -> Result<usize, String> {
    const MOST: usize = 1 << 30;
    let size = size(text)?;
    (size <= MOST)
        .then_some(size)
        .ok_or_else(|| "must be at most 1GiB".to_owned())
}

pub(crate) fn at_least_one(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "must be a number of at least 1".to_owned())
}

pub(crate) fn threads(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=1024).contains(number))
        .ok_or_else(|| "must be a number from 1 to 1024".to_owned())
}

/// A multicast group, and the interface after its `%`.
pub(crate) fn membership(text: &str) -> Result<Membership, String> {
    let (group, interface) = match text.split_once('%') {
        Some((_, "")) => return Err("the interface is missing after %".to_owned()),
        Some((group, interface)) => (group, Some(interface.to_owned())),
        None => (text, None),
    };
    let group: IpAddr = group
        .parse()
        .map_err(|_| format!("{group:?} is not an IP address; write 239.1.2.3%eth0"))?;
    match group.is_multicast() {
        true => Ok(Membership { group, interface }),
        false => Err(format!(
            "{group} is no group: groups are 224.0.0.0 to 239.255.255.255, and ff00::/8"
        )),
    }
}

/// The number of hops of a datagram.
pub(crate) fn hops(text: &str) -> Result<u8, String> {
    text.parse()
        .ok()
        .filter(|hops| *hops > 0)
        .ok_or_else(|| "must be a number from 1 to 255".to_owned())
}

pub(crate) fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "must be an octal number from 0 to 777".to_owned())
}

/// A signal that asks a program to end, by its name.
pub(crate) fn stop_signal(text: &str) -> Result<Signal, String> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let signal = Signal::from_str(&format!("SIG{name}")).ok();
    // No program can handle these two.
    let signal = signal.filter(|one| ![Signal::SIGKILL, Signal::SIGSTOP].contains(one));
    signal
        .ok_or_else(|| "must be the name of a signal that can be handled, such as QUIT".to_owned())
}

/// The name of a descriptor, which a colon would end; see `sd_listen_fds_with_names(3)`.
pub(crate) fn descriptor_name(text: &str) -> Result<String, String> {
    let is_name = (1..=255).contains(&text.len())
        && text
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && byte != b':');
    is_name
        .then(|| text.to_owned())
        .ok_or_else(|| "must be 1 to 255 printable ASCII characters, and no colon".to_owned())
}

/// A number above 0, with or without a fraction.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && (0.001..=1e9).contains(rate))
        .ok_or_else(|| "must be a number of messages per second, from 0.001 to 1e9".to_owned())
}

/// A duration that is long enough to measure.
pub(crate) fn some_duration(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    (duration >= Duration::from_millis(1))
        .then_some(duration)
        .ok_or_else(|| "must be at least 1ms".to_owned())
}
