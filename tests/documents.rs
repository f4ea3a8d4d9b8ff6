//! The examples of the README and of `docs/` run as written: each `sh` block in a directory of its own,
//! with the `text` block after it, if there is one, as what it prints.
//!
//! A comment `<!-- test ... -->` before a block has commands that run first, such as a server to talk to. Its
//! lines `for PATH use OTHER` replace a path of the block that belongs to the system.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::support;

/// A test for each page, so that they run side by side, and the list of them.
macro_rules! pages {
    ($($name:ident $path:literal),+ $(,)?) => {
        mod each_example_prints_what_the_page_says {
            $(
                #[test]
                fn $name() {
                    super::run_examples($path);
                }
            )+
        }

        const PAGES: &[&str] = &[$($path),+];
    };
}

pages! {
    readme "README.md",
    addresses "docs/addresses.md",
    cookbook "docs/cookbook.md",
    environment "docs/environment.md",
    exit_codes "docs/exit-codes.md",
    from_socat_nc_ncat "docs/from-socat-nc-ncat.md",
    json "docs/json.md",
    learn "docs/learn.md",
    measure "docs/measure.md",
    messages "docs/messages.md",
    production "docs/production.md",
    relay "docs/relay.md",
    serve "docs/serve.md",
}

/// The ports of the examples.
const PORTS: [&str; 4] = ["8082", "8083", "8084", "8085"];

/// An example and what it prints.
struct Example {
    /// The heading above it.
    heading: String,
    /// Commands that are not shown.
    before: String,
    script: String,
    prints: Option<String>,
}

/// A page or another file of the project, by its path from the top.
pub(crate) fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The README and the pages of `docs/`.
pub(crate) fn all_pages() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = names.filter(|name| name.ends_with(".md"));
    let mut pages: Vec<String> = pages.map(|name| format!("docs/{name}")).collect();
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let (mut heading, mut before) = (String::new(), String::new());
    // Whether the last block was an example, whose output may follow.
    let mut is_open = false;
    let text = file(page);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut body = |end: &str| -> String {
            let body = lines.by_ref().take_while(|line| *line != end);
            body.map(|line| format!("{line}\n")).collect()
        };
        if let Some(language) = line.strip_prefix("```") {
            let body = body("```");
            match language {
                // The two commands of a fresh machine build and test: this test would run itself.
                "sh" if body.starts_with("cargo ") || body.starts_with("scripts/") => {}
                "sh" => {
                    is_open = true;
                    let (heading, before) = (heading.clone(), std::mem::take(&mut before));
                    let (script, prints) = (body, None);
                    examples.push(Example {
                        heading,
                        before,
                        script,
                        prints,
                    });
                    continue;
                }
                "text" if is_open => examples.last_mut().unwrap().prints = Some(body),
                _ => {}
            }
            is_open = false;
        } else if line == "<!-- test" {
            before = body("-->");
        } else if line.starts_with('#') {
            line.clone_into(&mut heading);
        }
    }
    examples
}

/// Whether the machine has the programs that an example runs.
fn can_run(script: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || "-_".contains(letter);
    let words: Vec<&str> = script.split(|letter| !is_part(letter)).collect();
    let mut peers = support::peers().into_iter();
    peers.all(|peer| !words.contains(&peer) || support::require_peer(peer))
}

/// Whether each example can have a network of its own, in which every port is free.
fn has_own_network() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let mut command = Command::new("unshare");
        command.args(["--net", "ip", "link", "set", "lo", "up"]);
        command.output().is_ok_and(|done| done.status.success())
    })
}

/// The commands of an example and what they print, with what differs on this machine.
fn on_this_machine(example: &Example) -> (String, Option<String>) {
    let (mut before, mut script) = (String::new(), example.script.clone());
    for line in example.before.lines() {
        if let Some(path) = line.strip_prefix("for ") {
            let (shown, used) = path.split_once(" use ").unwrap();
            assert!(script.contains(shown), "the example has no {shown}");
            script = script.replace(shown, used);
        } else {
            before += &format!("{line}\n");
        }
    }
    let (mut commands, mut prints) = (before + &script, example.prints.clone());
    if !has_own_network() {
        // A port of the page may be taken on this machine: any free one shows the same.
        let free = PORTS.map(|_| TcpListener::bind("localhost:0").unwrap());
        for (shown, free) in PORTS.iter().zip(free) {
            let port = free.local_addr().unwrap().port().to_string();
            commands = commands.replace(shown, &port);
            prints = prints.map(|text| text.replace(shown, &port));
        }
    }
    (commands, prints)
}

fn run_examples(page: &str) {
    let examples = examples(page);
    assert!(!examples.is_empty(), "{page} has no examples");
    for example in examples {
        let (commands, prints) = on_this_machine(&example);
        if can_run(&commands) {
            run(page, &example, &commands, prints.as_deref());
        }
    }
}

fn run(page: &str, example: &Example, commands: &str, prints: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let Ran {
        is_success,
        printed,
        said,
    } = shell(folder.path(), commands);
    let place = format!("{page}, {}", example.heading);
    assert!(is_success, "{place}\n{commands}\n{printed}\n{said}");
    if let Some(prints) = prints {
        assert_eq!(printed, prints, "{place}\n{commands}\n{said}");
    }
}

/// What commands of a shell have printed.
pub(crate) struct Ran {
    pub(crate) is_success: bool,
    pub(crate) printed: String,
    pub(crate) said: String,
}

/// Runs commands in a folder, with a network of their own if that is possible.
pub(crate) fn shell(folder: &Path, commands: &str) -> Ran {
    let program = PathBuf::from(support::Process::PROGRAM);
    let search = std::env::var("PATH").unwrap();
    let search = format!("{}:{search}", program.parent().unwrap().display());
    let (mut printed, mut said) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let mut shell = match has_own_network() {
        true => {
            let mut unshare = Command::new("unshare");
            let ready = "ip link set lo up && exec sh -euc \"$1\"";
            unshare.args(["--net", "sh", "-c", ready, "sh", commands]);
            unshare
        }
        false => {
            let mut shell = Command::new("sh");
            shell.args(["-euc", commands]);
            shell
        }
    };
    let mut shell = shell
        .current_dir(folder)
        .env("PATH", search)
        .stdin(Stdio::null())
        .stdout(printed.try_clone().unwrap())
        .stderr(said.try_clone().unwrap())
        .process_group(0)
        .spawn()
        .unwrap();
    let group = Pid::from_raw(shell.id().try_into().unwrap());
    let is_success = shell.wait().unwrap().success();
    // What is left in the background; the group is gone if that is nothing.
    let _ = killpg(group, Signal::SIGKILL);
    let printed = contents(&mut printed).replace('\r', "");
    let said = contents(&mut said);
    Ran {
        is_success,
        printed,
        said,
    }
}

fn contents(file: &mut File) -> String {
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn each_page_with_examples_is_tested() {
    for page in all_pages() {
        if !examples(&page).is_empty() {
            assert!(
                PAGES.contains(&&*page),
                "no test runs the examples of {page}"
            );
        }
    }
}

#[test]
fn of_25_everyday_commands_at_least_19_have_one_of_sok_that_runs() {
    let page = "docs/from-socat-nc-ncat.md";
    let text = file(page);
    let count = |part: &dyn Fn(usize) -> bool| (1..=25).filter(|number| part(*number)).count();
    let is_listed = |number: usize| text.contains(&format!("\n### {number}. "));
    assert_eq!(count(&is_listed), 25);
    let examples = examples(page);
    let runs = |number: usize| {
        let heading = format!("### {number}. ");
        let mut examples = examples.iter();
        examples.any(|one| one.heading.starts_with(&heading) && one.prints.is_some())
    };
    assert!(count(&runs) >= 19, "only {} run", count(&runs));
}

#[test]
fn the_addresses_are_those_of_the_help() {
    let page = file("docs/addresses.md");
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
        assert!(page.contains(&row), "the page lacks {row}");
        seen += 1;
    }
    assert_eq!(seen, 13);
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let page = file("docs/exit-codes.md");
    let help = support::sok(&["--help"]).text();
    let table = help.split("Exit codes:\n").nth(1).unwrap();
    let mut codes = 0;
    for line in table.lines().filter(|line| !line.is_empty()) {
        let (code, meaning) = line.trim().split_once(' ').unwrap();
        let row = format!("| {code} | {} |", meaning.trim());
        assert!(page.contains(&row), "the page lacks {row}");
        codes += 1;
    }
    assert_eq!(codes, 12);
}
