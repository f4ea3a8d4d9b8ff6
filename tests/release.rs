//! `scripts/release`: what it checks before a release, and the hosted workflow that follows the tag. The
//! packages themselves are tried by `scripts/try-packages`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{Kind, Place, require_peer, required};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const CHANGELOG: &str = "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-11-28\n\n- All.\n";

/// A repository that has what the script reads, ready for the release of 0.2.0.
struct Repository {
    place: Place,
}

impl Repository {
    fn new() -> Option<Self> {
        if !(require_peer("git") && require_peer("python3")) {
            return None;
        }
        let it = Self {
            place: Place::new(Kind::Unix),
        };
        let copied = Command::new("cp")
            .args(["--recursive", "--parents", "scripts/release"])
            .arg("scripts/packing")
            .arg(it.place.path(""))
            .current_dir(ROOT)
            .status();
        assert!(copied.unwrap().success());
        let entry = "name = \"sok\"\nversion = \"0.2.0\"\n";
        it.write("Cargo.toml", &format!("[package]\n{entry}"));
        it.write("CHANGELOG.md", CHANGELOG);
        for lock in ["Cargo.lock", "tests/embedded/Cargo.lock", "fuzz/Cargo.lock"] {
            it.write(lock, &format!("[[package]]\n{entry}"));
        }
        it.git(&["init", "--quiet"]);
        it.commit();
        Some(it)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.place.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        let done = self.run("git", arguments);
        assert!(done.status.success(), "{done:?}");
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "All"]);
    }

    fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Output {
        let mut command = Command::new(program.as_ref());
        command.args(arguments).current_dir(self.place.path(""));
        // The settings of a user of git do not count.
        for name in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"] {
            command.env(name, "/dev/null");
        }
        // Nor the repository of a hook that runs this test.
        for name in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"] {
            command.env_remove(name);
        }
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "a");
            command.env(format!("GIT_{role}_EMAIL"), "a@b.example");
        }
        command.output().unwrap()
    }

    /// What the checks find wrong, as lines; nothing if a release may be made.
    fn faults(&self) -> String {
        let script: PathBuf = self.place.path("scripts/release");
        let done = self.run(script, &["--check"]);
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(said.is_empty(), done.status.success(), "{said}");
        said
    }
}

#[test]
fn a_release_needs_a_clean_tree_without_its_tag() {
    let Some(repository) = Repository::new() else {
        return;
    };
    assert_eq!(repository.faults(), "");
    repository.write("new", "");
    assert_eq!(
        repository.faults(),
        "scripts/release: the working tree has changes: new; commit or remove them\n"
    );
    repository.commit();
    repository.git(&["tag", "v0.2.0"]);
    assert_eq!(
        repository.faults(),
        "scripts/release: the tag v0.2.0 exists; give Cargo.toml the next version\n"
    );
}

#[test]
fn a_release_needs_its_section_of_the_changelog() {
    let Some(repository) = Repository::new() else {
        return;
    };
    for (changelog, fault) in [
        (
            CHANGELOG.replace("0.2.0", "0.3.0"),
            "CHANGELOG.md has no section '## 0.2.0 - YYYY-MM-DD'",
        ),
        (
            CHANGELOG.replace(" - 2026-11-28", ""),
            "CHANGELOG.md has no section '## 0.2.0 - YYYY-MM-DD'",
        ),
        (
            CHANGELOG.replace("Unreleased\n", "Unreleased\n\n- More.\n"),
            "CHANGELOG.md has entries under Unreleased; move them to 0.2.0",
        ),
    ] {
        repository.write("CHANGELOG.md", &changelog);
        repository.commit();
        assert_eq!(repository.faults(), format!("scripts/release: {fault}\n"));
    }
}

#[test]
fn a_release_needs_every_lock_file_of_its_version() {
    let Some(repository) = Repository::new() else {
        return;
    };
    for lock in ["Cargo.lock", "tests/embedded/Cargo.lock", "fuzz/Cargo.lock"] {
        let text = fs::read_to_string(repository.place.path(lock)).unwrap();
        repository.write(lock, &text.replace("0.2.0", "0.1.0"));
        repository.commit();
        let fault = format!("{lock} has another version of sok; run cargo metadata in its folder");
        assert_eq!(repository.faults(), format!("scripts/release: {fault}\n"));
        repository.write(lock, &text);
        repository.commit();
    }
}

#[test]
fn the_lock_files_and_the_changelog_have_the_version() {
    let version = env!("CARGO_PKG_VERSION");
    for lock in ["Cargo.lock", "tests/embedded/Cargo.lock", "fuzz/Cargo.lock"] {
        let text = fs::read_to_string(Path::new(ROOT).join(lock)).unwrap();
        let entry = format!("name = \"sok\"\nversion = \"{version}\"\n");
        assert!(text.contains(&entry), "{lock} has no {entry}");
    }
    let changelog = fs::read_to_string(Path::new(ROOT).join("CHANGELOG.md")).unwrap();
    assert!(changelog.contains(&format!("\n## {version} - ")));
}

/// Prints each `uses` and `run` of the workflows, and fails for a file that is no YAML.
const STEPS: &str = r#"
import sys, yaml
for path in sys.argv[1:]:
    for job in yaml.safe_load(open(path))["jobs"].values():
        for step in job["steps"]:
            print("uses", step["uses"]) if "uses" in step else print("run", step["run"])
"#;

#[test]
fn the_hosted_workflows_are_yaml_and_run_scripts_that_exist() {
    let yaml = Command::new("python3").args(["-c", "import yaml"]).status();
    if !required("python3-yaml", yaml.is_ok_and(|status| status.success())) {
        return;
    }
    let folder = Path::new(ROOT).join(".github/workflows");
    for name in ["ci.yml", "release.yml"] {
        let done = Command::new("python3")
            .args(["-c", STEPS])
            .arg(folder.join(name))
            .output()
            .unwrap();
        let steps = String::from_utf8(done.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            done.status.success() && !steps.is_empty(),
            "{name}: {complaint}"
        );
        for line in steps.lines() {
            // The release is built from what is named here, and from nothing that can change later.
            if let Some(action) = line.strip_prefix("uses ").filter(|_| name == "release.yml") {
                let commit = action.split_once('@').map_or("", |(_, commit)| commit);
                let is_pinned = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
                assert!(is_pinned, "{name}: {action}");
            }
            let words = line.split_ascii_whitespace();
            for script in words.filter(|word| word.starts_with("scripts/")) {
                assert!(Path::new(ROOT).join(script).is_file(), "{name}: {script}");
            }
        }
    }
}
