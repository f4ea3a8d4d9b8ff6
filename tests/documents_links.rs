//! The links of the pages lead to files and headings that exist, and the README stays short.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use crate::documents::{all_pages, file};

/// A page without what is in code blocks, code spans and comments.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            lines
                .by_ref()
                .take_while(|line| *line != "```")
                .for_each(drop);
        } else if line.starts_with("<!--") && !line.ends_with("-->") {
            lines
                .by_ref()
                .take_while(|line| *line != "-->")
                .for_each(drop);
        } else {
            prose += line;
            prose.push('\n');
        }
    }
    // Every second part is a code span, and keeps no link.
    let parts = prose.split('`').enumerate();
    parts
        .map(|(at, part)| if at % 2 == 0 { part } else { "code" })
        .collect()
}

/// The targets of links, pictures and their sources.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let mut links = Vec::new();
    for (before, end) in [
        ("](", ')'),
        ("src=\"", '"'),
        ("srcset=\"", '"'),
        ("href=\"", '"'),
    ] {
        for part in prose.split(before).skip(1) {
            links.push(part.split(end).next().unwrap().to_owned());
        }
    }
    links
}

/// The anchors that GitHub makes of the headings of a page.
fn anchors(text: &str) -> HashSet<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut anchors = HashSet::new();
    let mut is_code = false;
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        let heading = line.trim_start_matches('#');
        if is_code || heading == line || !heading.starts_with(' ') {
            continue;
        }
        let letters = heading.trim().chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ => letter
                .is_alphanumeric()
                .then(|| letter.to_ascii_lowercase()),
        });
        let anchor: String = letters.collect();
        let before = seen.entry(anchor.clone()).or_default();
        anchors.insert(match *before {
            0 => anchor,
            count => format!("{anchor}-{count}"),
        });
        *before += 1;
    }
    anchors
}

/// A path with no `..` in it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{} leaves the project", path.display()),
            part => plain.push(part),
        }
    }
    plain
}

/// Why a link of a page leads nowhere.
fn fault(page: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => PathBuf::from(page),
        path => plain(&Path::new(page).parent().unwrap().join(path)),
    };
    let target = target.to_str().unwrap().to_owned();
    let is_file = Path::new(env!("CARGO_MANIFEST_DIR")).join(&target).exists();
    if !is_file {
        return Some(format!("{page}: no file {target}"));
    }
    let is_there = || anchors(&file(&target)).contains(anchor);
    (!anchor.is_empty() && !is_there()).then(|| format!("{page}: {target} has no #{anchor}"))
}

#[test]
fn each_link_leads_to_a_file_and_a_heading() {
    let mut pages = all_pages();
    let more = [
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "deploy/README.md",
    ];
    pages.extend(more.map(str::to_owned));
    let mut count = 0;
    let mut faults = Vec::new();
    for page in pages {
        let links = links(&file(&page));
        count += links.len();
        faults.extend(links.iter().filter_map(|link| fault(&page, link)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 50, "only {count} links found");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let found =
        links("See [a](b.md#c), `[no](link)`.\n\n```sh\n[no](link)\n```\n<img src=\"d.svg\">\n");
    assert_eq!(found, ["b.md#c", "d.svg"]);
    let of = |link| fault("docs/relay.md", link).unwrap_or_default();
    assert_eq!(of("none.md"), "docs/relay.md: no file docs/none.md");
    assert_eq!(
        of("../README.md#none"),
        "docs/relay.md: README.md has no #none"
    );
    assert_eq!(of("#relay"), "");
    assert_eq!(of("../README.md"), "");
}

#[test]
fn each_page_of_the_documentation_is_linked_from_the_readme() {
    let linked = links(&file("README.md"));
    for page in all_pages() {
        // How the code is built is for its authors.
        let is_own = page == "README.md" || page == "docs/ARCHITECTURE.md";
        assert!(
            is_own || linked.contains(&page),
            "the README does not link {page}"
        );
    }
}

#[test]
fn the_readme_is_a_landing_page() {
    let lines = file("README.md").lines().count();
    assert!(lines <= 200, "the README has {lines} lines");
}
