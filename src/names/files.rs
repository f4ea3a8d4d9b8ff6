//! Look-ups in files: `hosts(5)`, `passwd(5)`, `group(5)`.

use std::fs;
use std::io;
use std::net::IpAddr;

#[cfg(not(test))]
pub(super) fn user_id(name: &str) -> io::Result<Option<u32>> {
    Ok(number_of(name, &read("/etc/passwd")?))
}

#[cfg(not(test))]
pub(super) fn group_id(name: &str) -> io::Result<Option<u32>> {
    Ok(number_of(name, &read("/etc/group")?))
}

/// The addresses of a host in `/etc/hosts`, IPv6 first.
#[cfg(not(test))]
pub(super) fn host(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok(addresses_of(name, &read("/etc/hosts")?))
}

/// The text of a file; one that is absent is empty, and bytes that are not UTF-8 match no name.
#[cfg_attr(test, allow(dead_code))]
fn read(path: &str) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// The number of `name` in a file whose lines begin with `NAME:PASSWORD:NUMBER:`.
fn number_of(name: &str, file: &str) -> Option<u32> {
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let number = fields.nth(1)?.parse().ok()?;
        found.then_some(number)
    })
}

/// The addresses on the lines `ADDRESS NAME...` that have `name`, in any case; IPv6 first.
fn addresses_of(name: &str, file: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for line in file.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let address = words.next().and_then(|word| word.parse().ok());
        let Some(address) = address.filter(|it| !found.contains(it)) else {
            continue;
        };
        if words.any(|word| word.eq_ignore_ascii_case(name)) {
            found.push(address);
        }
    }
    found.sort_by_key(IpAddr::is_ipv4);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_that_of_the_whole_name() {
        let file = "root:x:0:0:root:/root:/bin/sh\n# a comment\n\nbroken\nal:x:x:\n\
                    alice2:x:1:1::/:\nalice:x:1000:1000::/home/alice:/bin/sh\nalice:x:7:7::/:\n";
        assert_eq!(number_of("alice", file), Some(1000));
        assert_eq!(number_of("root", file), Some(0));
        for absent in ["ali", "al", "", "x", "broken", "Alice"] {
            assert_eq!(number_of(absent, file), None, "{absent}");
        }
        assert_eq!(number_of("docker", "docker:x:998:alice,bob\n"), Some(998));
    }

    #[test]
    fn a_host_has_the_addresses_of_all_its_lines() {
        let file = "127.0.0.1\tlocalhost here # there\n::1 localhost ip6-localhost\n\
                    192.0.2.1 Here\n127.0.0.1 localhost\n#192.0.2.9 here\nname here\n";
        let found = |name| {
            let found = addresses_of(name, file);
            found
                .iter()
                .map(IpAddr::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(found("localhost"), "::1 127.0.0.1");
        assert_eq!(found("HERE"), "127.0.0.1 192.0.2.1");
        assert_eq!(found("there"), "");
        assert_eq!(found("127.0.0.1"), "");
    }
}
