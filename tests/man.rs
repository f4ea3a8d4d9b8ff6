//! The man pages, as their readers' programs format them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::{require_peer, sok};

/// Writes all pages to a folder.
fn pages() -> (TempDir, Vec<PathBuf>) {
    // Beside the folder of this program; the program under test may be from another build.
    let own = std::env::current_exe().unwrap();
    let built = own.ancestors().nth(2).unwrap();
    let program = built.join("examples/man");
    assert!(
        program.is_file(),
        "cargo build --examples makes {}",
        program.display()
    );
    let folder = tempfile::tempdir().unwrap();
    let written = Command::new(program)
        .arg(folder.path())
        .arg("2026-01-31")
        .output()
        .unwrap();
    assert!(written.status.success(), "{written:?}");
    let entries = fs::read_dir(folder.path()).unwrap();
    let pages = entries.map(|entry| entry.unwrap().path()).collect();
    (folder, pages)
}

fn commands() -> Vec<String> {
    let help = sok(&["--help"]).text();
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let rows = list.lines().take_while(|line| !line.is_empty());
    let names = rows.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names.map(str::to_owned).collect()
}

fn man(page: &Path, options: &[&str]) -> Output {
    Command::new("man")
        .args(options)
        .arg("-l")
        .arg(page)
        .envs([
            ("LC_ALL", "C.UTF-8"),
            ("MANWIDTH", "80"),
            ("MANPAGER", "cat"),
        ])
        .output()
        .unwrap()
}

/// The text of a page at 80 columns.
fn formatted(page: &Path) -> String {
    let done = man(page, &["-E", "UTF-8"]);
    // Bold is a character, a backspace, and the character again.
    let mut text = String::new();
    for c in String::from_utf8(done.stdout).unwrap().chars() {
        match c {
            '\u{8}' => drop(text.pop()),
            c => text.push(c),
        }
    }
    text
}

#[test]
fn the_formatters_find_nothing_to_warn_of() {
    if !(require_peer("mandoc") && require_peer("man")) {
        return;
    }
    let (_folder, pages) = pages();
    for page in pages {
        let lint = Command::new("mandoc")
            .args(["-T", "lint", "-W", "warning"])
            .arg(&page)
            .output();
        let lint = lint.unwrap();
        assert!(lint.status.success() && lint.stdout.is_empty(), "{lint:?}");
        let warned = man(&page, &["--warnings=w", "-E", "UTF-8", "-Tutf8"]);
        let said = String::from_utf8_lossy(&warned.stderr).into_owned();
        assert!(
            warned.status.success() && said.is_empty(),
            "{}: {said}",
            page.display()
        );
    }
}

#[test]
fn each_command_has_a_page_with_each_of_its_options() {
    let (folder, pages) = pages();
    let commands = commands();
    assert_eq!(pages.len(), commands.len() + 2);
    for command in commands {
        let text = fs::read_to_string(folder.path().join(format!("sok-{command}.1"))).unwrap();
        let help = sok(&[&command, "--help"]).text();
        // Text that begins with an option has another indentation.
        let options = help.lines().filter_map(|line| {
            let is_option = line.starts_with("      --") || line.starts_with("  -");
            let (_, option) = line.split_once("--").filter(|_| is_option)?;
            option.split([' ', '=']).next()
        });
        let mut count = 0;
        for option in options {
            let heading = format!("\\fB\\-\\-{}\\fR", option.replace('-', "\\-"));
            assert!(text.contains(&heading), "{command}: --{option}");
            count += 1;
        }
        assert!(count >= 5, "{command}: {count} options");
        let main = fs::read_to_string(folder.path().join("sok.1")).unwrap();
        assert!(main.contains(&format!("sok\\-{command} (1)")), "{command}");
    }
}

#[test]
fn a_page_fits_80_columns_and_its_options_can_be_copied() {
    if !require_peer("man") {
        return;
    }
    let (_folder, pages) = pages();
    for page in pages {
        let text = formatted(&page);
        let wide: Vec<&str> = text
            .lines()
            .filter(|line| line.chars().count() > 80)
            .collect();
        assert!(wide.is_empty(), "{}: {wide:#?}", page.display());
        // A dash of another kind is not found by a search, and no option for a shell.
        for dash in ['\u{2010}', '\u{2212}', '\u{2013}'] {
            let at = text.find(dash).map(|at| text[..at].lines().last());
            assert_eq!(at, None, "{}: {dash:?}", page.display());
        }
        // What a formatter does not understand, it prints.
        for raw in ["\\f", "\\(", "(aq", "]]"] {
            let at = text.find(raw).map(|at| text[..at].lines().last());
            assert_eq!(at, None, "{}: {raw:?}", page.display());
        }
        let mut headings = text
            .lines()
            .filter(|line| line.starts_with(|c: char| c.is_uppercase()));
        assert!(headings.any(|line| line == "NAME"), "{text}");
    }
}

#[test]
fn a_page_has_each_default_of_the_help() {
    if !require_peer("man") {
        return;
    }
    let (folder, _) = pages();
    let mut count = 0;
    for command in commands() {
        let defaults = |text: &str| {
            let words: Vec<&str> = text.split_whitespace().collect();
            let text = words.join(" ");
            let begins = text.match_indices("[default").map(|(at, _)| at);
            let mut found: Vec<String> = begins
                .map(|at| text[at..].split(']').next().unwrap().to_owned())
                .collect();
            found.sort();
            found
        };
        let of_help = defaults(&sok(&[&command, "--help"]).text());
        count += of_help.len();
        let of_page = defaults(&formatted(&folder.path().join(format!("sok-{command}.1"))));
        assert_eq!(of_page, of_help, "{command}");
    }
    assert!(count > 20, "{count}");
}

#[test]
fn the_page_of_addresses_has_those_of_the_help() {
    let (folder, _) = pages();
    let page = fs::read_to_string(folder.path().join("sok-address.7")).unwrap();
    let help = sok(&["--help"]).text();
    let table = help.split("ADDRESS has").nth(1).unwrap();
    let mut count = 0;
    for line in table.lines().skip(1).take_while(|line| !line.is_empty()) {
        let word = line.trim().split([' ', ',']).next().unwrap();
        assert!(page.contains(&format!("\\fB{word}\\fR")), "{word}");
        count += 1;
    }
    assert_eq!(count, 13);
}
