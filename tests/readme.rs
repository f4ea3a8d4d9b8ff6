//! The README's examples run as written: each `sh` block in a directory of its own, with the `text`
//! block after it, if there is one, as what it prints.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::support;

/// An example and what it prints.
struct Example {
    script: String,
    prints: Option<String>,
}

fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((language.to_owned(), body.join("\n") + "\n"));
        }
    }
    blocks
}

fn examples() -> Vec<Example> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let blocks = blocks(&fs::read_to_string(path).unwrap());
    let mut examples = Vec::new();
    for (at, (language, script)) in blocks.iter().enumerate() {
        // The two commands of a fresh machine build and test: this test would run itself.
        if language == "sh" && !script.starts_with("cargo ") && !script.starts_with("scripts/") {
            let prints = blocks
                .get(at + 1)
                .filter(|(language, _)| language == "text");
            examples.push(Example {
                script: script.clone(),
                prints: prints.map(|(_, text)| text.clone()),
            });
        }
    }
    examples
}

#[test]
fn each_example_prints_what_the_readme_says() {
    let all = examples();
    assert!(all.len() >= 7, "only {} examples found", all.len());
    for Example { script, prints } in all {
        if ["redis-server", "curl", "python3", "logger"]
            .iter()
            .any(|peer| script.contains(peer) && !support::require_peer(peer))
        {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let binary = Path::new(support::Process::PROGRAM)
            .parent()
            .unwrap()
            .to_owned();
        let search = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        // The README's port may be taken on this machine: any free one shows the same.
        let port = TcpListener::bind("localhost:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let ran = Command::new("sh")
            .args(["-euc", &script.replace("8082", &port.to_string())])
            .current_dir(folder.path())
            .env("PATH", search)
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&ran.stdout).replace('\r', "");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(
            ran.status.success(),
            "{}\n{script}\n{printed}\n{said}",
            ran.status
        );
        if let Some(prints) = prints {
            assert_eq!(printed, prints, "{script}\n{said}");
        }
    }
}

#[test]
fn the_addresses_are_those_of_the_help() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let help = support::sok(&["--help"]).text();
    let table = help.split("ADDRESS has").nth(1).unwrap();
    let rows = table.lines().skip(1).take_while(|line| !line.is_empty());
    let mut seen = 0;
    for line in rows {
        let mut words = line.trim().split(", ");
        let mut last = "";
        let mut row = String::from("| ");
        for word in &mut words {
            let (word, rest) = word.split_once(' ').unwrap_or((word, ""));
            row += &format!("`{word}`");
            if !rest.is_empty() {
                last = rest;
                break;
            }
            row += ", ";
        }
        assert!(!last.is_empty(), "{line}");
        assert!(readme.contains(&row), "the README lacks {row}");
        seen += 1;
    }
    assert_eq!(seen, 13);
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let help = Command::new(support::Process::PROGRAM)
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let table = help.split("Exit codes:\n").nth(1).unwrap();
    let mut codes = 0;
    for line in table.lines().filter(|line| !line.is_empty()) {
        let (code, meaning) = line.trim().split_once(' ').unwrap();
        let row = format!("| {code} | {} |", meaning.trim());
        assert!(readme.contains(&row), "the README lacks {row}");
        codes += 1;
    }
    assert_eq!(codes, 12);
}
