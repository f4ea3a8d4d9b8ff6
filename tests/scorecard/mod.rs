//! What the test suites of other programs assert about sockets, restated as facts, and what `sok`
//! does: `scripts/scorecard` runs the tests that show it and writes `docs/scorecard.md`.

mod nc;
mod ncat;
mod page;
mod shown;
mod socat;

use std::collections::HashSet;
use std::process::Command;

use self::Verdict::{Different, NotDone, Pass};

/// The test suite of one program.
struct Suite {
    program: &'static str,
    /// Its version and where it is.
    source: &'static str,
    /// What of it is left out, as it concerns no stream, seqpacket or datagram socket of AF_INET,
    /// AF_INET6 or AF_UNIX.
    left_out: &'static str,
    facts: &'static [Fact],
}

/// One fact, which one or more tests of a suite assert.
struct Fact {
    /// The names of the tests in the suite.
    tests: &'static [&'static str],
    /// The fact in one sentence.
    fact: &'static str,
    verdict: Verdict,
}

/// What `sok` does.
enum Verdict {
    /// The fact holds; the tests show it.
    Pass(&'static [&'static str]),
    /// It does something else for a reason; the tests, if any, show what.
    Different(&'static str, &'static [&'static str]),
    /// It cannot do that, for a reason.
    NotDone(&'static str),
}

impl Verdict {
    /// Our tests that show it, without the kind of address.
    fn shown_by(&self) -> &'static [&'static str] {
        match self {
            Pass(tests) | Different(_, tests) => tests,
            NotDone(_) => &[],
        }
    }
}

static SUITES: [&Suite; 3] = [&socat::SUITE, &ncat::SUITE, &nc::SUITE];

fn facts() -> impl Iterator<Item = &'static Fact> {
    SUITES.iter().flat_map(|suite| suite.facts)
}

/// The names of the tests that the page depends on.
fn shown_by() -> Vec<&'static str> {
    let mut names: Vec<_> = facts()
        .flat_map(|fact| fact.verdict.shown_by())
        .copied()
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The names of all tests of this program.
fn all_tests() -> String {
    let program = std::env::current_exe().unwrap();
    let done = Command::new(program)
        .args(["--list", "--format=terse"])
        .output();
    String::from_utf8(done.unwrap().stdout).unwrap()
}

#[test]
fn every_test_that_shows_a_fact_exists() {
    let all = all_tests();
    let tests = all.lines().filter_map(|line| line.strip_suffix(": test"));
    let known: HashSet<&str> = tests
        .flat_map(|test| [Some(test), test.rsplit_once("::").map(|(name, _)| name)])
        .flatten()
        .collect();
    let missing: Vec<_> = shown_by()
        .into_iter()
        .filter(|name| !known.contains(name))
        .collect();
    assert!(missing.is_empty(), "no such test: {missing:#?}");
}

#[test]
fn every_fact_is_complete_and_listed_once() {
    for suite in SUITES {
        let mut seen = HashSet::new();
        for fact in suite.facts {
            let place = format!("{}: {}", suite.program, fact.fact);
            assert!(fact.fact.ends_with('.'), "{place} is no sentence");
            assert!(!fact.tests.is_empty(), "{place} has no test");
            for test in fact.tests {
                assert!(seen.insert(test), "{place} repeats {test}");
            }
            match fact.verdict {
                Pass(shown) => assert!(!shown.is_empty(), "{place} is not shown"),
                Different(reason, _) | NotDone(reason) => {
                    assert!(!reason.is_empty(), "{place} has no reason");
                }
            }
        }
    }
}

#[test]
fn the_page_lists_every_fact_with_its_verdict() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scorecard.md");
    let page = page::page();
    // scripts/scorecard asks for the page and for the tests that it must run.
    if let Some(directory) = std::env::var_os("SOK_SCORECARD") {
        let directory = std::path::Path::new(&directory);
        std::fs::write(directory.join("page"), page).unwrap();
        std::fs::write(directory.join("tests"), shown_by().join("\n") + "\n").unwrap();
        return;
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/scorecard.md is not what the facts say; scripts/scorecard writes it"
    );
}
