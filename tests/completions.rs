//! The completions, in the shells: what a user types, and the words that the shell then has.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use sok::address::Target;

use crate::support::{Shell, require_peer, required, sok};

const BASH: &[&str] = &["bash", "--norc", "--noprofile", "-i"];
const LOADED_BASH: &[&str] = &["bash", "--noprofile", "--rcfile", BASH_COMPLETION, "-i"];
const BASH_COMPLETION: &str = "/usr/share/bash-completion/bash_completion";
const ZSH: &[&str] = &["zsh", "-f", "-i"];
const FISH: &[&str] = &["fish", "--no-config", "-i"];

const SETUP_BASH: &str = "source <(sok completions bash)";
const SETUP_ZSH: &str = "autoload -Uz compinit; compinit -u -D; source <(sok completions zsh)";
const SETUP_FISH: &str = "sok completions fish | source";

/// A socket that listens at an abstract name of this process.
fn abstract_server(name: &str) -> UnixListener {
    let address = SocketAddr::from_abstract_name(name).unwrap();
    UnixListener::bind_addr(&address).unwrap()
}

/// Types each line in a shell, and compares the words.
fn completes(shell: &[&str], setup: &str, more: &[(&str, &[&str])]) {
    if !require_peer(shell[0]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("folder")).unwrap();
    std::fs::write(at("some.rules"), "").unwrap();
    let files = [
        "plain.sock",
        "two words.sock",
        "it's$.sock",
        "folder/deep.sock",
    ];
    let _files = files.map(|name| UnixListener::bind(at(name)).unwrap());
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let own = format!("sok{}_{number}", std::process::id());
    let _server = abstract_server(&format!("{own}_plain"));

    let mut shell = Shell::start(shell, folder.path(), setup);
    let prefixed = format!("sok call unix:@{own}\t");
    let name = format!("unix:@{own}_plain");
    let cases: &[(&str, &[&str])] = &[
        ("sok se\t", &["sok", "serve"]),
        ("sok help se\t", &["sok", "help", "serve"]),
        ("sok serve --suf\t", &["sok", "serve", "--suffix"]),
        (
            "sok serve --type seq\t",
            &["sok", "serve", "--type", "seqpacket"],
        ),
        ("sok call ./pl\t", &["sok", "call", "./plain.sock"]),
        (
            "sok call unixgram:./pl\t",
            &["sok", "call", "unixgram:./plain.sock"],
        ),
        (
            "sok relay ./tw\tunix:./it\t",
            &["sok", "relay", "./two words.sock", "unix:./it's$.sock"],
        ),
        (
            "sok wait ./fold\tde\t",
            &["sok", "wait", "./folder/deep.sock"],
        ),
        (
            "sok serve --path pl\t",
            &["sok", "serve", "--path", "plain.sock"],
        ),
        (
            "sok serve --rules so\t",
            &["sok", "serve", "--rules", "some.rules"],
        ),
        ("sok call localhost:8\t", &["sok", "call", "localhost:8"]),
        (&prefixed, &["sok", "call", &name]),
    ];
    for (keys, words) in cases.iter().chain(more) {
        // A word that is complete has a blank after it.
        assert_eq!(shell.words_of(keys), *words, "{keys:?}");
    }

    let hostile = format!("{own}!$(touch ran)`touch ran`;\n'\"touch ran\u{1b}[A\\&|>ran");
    let _hostile = abstract_server(&hostile);
    let shown = hostile
        .replace('\\', "\\\\")
        .replace('\n', "\\x0a")
        .replace('\u{1b}', "\\x1b");
    let words = shell.words_of(&format!("sok call @{own}!\t").replace('!', &escaped('!')));
    assert_eq!(words, ["sok", "call", &format!("@{shown}")]);
    assert!(!Path::new(&at("ran")).exists());
}

/// A character after a backslash, as a user types it.
fn escaped(c: char) -> String {
    format!("\\{c}")
}

#[test]
fn bash_completes_what_is_typed() {
    completes(BASH, SETUP_BASH, &[]);
}

#[test]
fn bash_completes_in_open_quotes() {
    let in_quotes: &[(&str, &[&str])] = &[
        ("sok call \"./tw\t", &["sok", "call", "./two words.sock"]),
        ("sok call './it\t", &["sok", "call", "./it's$.sock"]),
        (
            "sok call unix:\"./it\t",
            &["sok", "call", "unix:./it's$.sock"],
        ),
    ];
    completes(BASH, SETUP_BASH, in_quotes);
}

/// What is typed, and the words that come of it, in an open quote.
const IN_QUOTES: (&str, &[&str]) = ("sok call \"./tw\t", &["sok", "call", "./two words.sock"]);

/// The same for a command in the command line, which its own completions complete.
const OF_COMMANDS: [(&str, &[&str]); 2] = [
    (
        "sok wait ./plain.sock -- mkfif\t",
        &["sok", "wait", "./plain.sock", "--", "mkfifo"],
    ),
    (
        "sok serve x --exec sok se\t",
        &["sok", "serve", "x", "--exec", "sok", "serve"],
    ),
];

#[test]
fn bash_completes_the_command_after_the_options_with_its_own_completions() {
    if required("bash-completion", Path::new(BASH_COMPLETION).exists()) {
        completes(LOADED_BASH, SETUP_BASH, &OF_COMMANDS);
    }
}

#[test]
fn zsh_completes_what_is_typed() {
    completes(ZSH, SETUP_ZSH, &[&[IN_QUOTES], &OF_COMMANDS[..]].concat());
}

#[test]
fn fish_completes_what_is_typed() {
    completes(FISH, SETUP_FISH, &[&[IN_QUOTES], &OF_COMMANDS[..]].concat());
}

#[test]
fn each_path_that_is_offered_is_the_address_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "plain",
        "two words",
        "back\\slash",
        "a\nline",
        "\u{fc}",
        "x\\x41",
        "\u{202e}",
    ];
    let _files = names.map(|name| UnixListener::bind(folder.path().join(name)).unwrap());
    std::fs::write(folder.path().join("file"), "").unwrap();
    let typed = format!("unixgram:{}/", folder.path().display());
    let offered = sok(&["completions", "fish", "--", "call", &typed]).text();
    let values = offered
        .lines()
        .skip(1)
        .map(|line| line.split('\t').next().unwrap());
    let mut found: Vec<String> = values
        .map(|value| {
            let Target::Address(address) = Target::parse(value).unwrap() else {
                panic!("{value:?}");
            };
            let path = address.as_unix().unwrap().as_path().unwrap().to_owned();
            path.file_name().unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    let mut wanted = names.map(str::to_owned).to_vec();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted, "{offered}");
}

#[test]
fn an_incomplete_line_of_any_bytes_is_no_error() {
    for words in [
        &["bash", "--", "", ""][..],
        &["bash", "--", "sok call ./\u{fc}", "nothing of it"],
        &["bash", "--", "sok"],
        &["zsh", "--", ""],
        &["fish", "--", "call", "./line\nbreak"],
        &["fish", "--", "--no-such-option", "x", ""],
    ] {
        let done = sok(&[&["completions"], words].concat());
        assert_eq!(done.code, 0, "{words:?}");
    }
}
