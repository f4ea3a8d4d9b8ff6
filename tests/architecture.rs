//! The rules of the architecture, checked on `src/`: what may be used where, and the direction of
//! imports.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders and files of the library from the top down: each may use those below it.
const LIBRARY: &[&[&str]] = &[
    &["fuzzing"],
    &["service"],
    &["client"],
    &["transfer"],
    &["loops"],
    &["access"],
    &["net"],
    &["memory"],
    &["reports"],
    &["address"],
    &["names"],
    &["offload"],
    &["error"],
    &["escape"],
];

/// The same for the program, which is in a separate folder. The compiler checks what it may use of
/// the library.
const PROGRAM: &[&[&str]] = &[
    &["main"],
    &["fuzzing"],
    &["commands"],
    &["output"],
    &["args"],
    &[
        "activate",
        "bench",
        "check",
        "completions",
        "status",
        "tour",
    ],
    &["full_receiver"],
    &["exit"],
];

const PROGRAM_FOLDER: &str = "bin/sok/";

/// One source file, without its comments.
struct Source {
    /// Its path below `src/`.
    path: String,
    code: String,
    lines: usize,
}

impl Source {
    /// Whether it is one of `places`: files, or folders that end in a slash.
    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| match place.ends_with('/') {
            true => self.path.starts_with(place),
            false => self.path == *place,
        })
    }
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, found),
                false => found.push(path),
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    let sources: Vec<Source> = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            Source {
                path: path.strip_prefix(&root).unwrap().display().to_string(),
                lines: text.lines().count(),
                code: without_comments(&text),
            }
        })
        .collect();
    assert!(sources.len() > 20, "only {} files found", sources.len());
    sources
}

fn without_comments(text: &str) -> String {
    let code = text.lines().map(|line| {
        let comment = match line.trim_start().starts_with("//") {
            true => Some(0),
            // A "//" in a string, as in a URL, has no space before it.
            false => line.find(" // "),
        };
        &line[..comment.unwrap_or(line.len())]
    });
    code.collect::<Vec<&str>>().join("\n")
}

/// The position of `word` in `code` as a separate word.
fn positions(code: &str, word: &str) -> Vec<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| !code[..*at].ends_with(is_part))
        .filter(|at| !code[at + word.len()..].starts_with(is_part))
        .collect()
}

fn assert_only_in(words: &[&str], places: &[&str]) {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_in(places)) {
        for word in words {
            if !positions(&source.code, word).is_empty() {
                broken.push(format!("src/{} uses {word}", source.path));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "only {places:?} may:\n{}",
        broken.join("\n")
    );
}

#[test]
fn the_argument_parser_stays_in_the_command_line() {
    assert_only_in(&["clap"], &["bin/sok/args/"]);
}

#[test]
fn socket_calls_stay_in_the_net_and_transfer_layers() {
    let words = [
        "socket2",
        "nix::sys::socket",
        "rustix::net",
        "nix::sys::sendfile",
        "std::net::TcpListener",
        "std::net::TcpStream",
        "std::os::unix::net",
        "tokio::net",
    ];
    assert_only_in(&words, &["net/", "transfer/"]);
}

#[test]
fn prints_stay_in_the_user_interface() {
    let words = [
        "println!",
        "eprintln!",
        "print!",
        "eprint!",
        "stdout",
        "stderr",
        "dbg!",
    ];
    // `Command::stdout` sets a child's stream and prints nothing; the input is no print.
    let places = [
        "bin/sok/output/ui.rs",
        "bin/sok/output/talk.rs",
        "bin/sok/output/standard.rs",
    ];
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_in(&places)) {
        for word in words {
            for at in positions(&source.code, word) {
                let own = ["io::", "std::io::"]
                    .iter()
                    .any(|p| source.code[..at].ends_with(p));
                if word.ends_with('!') || own {
                    broken.push(format!("src/{} uses {word}", source.path));
                }
            }
        }
    }
    assert!(
        broken.is_empty(),
        "only {places:?} print:\n{}",
        broken.join("\n")
    );
}

/// The values that depend on the family, and their variants.
const FAMILIES: &[(&str, &[&str])] = &[
    ("Family", &["Inet", "Inet6", "Unix"]),
    ("SocketName", &["Inet", "Inet6", "Unix"]),
    (
        "AddressKind",
        &["Inet", "Inet6", "UnixPath", "UnixAbstract"],
    ),
];

/// The same for the socket type.
const TYPES: &[(&str, &[&str])] = &[("SocketType", &["Stream", "SeqPacket", "Datagram"])];

/// The variants of `kinds` that `code` branches on, as patterns or by comparison.
fn branches(kinds: &[(&str, &[&str])], code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, variants) in kinds {
        for variant in *variants {
            let name = format!("{kind}::{variant}");
            for at in positions(code, &name) {
                let before = code[..at].trim_end();
                let compared = before.ends_with("==") || before.ends_with("!=");
                let after = code[at + name.len()..].trim_start();
                let after = after_parentheses(after).trim_start();
                let follows = |text: &str| after.starts_with(text);
                let pattern = follows("=>")
                    || (follows("|") && !follows("||"))
                    || (before.ends_with('|') && !before.ends_with("||"))
                    || follows("if ")
                    || follows("=")
                    || follows("!=")
                    || (follows(")") && inside_matches(before));
                if compared || pattern {
                    found.push(name.clone());
                }
            }
        }
        let all = format!("{kind}::*");
        if code.contains(&all) {
            found.push(all);
        }
    }
    found
}

/// The text after the parentheses that `text` starts with, if it does.
fn after_parentheses(text: &str) -> &str {
    if !text.starts_with('(') {
        return text;
    }
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[at + 1..];
        }
    }
    text
}

/// Whether `before` ends inside the parentheses of a `matches!`.
fn inside_matches(before: &str) -> bool {
    before.rfind("matches!(").is_some_and(|at| {
        let since = &before[at + "matches!".len()..];
        after_parentheses(since).len() == since.len()
    })
}

#[test]
fn a_branch_on_a_family_is_recognized() {
    for branch in [
        "match family { Family::Unix => 1 }",
        "match name { SocketName::Inet(_) | x => 1 }",
        "if let SocketName::Unix(name) = name {}",
        "let SocketName::Unix(UnixName::Path(path)) = name else {}",
        "matches!(family, Family::Inet6)",
        "matches!(family(), Family::Inet6)",
        "if family == Family::Unix {}",
        "if Family::Unix != family {}",
        "match a { SocketName::Inet(a) if a.is_good() => 1 }",
        "use Family::*;",
    ] {
        assert_eq!(branches(FAMILIES, branch).len(), 1, "{branch}");
    }
    for harmless in [
        "Socket::open(Family::Unix)?;",
        "Ok(SocketName::Unix(name?))",
        "let a = SocketName::Inet(x);",
        "MyFamily::Unix => 1",
        "if matches!(a, b) { Socket::open(Family::Unix) }",
        "vec![SocketName::Inet(a), SocketName::Inet6(b)]",
    ] {
        let found = branches(FAMILIES, harmless);
        assert_eq!(found, Vec::<String>::new(), "{harmless}");
    }
}

#[test]
fn only_the_family_tables_branch_on_a_family() {
    assert_branches_only_in(FAMILIES, &["address/", "net/family/", "net/sockaddr.rs"]);
}

/// Others ask `SocketType::keeps_messages` or `SocketType::has_connection`.
#[test]
fn only_addresses_and_sockets_branch_on_a_socket_type() {
    assert_branches_only_in(TYPES, &["address/", "net/"]);
}

fn assert_branches_only_in(kinds: &[(&str, &[&str])], places: &[&str]) {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_in(places)) {
        for name in branches(kinds, &source.code) {
            broken.push(format!("src/{} branches on {name}", source.path));
        }
    }
    assert!(
        broken.is_empty(),
        "only {places:?} may:\n{}",
        broken.join("\n")
    );
}

#[test]
fn the_two_loops_name_no_family() {
    let loops = ["loops/connection.rs", "loops/communication.rs"];
    let sources = sources();
    for path in loops {
        let source = sources
            .iter()
            .find(|source| source.path == path)
            .expect(path);
        let code = source.code.to_lowercase();
        for word in [
            "family",
            "inet",
            "unix",
            "tcp",
            "v4",
            "v6",
            "socketfile",
            "abstract",
        ] {
            assert!(!code.contains(word), "src/{path} names {word:?}");
        }
    }
}

/// The position of `name` in `layers`.
fn layer(layers: &[&[&str]], name: &str) -> Option<usize> {
    layers.iter().position(|layer| layer.contains(&name))
}

/// The names that `code` imports after `crate::`.
fn imports(code: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for at in positions(code, "crate") {
        let Some(rest) = code[at..].strip_prefix("crate::") else {
            continue;
        };
        let list: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap().split(',').collect(),
            None => vec![rest],
        };
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        names.extend(list.into_iter().map(|name| {
            let name = name.trim();
            let end = name.find(|c| !is_part(c)).unwrap_or(name.len());
            &name[..end]
        }));
    }
    names
}

#[test]
fn imports_point_one_way() {
    // The library's root re-exports these names.
    let root = [
        ("Address", "address"),
        ("Family", "address"),
        ("Target", "address"),
        ("Error", "error"),
        ("ErrorKind", "error"),
        ("Result", "error"),
        ("communication_loop", "loops"),
        ("connection_loop", "loops"),
    ];
    let mut broken = Vec::new();
    for source in sources() {
        let (layers, path) = match source.path.strip_prefix(PROGRAM_FOLDER) {
            Some(path) => (PROGRAM, path),
            None => (LIBRARY, &*source.path),
        };
        let own = path.split(['/', '.']).next().unwrap();
        let Some(from) = layer(layers, own) else {
            assert_eq!(own, "lib", "src/{} belongs to no layer", source.path);
            continue;
        };
        for name in imports(&source.code) {
            let given_out = root.iter().find(|(known, _)| *known == name);
            let name = given_out.map_or(name, |(_, place)| place);
            if layer(layers, name).is_some_and(|to| name != own && to <= from) {
                broken.push(format!("src/{} uses {name}", source.path));
            }
        }
    }
    broken.sort();
    broken.dedup();
    assert!(
        broken.is_empty(),
        "against the order:\n{}",
        broken.join("\n")
    );
}

#[test]
fn every_file_is_short_enough_to_be_read() {
    for source in sources() {
        let limit = if source.path.ends_with("/main.rs") {
            40
        } else {
            420
        };
        assert!(
            source.lines < limit,
            "src/{} has {} lines",
            source.path,
            source.lines
        );
    }
}

#[test]
fn every_file_of_tests_is_compiled() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let main = fs::read_to_string(tests.join("main.rs")).unwrap();
    for entry in fs::read_dir(tests).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|end| end == "rs") && name != "main" {
            let line = format!("mod {name};");
            assert!(main.lines().any(|known| known == line), "{line}");
        }
    }
}
