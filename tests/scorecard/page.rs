//! The page of the scorecard as Markdown.

use std::fmt::Write;

use super::{Different, Fact, NotDone, Pass, SUITES, Suite};

const HEAD: &str = "# Scorecard

What the test suites of socat, ncat and OpenBSD's nc assert about stream, seqpacket and datagram sockets over
AF_INET, AF_INET6 and AF_UNIX, and what `sok` does. Each row is a fact in our words, and below it the names of the
tests of the suite that assert it. *Pass*: it holds for `sok`. *Different*: `sok` does something else on purpose, for
the reason given. *Not done*: `sok` cannot do that.

A fact is shown by tests of ours, which are named: `relay::NAME` is in `tests/relay.rs`, and most run
on each kind of address that has the feature. `scripts/scorecard` runs them and writes this page;
the facts are in `tests/scorecard/`.

";

/// The whole page.
pub(super) fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("| suite | pass | different | not done | tests restated |\n");
    page.push_str("| --- | ---: | ---: | ---: | ---: |\n");
    for suite in SUITES {
        let [pass, different, not_done] = totals(suite);
        let all = pass + different + not_done;
        let program = suite.program;
        writeln!(
            page,
            "| [{program}](#{}) | {pass} | {different} | {not_done} | {all} |",
            anchor(program)
        )
        .unwrap();
    }
    for suite in SUITES {
        section(&mut page, suite);
    }
    page
}

/// How many tests of the suite have each verdict.
fn totals(suite: &Suite) -> [usize; 3] {
    let mut totals = [0; 3];
    for fact in suite.facts {
        totals[rank(fact)] += fact.tests.len();
    }
    totals
}

fn rank(fact: &Fact) -> usize {
    match fact.verdict {
        Pass(_) => 0,
        Different(..) => 1,
        NotDone(_) => 2,
    }
}

/// The anchor that Markdown gives to a heading.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-").replace('\'', "")
}

fn section(page: &mut String, suite: &Suite) {
    let Suite {
        program,
        source,
        left_out,
        facts,
    } = suite;
    writeln!(page, "\n## {program}\n\n{source} Left out: {left_out}\n").unwrap();
    page.push_str("| sok | fact |\n");
    page.push_str("| --- | --- |\n");
    for fact in *facts {
        let (verdict, why) = match fact.verdict {
            Pass(_) => ("pass", ""),
            Different(why, _) => ("different", why),
            NotDone(why) => ("not done", why),
        };
        let shown_by = fact.verdict.shown_by();
        let mut lines = vec![
            format!("**{}**", fact.fact),
            format!("{program}: {}", listed(fact.tests)),
        ];
        if !why.is_empty() {
            lines.push(format!("Why: {why}"));
        }
        if !shown_by.is_empty() {
            lines.push(format!("Shown by: {}", listed(shown_by)));
        }
        // The names are long, and no browser breaks them: in columns, the table would be too wide.
        writeln!(page, "| {verdict} | {} |", lines.join("<br>")).unwrap();
    }
}

fn listed(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
