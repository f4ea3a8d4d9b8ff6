//! Colours: when they are shown, and where.

use std::process::{Command, Stdio};

use crate::support::{ErrorTerminal, Process, Terminal, require_peer};

/// Variables with their values, and whether a terminal shows colours with them, and a pipe.
type Rule = (&'static [(&'static str, &'static str)], bool, bool);

/// Those that decide.
const RULES: [Rule; 8] = [
    (&[], true, false),
    (&[("NO_COLOR", "1")], false, false),
    (&[("NO_COLOR", "")], true, false),
    (&[("CLICOLOR", "0")], false, false),
    (&[("CLICOLOR", "1")], true, false),
    (&[("CLICOLOR_FORCE", "1")], true, true),
    (&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], false, false),
    (&[("TERM", "dumb")], false, false),
];

fn failing(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(Process::PROGRAM);
    // The error has a hint.
    command
        .args(["call", "--nonsense"])
        .envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs `arguments` with its standard output on a terminal.
fn on_terminal(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let terminal = Terminal::run_with(arguments, variables);
    terminal.stderr.wait_closed();
    let shown = terminal
        .screen
        .wait_until("a last line", |text| text.ends_with('\n'));
    terminal.ended();
    shown
}

#[test]
fn an_error_and_its_hint_are_coloured_as_the_environment_says() {
    for (variables, on_terminal, in_pipe) in RULES {
        // The terminal sets some of them too, so these come after.
        let mut env = Command::new("env");
        env.args(
            variables
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        env.arg(Process::PROGRAM).args(["call", "--nonsense"]);
        env.stdin(Stdio::null()).stdout(Stdio::null());
        let (code, shown) = ErrorTerminal::of(env).ended();
        assert_eq!(code, Some(2), "{shown}");
        let prefix = shown.starts_with("\u{1b}[1m\u{1b}[31msok:\u{1b}[0m usage");
        let hint = shown.contains("\u{1b}[36msee 'sok call --help'\u{1b}[0m");
        assert_eq!(
            (prefix, hint),
            (on_terminal, on_terminal),
            "{variables:?} {shown:?}"
        );
        let mut piped = failing(variables);
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
            if variables.iter().all(|(given, _)| *given != name) {
                piped.env_remove(name);
            }
        }
        let piped = piped.stderr(Stdio::piped()).output().unwrap();
        let piped = String::from_utf8(piped.stderr).unwrap();
        assert_eq!(piped.contains('\u{1b}'), in_pipe, "{variables:?} {piped:?}");
    }
}

#[test]
fn help_tables_and_verdicts_follow_the_same_rules() {
    if !require_peer("setsid") {
        return;
    }
    let check = ["check", "--family", "unix"];
    for (arguments, mark) in [
        (&["--help"][..], "\u{1b}[1m"),
        (&check, "\u{1b}[32myes\u{1b}[0m"),
        (&check, "\u{1b}[1m"),
        (&["tour", "--lesson", "1", "--family", "unix"], "\u{1b}[32m"),
    ] {
        for (variables, coloured, _) in RULES {
            let shown = on_terminal(arguments, variables);
            assert_eq!(
                shown.contains(mark),
                coloured,
                "{arguments:?} {variables:?} {shown:?}"
            );
        }
    }
}
