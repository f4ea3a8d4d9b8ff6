//! The addresses that a word may begin: prefixes, socket files, and abstract names.

use std::fs::{self, DirEntry};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use sok::address::{Address, Family, SocketType, Target, UnixName};
use sok::escape::{escape, is_visible};
use sok::net::local_servers;

use super::Choice;

/// The addresses that begin with `word`. A host is not completed.
pub(crate) fn addresses(word: &str) -> Vec<Choice> {
    let (prefix, name) = match word.find(':') {
        _ if word.starts_with(['/', '.', '@']) => ("", word),
        Some(colon) => word.split_at(colon + 1),
        None => return beginnings(word),
    };
    let Some(socket_type) = local_type(prefix) else {
        return Vec::new();
    };
    let mut found = match name {
        "" => [abstract_names(name, socket_type), files(name)].concat(),
        _ if name.starts_with('@') => abstract_names(name, socket_type),
        _ => files(name),
    };
    for choice in &mut found {
        choice.value.insert_str(0, prefix);
    }
    found
}

/// The type of the local sockets with this prefix.
fn local_type(prefix: &str) -> Option<SocketType> {
    match Target::parse(format!("{prefix}./name")) {
        Ok(Target::Address(address)) if address.as_unix().is_some() => Some(address.socket_type()),
        _ => None,
    }
}

/// What an address may begin with, if it has neither a prefix nor a path yet.
fn beginnings(word: &str) -> Vec<Choice> {
    let of_family = |family: Family| {
        let prefixes = family.prefixes().iter();
        prefixes
            .map(move |(prefix, of)| (format!("{prefix}:"), format!("{}, {of}", family.af_name())))
    };
    let others = ["tcp:", "udp:"].map(|it| (it.to_owned(), "a host, by name or number".to_owned()));
    let inherited = [("fd:".to_owned(), "an inherited socket".to_owned())];
    let all = Family::ALL.into_iter().flat_map(of_family);
    let mut found: Vec<Choice> = all
        .chain(others)
        .chain(inherited)
        .filter(|(prefix, _)| prefix.starts_with(word))
        .map(|(prefix, meaning)| Choice::new(prefix, meaning))
        .collect();
    if word.is_empty() {
        found.extend(abstract_names("@", SocketType::default()));
        found.extend(files("./").into_iter().filter(Choice::is_complete));
    }
    found
}

/// The abstract names in use by servers that begin with `typed`, `@` included.
fn abstract_names(typed: &str, socket_type: SocketType) -> Vec<Choice> {
    let names = local_servers().into_iter().filter_map(|server| {
        let Some(UnixName::Abstract(name)) = server.as_unix() else {
            return None;
        };
        let is_wanted = server.socket_type() == socket_type && !is_chosen_by_the_kernel(name);
        is_wanted.then(|| [format!("@{}", shown(name)), own_form(&server)])
    });
    // Either form may have been begun.
    let fitting = |forms: [String; 2]| forms.into_iter().find(|form| form.starts_with(typed));
    let meaning = format!("an abstract name, {socket_type}");
    let found = names.filter_map(fitting);
    sorted(
        found
            .map(|name| Choice::new(name, meaning.as_str()))
            .collect(),
    )
}

/// The name of a local address as sok prints it.
fn own_form(address: &Address) -> String {
    address
        .as_unix()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// Whether the name is that of a client, see autobind in `unix(7)`.
fn is_chosen_by_the_kernel(name: &[u8]) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.len() == 5 && name.iter().all(is_digit)
}

/// The socket files and folders whose paths begin with `typed`, which may have escapes.
fn files(typed: &str) -> Vec<Choice> {
    listed(
        typed,
        |folder| {
            let name = UnixName::from_escaped(folder.as_bytes()).ok()?;
            fs::read_dir(name.as_path()?).ok()
        },
        shown,
    )
}

/// The same for a path without escapes.
pub(crate) fn socket_files(typed: &str) -> Vec<Choice> {
    let verbatim = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let mut found = listed(typed, |folder| fs::read_dir(folder).ok(), verbatim);
    let is_printable = |choice: &Choice| choice.value.chars().all(is_visible);
    found.retain(is_printable);
    found
}

fn listed(
    typed: &str,
    open: impl Fn(&str) -> Option<fs::ReadDir>,
    form: impl Fn(&[u8]) -> String,
) -> Vec<Choice> {
    let (folder, start) = typed.split_at(typed.rfind('/').map_or(0, |slash| slash + 1));
    let opened = open(if folder.is_empty() { "./" } else { folder });
    let entries = opened.into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let name = form(entry.file_name().as_bytes());
        let is_hidden = name.starts_with('.') && !start.starts_with('.');
        if is_hidden || !name.starts_with(start) {
            return None;
        }
        let (end, meaning) = kind(&entry)?;
        Some(Choice::new(format!("{folder}{name}{end}"), meaning))
    });
    let mut found = sorted(found.collect());
    // A path of its own, not a file of the folder.
    if folder.is_empty() || folder.ends_with("./") {
        let up = match start {
            "." => &["./", "../"][..],
            ".." => &["../"],
            _ => &[],
        };
        found.extend(up.iter().map(|up| Choice::new(format!("{folder}{up}"), "")));
    }
    found
}

/// What follows the name of a socket file or a folder, and its meaning; links count as what they lead to.
fn kind(entry: &DirEntry) -> Option<(&'static str, &'static str)> {
    let path: &Path = &entry.path();
    let kind = fs::metadata(path).ok()?.file_type();
    match (kind.is_dir(), kind.is_socket()) {
        (true, _) => Some(("/", "")),
        (_, true) => Some(("", "a socket file")),
        _ => None,
    }
}

/// A name as a user types it: blanks stay, which the shell quotes, and what is invisible is escaped.
fn shown(name: &[u8]) -> String {
    let mut text = String::new();
    for (number, part) in name.split(|byte| *byte == b'\\').enumerate() {
        text.push_str(if number > 0 { "\\\\" } else { "" });
        // Writing to a String cannot fail.
        let _ = escape(part, is_visible, &mut text);
    }
    text
}

fn sorted(mut choices: Vec<Choice>) -> Vec<Choice> {
    choices.sort_by(|a, b| a.value.cmp(&b.value));
    choices.dedup();
    choices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_local_sockets_have_a_type() {
        assert_eq!(local_type(""), Some(SocketType::Stream));
        assert_eq!(local_type("unixgram:"), Some(SocketType::Datagram));
        for other in ["tcp:", "inet:", "localhost:", "fd:", "x"] {
            assert_eq!(local_type(other), None, "{other}");
        }
    }

    #[test]
    fn a_host_is_not_completed() {
        for word in ["localhost:", "localhost:80", "tcp:local", "[::1", "fd:"] {
            assert_eq!(addresses(word), [], "{word}");
        }
        let offered: Vec<String> = addresses("uni").into_iter().map(|it| it.value).collect();
        assert_eq!(offered, ["unix:", "unixpacket:", "unixgram:"]);
    }
}
