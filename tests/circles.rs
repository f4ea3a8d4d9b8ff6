//! The files of a folder do not import each other in a circle, checked on `src/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The code of a file without comments, and without its tests, which may import anything.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let tests = "#[cfg(test)]\nmod tests {";
    let code = text.split(tests).next().unwrap_or_default();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    code.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// The names that follow `prefix` in `code`, those of `prefix{a, b::c}` among them.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let mut depth = 0;
        let mut wanted = true;
        let mut name = String::new();
        for c in rest.chars() {
            if wanted && (c.is_alphanumeric() || c == '_') {
                name.push(c);
                continue;
            }
            if !name.is_empty() {
                names.insert(std::mem::take(&mut name));
            }
            match c {
                '{' => {
                    depth += 1;
                    wanted = depth == 1;
                }
                '}' => depth -= 1,
                ',' if depth == 1 => wanted = true,
                ' ' | '\n' => {}
                _ => wanted = false,
            }
            if depth == 0 {
                break;
            }
        }
    }
    names
}

#[test]
fn no_files_of_a_folder_import_each_other_in_a_circle() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for path in sources(&src) {
        let folder = path.parent().unwrap().to_owned();
        folders.entry(folder).or_default().push(path);
    }
    for (folder, files) in folders {
        let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let module = folder.strip_prefix(&src).unwrap();
        // The program is a separate crate.
        let module = module.strip_prefix("bin/sok").unwrap_or(module);
        let module = module.to_str().unwrap().replace('/', "::");
        let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for path in &files {
            // A mod.rs only re-exports what its files define.
            if name(path) == "mod" || folder == src {
                continue;
            }
            let code = code(path);
            let mut names = names_after(&code, "super::");
            names.extend(names_after(&code, &format!("crate::{module}::")));
            names.remove(&name(path));
            imports.insert(name(path), names);
        }
        // Remove files that import no remaining file, until there are none.
        while !imports.is_empty() {
            let left: BTreeSet<String> = imports.keys().cloned().collect();
            let on_ground = |names: &BTreeSet<String>| names.is_disjoint(&left);
            let before = imports.len();
            imports.retain(|_, names| !on_ground(names));
            let circle: Vec<&String> = imports.keys().collect();
            assert_ne!(before, imports.len(), "{module}: a circle in {circle:?}");
        }
    }
}

#[test]
fn the_names_of_an_import_are_found() {
    let code = "use super::a::B;\nuse super::{c, d::{E, f}, g};\nlet x = super::h(1);";
    let found: Vec<String> = names_after(code, "super::").into_iter().collect();
    assert_eq!(found, ["a", "c", "d", "g", "h"]);
}
