//! codespell finds no misspelt word in what people read.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support;

#[test]
fn the_pages_and_the_comments_have_no_misspelt_word() {
    if !support::require_peer("codespell") {
        return;
    }
    let checked = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs",
        "deploy",
        "src",
        "examples",
        "scripts",
    ];
    let done = Command::new("codespell")
        .args(checked)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{found}");
}

#[test]
fn the_help_has_no_misspelt_word() {
    if !support::require_peer("codespell") {
        return;
    }
    let first = support::sok(&["--help"]).text();
    let list = first.split("Commands:\n").nth(1).unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let commands: Vec<&str> = lines
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert!(commands.contains(&"serve"), "{commands:?}");
    for command in commands {
        let help = support::sok(&["help", command]).text();
        let mut check = Command::new("codespell")
            .arg("-")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        check
            .stdin
            .take()
            .unwrap()
            .write_all(help.as_bytes())
            .unwrap();
        let done = check.wait_with_output().unwrap();
        let found = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "sok help {command}:\n{found}");
    }
}
