//! What `--version` says of a program.

use std::collections::HashMap;
use std::process::Command;

use crate::support::{require_peer, required, sok};

fn facts(text: &str) -> HashMap<&str, &str> {
    let lines = text.lines().skip(2);
    let facts = lines.map(|line| line.split_once(':').expect(line));
    facts.map(|(name, value)| (name, value.trim())).collect()
}

#[test]
fn the_version_is_one_line_or_in_full() {
    let first = format!("sok {}\n", env!("CARGO_PKG_VERSION"));
    let short = sok(&["-V"]);
    assert_eq!((short.text(), short.code), (first.clone(), 0));
    let full = sok(&["--version"]);
    assert_eq!(full.code, 0);
    let text = full.text();
    assert!(text.starts_with(&format!("{first}\n")), "{text}");
    let facts = facts(&text);
    assert_eq!(facts["features"], "cli serde");
    assert!(facts["target"].contains(std::env::consts::ARCH), "{text}");
    assert!(facts["libc"].ends_with("dynamic"), "{text}");
    assert_eq!(facts["resolver"], "getaddrinfo");
    assert!(facts["rustc"].starts_with("1."), "{text}");
    assert!(!facts["commit"].is_empty(), "{text}");
}

/// Of the library that it was linked with, not of the one that it runs with.
#[test]
fn the_version_names_the_version_of_the_c_library() {
    if !require_peer("ldd") {
        return;
    }
    let ldd = Command::new("ldd").arg("--version").output().unwrap();
    let ldd = String::from_utf8(ldd.stdout).unwrap();
    let version = ldd.lines().next().and_then(|line| line.rsplit(' ').next());
    let text = sok(&["--version"]).text();
    let expected = format!("gnu {}, dynamic", version.unwrap());
    assert_eq!(facts(&text)["libc"], expected);
}

#[test]
fn the_version_of_a_static_program_names_its_resolver() {
    let program = std::env::var_os("SOK_STATIC");
    if !required("static", program.is_some()) {
        return;
    }
    let done = Command::new(program.unwrap()).arg("--version").output();
    let text = String::from_utf8(done.unwrap().stdout).unwrap();
    let facts = facts(&text);
    assert!(facts["libc"].ends_with("static"), "{text}");
    assert_eq!(facts["resolver"], "hickory-dns");
}
